package ingest

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// visit is one request on its way through the door.
type visit struct {
	*Door
	w      http.ResponseWriter
	r      *http.Request
	now    time.Time
	entry  *entry
	client netip.Addr
	due    time.Time // when reading ends at the latest
	body   body
	seen   Observation
}

// ServeHTTP answers one request. The order is that of cost and of trust: nothing is read before the door is known, nothing
// is judged before it is read, and nothing is acknowledged before it is durable.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{Door: d, w: w, r: r, now: d.opt.Now()}
	began := time.Now()
	defer v.leave(began)
	// The deadline stays in force after a refusal: the server reads on for a while to keep the connection, and a client
	// who drips must not hold it. The server lifts it when the body has come whole.
	v.due = began.Add(d.opt.ReadTimeout)
	v.setDue(v.due)
	if r.ContentLength < 0 {
		// A front proxy may have framed a chunked request by another header. What follows on the connection would then be
		// taken for the next client's request, and its answer for ours.
		v.lastOnConnection()
	}
	if v.enter() && v.read() {
		v.hold()
	}
}

// leave gives back what the request held, also when a dialect panicked: the server then drops the connection, and the
// platform repeats.
func (v *visit) leave(began time.Time) {
	v.release()
	if v.seen.Result == "" {
		v.seen.Result = ResultFault
	}
	v.seen.Bytes, v.seen.Duration = len(v.body.bytes), time.Since(began)
	v.opt.Observe(v.seen)
}

// enter does everything that needs no body, and says whether to read one.
func (v *visit) enter() bool {
	if !v.find() {
		return false
	}
	v.client = v.Door.client(v.r)
	source := &v.entry.route.Source
	if v.entry.allow != nil && !contains(v.entry.allow, v.client) {
		v.keep(ResultAddress, "the source takes no pushes from this address")
		v.plain(ResultAddress, http.StatusForbidden, "this address may not push here")
		return false
	}
	switch v.r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if source.Disabled {
			v.unavailable(ResultDisabled)
			return false
		}
		v.reply(ResultProbe, dialect.Reply{Status: http.StatusOK})
		return false
	default:
		v.w.Header().Set("Allow", "GET, HEAD, POST")
		v.plain(ResultMethod, http.StatusMethodNotAllowed, "pushes come as POST")
		return false
	}
	if source.Disabled {
		v.unavailable(ResultDisabled)
		return false
	}
	if err := v.opt.Accepting(); err != nil {
		v.unavailable(ResultUnavailable)
		return false
	}
	return v.headers()
}

// find looks up the door.
func (v *visit) find() bool {
	door := strings.TrimPrefix(v.r.URL.Path, Path)
	e, err := v.route(v.r.Context(), door, v.now)
	if err == nil {
		v.entry, v.seen.Dialect = e, e.dialect.Name
		return true
	}
	if hook.KindOf(err) == hook.KindNotFound {
		v.plain(ResultUnknown, http.StatusNotFound, "there is no source at this URL")
		return false
	}
	if v.Door.settings.allow(v.now) {
		v.opt.Log.Error("a push cannot be taken", "err", err)
	}
	v.unavailable(ResultSettings)
	return false
}

// headers refuses what the headers alone show to be wrong.
func (v *visit) headers() bool {
	if name := v.entry.repeated(v.r.Header); name != "" {
		v.refuse(ResultMalformed, "header "+name+" comes more than once")
		return false
	}
	if coding := v.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		// Signatures are over the bytes on the wire, and a small body can unpack to a huge one.
		v.keep(ResultEncoding, "the body is compressed")
		v.plain(ResultEncoding, http.StatusUnsupportedMediaType, "send the body without Content-Encoding")
		return false
	}
	return true
}

// read reads the body.
func (v *visit) read() bool {
	err := v.readBody(v.r.Body, v.r.ContentLength)
	if err == nil {
		return true
	}
	v.lastOnConnection() // what is left of the body is not worth reading
	switch {
	case err == errTooLarge:
		v.refuse(ResultTooLarge, "the body is over the limit of "+strconv.FormatInt(v.opt.MaxBody, 10)+" bytes")
	case err == errBusy:
		v.unavailable(ResultBusy)
	case isTimeout(err):
		v.plain(ResultSlow, http.StatusRequestTimeout, "the body did not come in time")
	default:
		v.plain(ResultBroken, http.StatusBadRequest, "the body cannot be read")
	}
	return false
}

// lastOnConnection has the server close the connection behind the answer. HTTP/2 frames by other means, and would end all
// that goes over the connection.
func (v *visit) lastOnConnection() {
	if v.r.ProtoMajor == 1 {
		v.w.Header().Set("Connection", "close")
	}
}

// hold takes a slot for the rest of the way, so that a slow store makes few requests wait and not all there are.
func (v *visit) hold() {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
		v.push()
	default:
		v.unavailable(ResultBusy)
	}
}

// refuse turns a request away in the dialect's words, and keeps it for the explainer.
func (v *visit) refuse(result Result, detail string) {
	v.keep(result, detail)
	told := dialect.Malformed
	switch result {
	case ResultSignature, ResultReplay:
		told = dialect.Forged
	case ResultTooLarge:
		told = dialect.TooLarge
	}
	v.reply(result, v.words(dialect.Outcome{Result: told}))
}

// unavailable tells the platform to repeat.
func (v *visit) unavailable(result Result) {
	v.w.Header().Set("Retry-After", strconv.Itoa(int(max(v.opt.RetryAfter/time.Second, 1))))
	v.reply(result, v.words(dialect.Outcome{Result: dialect.Unavailable}))
}

// words puts an outcome into the platform's words.
func (v *visit) words(o dialect.Outcome) dialect.Reply {
	if v.entry == nil || v.entry.dialect.Reply == nil {
		return dialect.Reply{Status: o.Result.DefaultStatus()}
	}
	return v.entry.dialect.Reply(v.entry.settings, o)
}

// plain answers what is no matter of a dialect.
func (v *visit) plain(result Result, status int, text string) {
	v.reply(result, dialect.Reply{Status: status, ContentType: "text/plain; charset=utf-8", Body: []byte(text)})
}

// reply writes an answer exactly: platforms compare bodies to the byte.
func (v *visit) reply(result Result, a dialect.Reply) {
	v.seen.Result = result
	h := v.w.Header()
	h["Content-Type"] = nil // nothing is guessed from the body
	if a.ContentType != "" {
		h["Content-Type"] = []string{a.ContentType}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	v.w.WriteHeader(a.Status)
	_, _ = v.w.Write(a.Body) // a client that is gone will repeat
}
