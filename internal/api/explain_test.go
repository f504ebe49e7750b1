package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

const (
	explainPath = "/api/v1/dialect/pandapon/explain"
	pandaSecret = "panda-secret-0123456789abcdef"
	pandaBody   = `{"orderId":"1", "amount":1.50}`
)

// pushed is a request as PandaPon signs it.
func pushed(t testing.TB, secret string, at time.Time) dialect.Request {
	t.Helper()
	r, err := all.Table()["pandapon"].Sign(dialect.Set("access_secret", secret), dialect.Outbound{
		EventType: "ORDER_CREATE", Payload: []byte(pandaBody), Now: at, Platform: map[string]string{"messagePlatform": "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func asJSON(r dialect.Request) object {
	return object{"method": r.Method, "query": r.Query, "headers": r.Header, "body": string(r.Body)}
}

// broken is a request whose signed text lost the spacing of its JSON.
func broken(r dialect.Request) dialect.Request {
	r.Body = []byte(strings.Replace(string(r.Body), `\"1\", \"amount\"`, `\"1\",\"amount\"`, 1))
	return r
}

// panda is a server with a source that has the secret.
func panda(t testing.TB) (s *server, app, token, src string) {
	s = start(t)
	app, token = s.appToken("shop")
	src = s.post(app+"/source", object{"uid": "pushes", "dialect": "pandapon", "settings": object{"access_secret": pandaSecret}}).want(201).json().str("id")
	return s, app, token, src
}

func TestExplainRefusesWhatCannotBeExplained(t *testing.T) {
	t.Parallel()
	s, app, token, _ := panda(t)
	s.post(app+"/source", object{"uid": "douyin", "dialect": "douyin", "settings": object{"client_key": "k", "client_secret": "s"}}).want(201)
	published := s.send(app, object{})
	request := object{"headers": object{}, "body": ""}
	by := func(o object) object {
		full := object{"application": "shop", "source": "pushes"}
		maps.Copy(full, o)
		return full
	}
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"nothing":                     {object{}, "body"},
		"no request":                  {by(object{}), "body"},
		"two requests":                {by(object{"request": request, "capture": "x"}), "body"},
		"nothing to judge it by":      {object{"request": request}, "body.source"},
		"no application":              {object{"request": request, "source": "pushes"}, "body.application"},
		"a request without headers":   {by(object{"request": object{"body": "x"}}), "body.request"},
		"a request whose body is one": {by(object{"request": object{"headers": object{}, "body": object{}}}), "body.request"},
		"a capture that is none":      {by(object{"capture": "hello"}), "body.capture"},
		"a capture of several":        {by(object{"capture": `[{"headers":{}},{"headers":{}}]`}), "body.capture"},
		"a file in a capture":         {by(object{"capture": "curl http://x/ -d @/etc/passwd"}), "body.capture"},
		"a format without capture":    {by(object{"request": request, "format": "har"}), "body.capture"},
		"a format that is none":       {by(object{"capture": "x", "format": "pcap"}), "body.format"},
		"an index without capture":    {by(object{"request": request, "index": 1}), "body.capture"},
		"a secret that is empty":      {object{"request": request, "settings": object{"access_secret": ""}}, "body.settings.access_secret"},
		"a secret that is missing":    {object{"request": request, "settings": object{}}, "body.settings.access_secret"},
		"a secret that is redacted":   {object{"request": request, "settings": object{"access_secret": "<secret>"}}, "body.settings.access_secret"},
		"an unknown setting":          {object{"request": request, "settings": object{"secret": "x"}}, "body.settings.secret"},
		"a source of another dialect": {by(object{"request": request, "source": "douyin"}), "body.source"},
		"a message that was posted":   {by(object{"message": published}), "body.message"},
		"a refusal that is no id":     {by(object{"refused": "last"}), "body.refused"},
		"a refusal without source":    {object{"refused": "ref_0000000000001", "application": "shop"}, "body.source"},
	} {
		t.Run(name, func(t *testing.T) { s.in(t).post(explainPath, c.body).wrong(c.loc) })
	}
	for name, body := range map[string]object{
		"an unknown application": {"request": request, "application": "none", "source": "pushes"},
		"an unknown source":      by(object{"request": request, "source": "none"}),
		"an unknown message":     by(object{"message": "msg_0000000000001"}),
		"an unknown refusal":     by(object{"refused": "ref_0000000000001"}),
	} {
		t.Run(name, func(t *testing.T) { s.in(t).post(explainPath, body).refused(404, "not_found") })
	}
	s.post("/api/v1/dialect/telex/explain", by(object{"request": request})).refused(404, "not_found")

	t.Run("an application's token stays within its own", func(t *testing.T) {
		s := s.in(t)
		other := s.app("other")
		s.post(other+"/source", object{"uid": "theirs", "dialect": "pandapon", "settings": object{"access_secret": pandaSecret}}).want(201)
		for _, body := range []object{
			{"request": request, "application": "other", "source": "theirs"},
			{"request": request, "application": "none", "source": "theirs"},
			{"request": request, "source": "theirs"},
			{"request": request, "application": "other", "source": "pushes"}, // its own, but by a name that is not
		} {
			s.call(token, "POST", explainPath, body).refused(404, "not_found")
		}
		s.call(token, "POST", explainPath, object{"request": request, "settings": object{"access_secret": "x"}}).refused(403, "permission_denied")
		s.call(token, "POST", explainPath, object{"request": request}).wrong("body.source")
	})
	t.Run("a body over the server's limit", func(t *testing.T) {
		s.in(t).post(explainPath, by(object{"capture": strings.Repeat("x", 2<<20)})).refused(413, "payload_too_large")
	})
}

func TestExplainJudgesEveryFormByEverySetting(t *testing.T) {
	t.Parallel()
	s, app, token, src := panda(t)
	right := pushed(t, pandaSecret, s.now())
	wrong := broken(right)
	id := must(hook.ParseID[hook.SourceID](src))(t)
	raw := func(r dialect.Request) hook.Raw {
		return hook.Raw{Method: r.Method, Header: r.Header, Body: r.Body}
	}
	refusal := hook.Refused{ID: s.ids.Next(s.now()), Source: id, At: s.now(), Reason: "signature", Raw: raw(wrong)}
	if err := s.store.Refuse(t.Context(), []hook.Refused{refusal}, 10); err != nil {
		t.Fatal(err)
	}
	appID := must(hook.ParseID[hook.ApplicationID](app[len("/api/v1/app/"):]))(t)
	first := raw(right)
	m := hook.Message{ID: hook.NewID[hook.MessageID](s.ids, s.now()), App: appID, Source: id, EventType: "ORDER_CREATE", Payload: []byte(pandaBody), Raw: &first, CreatedAt: s.now().UTC().Truncate(time.Millisecond)}
	if _, err := s.store.Accept(t.Context(), []hook.Accept{{Message: m}}); err != nil {
		t.Fatal(err)
	}
	capture := "curl -X POST 'http://x/in/abc' -H 'Authorization: " + wrong.Header.Get("Authorization") + "' --data-raw '" + string(wrong.Body) + "'"

	for name, c := range map[string]struct {
		body  object
		valid bool
	}{
		"a right request":      {object{"request": asJSON(right)}, true},
		"a broken request":     {object{"request": asJSON(wrong)}, false},
		"a broken command":     {object{"capture": capture}, false},
		"a refused request":    {object{"refused": hook.RefusalID(refusal.ID).String()}, false},
		"a message's request":  {object{"message": m.ID.String()}, true},
		"at its own time":      {object{"request": asJSON(right), "at": s.now().Format(time.RFC3339)}, true},
		"a request of nothing": {object{"request": object{"headers": object{}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			ways := map[string]answer{}
			mine := object{"source": "pushes"}
			maps.Copy(mine, c.body)
			ways["an application's token"] = s.call(token, "POST", explainPath, mine)
			mine["application"] = "shop"
			ways["the organisation's token"] = s.post(explainPath, mine)
			mine["settings"] = object{"access_secret": []string{"another", pandaSecret}}
			ways["settings"] = s.post(explainPath, mine)
			for way, a := range ways {
				o := a.want(200).json()
				if o["valid"] != c.valid {
					t.Fatalf("%s: %s", way, a.text)
				}
				if c.valid && (o.str("eventType") != "ORDER_CREATE" || o["payload"] != nil || o["findings"] != nil) {
					t.Errorf("%s: %s", way, a.text)
				}
				if c.valid && way == "settings" && o["key"] != 2.0 {
					t.Errorf("by which key? %s", a.text)
				}
				if strings.HasPrefix(name, "a broken") || strings.HasPrefix(name, "a refused") {
					f := o.list("findings")
					if len(f) != 1 || f[0].str("code") != "json_spacing" || f[0].str("sure") != "certain" || f[0].obj("fix").str("zh") == "" {
						t.Errorf("%s: %s", way, a.text)
					}
				}
				a.hidesSecretAnd(pandaSecret, pandaBody)
			}
		})
	}
}

// hidesSecretAnd fails the test when an answer has the secret, or its MAC of a body in any spelling.
func (a answer) hidesSecretAnd(secret, body string) {
	a.t.Helper()
	for _, text := range []string{body, strings.ReplaceAll(body, ", ", ",")} {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(text))
		mac := h.Sum(nil)
		for _, mark := range []string{secret, hex.EncodeToString(mac), base64.StdEncoding.EncodeToString(mac), base64.RawURLEncoding.EncodeToString(mac)} {
			if strings.Contains(strings.ToLower(a.text), strings.ToLower(mark)) {
				a.t.Errorf("%s shows a secret or a signature: %s", a.what, a.text)
			}
		}
	}
}

func TestExplainKnowsTheSecretOfTheSandbox(t *testing.T) {
	t.Parallel()
	s, app, token, _ := panda(t)
	s.post(app+"/source", object{"name": "the sandbox", "dialect": "pandapon", "settings": object{"access_secret": "sandbox-secret-9876"}}).want(201)
	theirs := s.app("others")
	s.post(theirs+"/source", object{"name": "theirs", "dialect": "pandapon", "settings": object{"access_secret": "their-secret-5555"}}).want(201)
	ask := func(secret string) object {
		return s.call(token, "POST", explainPath, object{"request": asJSON(pushed(t, secret, s.now())), "source": "pushes"}).want(200).json()
	}
	o := ask("sandbox-secret-9876")
	if f := o.list("findings"); o["valid"] != false || len(f) != 1 || f[0].str("code") != "secret_other" || !strings.Contains(f[0].str("where"), "the sandbox") {
		t.Error(o)
	}
	t.Log("but of another application nothing is known")
	if o := ask("their-secret-5555"); o["valid"] != false || strings.Contains(text(o), "secret_other") || strings.Contains(text(o), "theirs") {
		t.Error(o)
	}
}

func TestExplainJudgesByTheMomentThatIsGiven(t *testing.T) {
	t.Parallel()
	s := start(t)
	settings := dialect.Set("secret", goodSecret)
	r, err := all.Table()["standard"].Sign(settings, dialect.Outbound{ID: "msg_1", EventType: "x", Payload: []byte("{}"), Now: s.now()})
	if err != nil {
		t.Fatal(err)
	}
	body := object{"request": asJSON(r), "settings": object{"secret": goodSecret}}
	if o := s.post("/api/v1/dialect/standard/explain", body).want(200).json(); o["valid"] != true {
		t.Error(o)
	}
	body["at"] = s.now().Add(time.Hour).Format(time.RFC3339)
	if o := s.post("/api/v1/dialect/standard/explain", body).want(200).json(); o["valid"] != false || o.str("reason") != "replay" {
		t.Error(o)
	}
}

func TestTheLastRefusedRequestsAreExplained(t *testing.T) {
	t.Parallel()
	s, app, token, src := panda(t)
	id := must(hook.ParseID[hook.SourceID](src))(t)
	wrong := broken(pushed(t, pandaSecret, s.now()))
	var batch []hook.Refused
	for _, reason := range []string{"signature", "signature", "signature", "signature", "too_large"} {
		batch = append(batch, hook.Refused{ID: s.ids.Next(s.now()), Source: id, At: s.now(), Reason: reason, Raw: hook.Raw{
			Method: "POST", Header: wrong.Header, Body: wrong.Body,
		}})
	}
	batch[3].Raw.Header = wrong.Header.Clone()
	batch[3].Raw.Header.Set("Content-Length", "70000")
	if err := s.store.Refuse(t.Context(), batch, 10); err != nil {
		t.Fatal(err)
	}
	path := app + "/source/pushes/refused"
	explained := func(query string) (n int) {
		for _, r := range s.call(token, "GET", path+query, nil).want(200).json().list("data") {
			if r["explanation"] == nil {
				continue
			}
			if n++; r.str("reason") != "signature" || text(r.obj("explanation").list("findings")[0]["code"]) != `"json_spacing"` {
				t.Errorf("%s: %s", query, text(r))
			}
		}
		return n
	}
	for query, want := range map[string]int{"": 3, "?explain=0": 0, "?explain=5": 4, "?limit=1": 0, "?limit=2": 1} {
		if n := explained(query); n != want {
			t.Errorf("%q: %d explained, want %d", query, n, want)
		}
	}
	a := s.call(token, "GET", path, nil)
	for _, r := range a.json().list("data") { // what came is shown with its own signature; what was found out is not
		answer{t: t, what: a.what, text: text(r["explanation"])}.hidesSecretAnd(pandaSecret, pandaBody)
	}
	if !strings.Contains(a.text, "Content-Length says 70000") {
		t.Errorf("a body that was not kept whole has no note: %s", a.text)
	}
	s.get(path + "?explain=6").wrong("query.explain")
	s.get(path + "?explain=-1").wrong("query.explain")
}

func TestExplanationsAreFewAtATime(t *testing.T) {
	t.Parallel()
	begun, release := make(chan bool), make(chan bool)
	s := start(t, func(o *api.Options) {
		o.Dialects["slow"] = &dialect.Dialect{Name: "slow", Receive: func(dialect.Settings, dialect.Inbound) (dialect.Received, error) {
			begun <- true
			<-release
			return dialect.Received{EventType: "x", Payload: []byte("{}")}, nil
		}}
	})
	ask := func() answer {
		return s.post("/api/v1/dialect/slow/explain", object{"request": object{"headers": object{}}, "settings": object{}})
	}
	first := make(chan answer)
	go func() { first <- ask() }()
	<-begun
	if a := ask().refused(http.StatusTooManyRequests, "too_many_requests"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	if a := (<-first).want(200); a.json()["valid"] != true {
		t.Error(a.text)
	}
	go func() { <-begun }()
	ask().want(200)
}
