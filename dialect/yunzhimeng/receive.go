package yunzhimeng

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// secondsBelow tells the units of X-Timestamp apart: a smaller number is seconds, until the year 5138; as milliseconds
// it would be before 1973.
const secondsBelow = 100_000_000_000

// receive verifies a callback and reads it.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	return receiver(s)(in)
}

// receiver is Dialect.Receiver.
func receiver(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
	r := receiving{skew: skew(s)}
	if r.scheme, r.err = readScheme(s); r.err == nil {
		r.keys, r.err = readVerifiers(s)
	}
	r.opener, r.openErr = readOpener(s)
	return r.receive
}

// receiving is what settings say of callbacks that come in.
type receiving struct {
	scheme  scheme
	keys    []verifier
	err     error // why scheme or keys cannot be read
	skew    time.Duration
	opener  *opener
	openErr error
}

func (r *receiving) receive(in dialect.Inbound) (dialect.Received, error) {
	h, err := readHeaders(in)
	if err != nil {
		return dialect.Received{}, err
	}
	key, algorithm, err := r.verify(h)
	if err != nil {
		return dialect.Received{}, err
	}
	signed := stampTime(h.stamp.value)
	if off, most := in.Now.Sub(signed), r.skew; off > most || off < -most {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "header "+headerTimestamp,
			"the signed time is %s from this clock, which is too far: a replay, or one of the two clocks is wrong (see %s)", off.Abs().Round(time.Second), setMaxSkew)
	}
	got := dialect.Received{
		EventType: h.code,
		Payload:   in.Body,
		Platform:  map[string]string{headerTimestamp: h.stamp.text, headerNonce: h.nonce.text},
		Time:      signed,
		Key:       key,
		Rule:      algorithm,
	}
	recognise(&got, in.Body, h)
	r.read(&got, in.Body)
	return got, nil
}

// headers are the four headers of a callback, and its body.
type headers struct {
	envelope
	signature, code string
}

// readHeaders reads the envelope. What carries none of the four headers is something else.
func readHeaders(in dialect.Inbound) (headers, error) {
	stamp, nonce := dialect.Header(in.Header, headerTimestamp), dialect.Header(in.Header, headerNonce)
	h := headers{signature: dialect.Header(in.Header, headerSignature), code: dialect.Header(in.Header, headerEventCode)}
	if in.Method != http.MethodPost && in.Method != "" || stamp == "" && nonce == "" && h.signature == "" && h.code == "" {
		return h, dialect.Refuse(dialect.ReasonNotEnvelope, "", "this is no callback of Yunzhimeng: it is not a POST, or has none of the headers %s, %s, %s and %s",
			headerTimestamp, headerNonce, headerSignature, headerEventCode)
	}
	for _, name := range []string{headerTimestamp, headerNonce, headerSignature, headerEventCode} {
		if len(in.Header.Values(name)) > 1 {
			return h, dialect.Refuse(dialect.ReasonMalformed, "header "+name, "is there more than once: which one counts cannot be told")
		}
	}
	if h.signature == "" {
		return h, dialect.Refuse(dialect.ReasonSignature, "header "+headerSignature, "is missing")
	}
	var ok1, ok2 bool
	h.body = in.Body
	h.stamp, ok1 = parseNumber(stamp)
	h.nonce, ok2 = parseNumber(nonce)
	if !ok1 {
		return h, dialect.Refuse(dialect.ReasonMalformed, "header "+headerTimestamp, "is not a plain decimal number")
	}
	if !ok2 {
		return h, dialect.Refuse(dialect.ReasonMalformed, "header "+headerNonce, "is not a plain decimal number of 64 bits")
	}
	return h, nil
}

// verify returns which of the live keys made the signature, and by which algorithm.
func (r *receiving) verify(h headers) (key int, algorithm string, err error) {
	if r.err != nil {
		return 0, "", unconfigured(r.err)
	}
	sch := r.scheme
	if !sch.text.unambiguous(h.envelope) {
		return 0, "", dialect.Refuse(dialect.ReasonMalformed, "header "+headerNonce,
			"under this %s only a nonce of %d digits, a time of 10 or 13 and a body without digits at its ends can be told apart", setSignedText, nonceDigits)
	}
	part := "header " + headerSignature
	sig, ok := sch.format.decode(h.signature)
	if !ok {
		return 0, "", dialect.Refuse(dialect.ReasonSignature, part, "cannot be decoded: is it whole, and is %s right?", setSigEncoding)
	}
	for i, k := range r.keys {
		if k.verify(sch.format, sch.text, h.envelope, sig) {
			return i, k.algorithm, nil
		}
	}
	return 0, "", dialect.Refuse(dialect.ReasonSignature, part,
		"is not a signature of this request by %s: another key, a changed request, or %s or %s is not what the platform uses", setIVSPublic, setSignedText, setAlgorithm)
}

// unconfigured turns a problem with the settings into a refusal.
func unconfigured(err error) error {
	var p dialect.Problem
	if errors.As(err, &p) {
		return dialect.Refuse(dialect.ReasonSettings, "setting "+p.Field, "%s", p.Text)
	}
	return dialect.Refuse(dialect.ReasonSettings, "settings", "%v", err)
}

// stampTime reads X-Timestamp in either unit.
func stampTime(v int64) time.Time {
	if v < secondsBelow {
		return time.Unix(v, 0).UTC()
	}
	return time.UnixMilli(v).UTC()
}

// recognise sets the keys by which a repeat is known. The event code is not signed: were it part of the first key,
// whoever saw a callback could have it delivered again under every other code.
func recognise(got *dialect.Received, body []byte, h headers) {
	sum := sha256.Sum256(body)
	got.DedupKey = h.nonce.text + ":" + hex.EncodeToString(sum[:])
	twin := sha256.Sum256(append(sum[:], h.code...))
	got.Twin, got.TwinKeep, got.TwinMark = hex.EncodeToString(twin[:]), twinKeep, twinMark
}

// read sets the payload, and says why a message could not be read though its signature is right.
func (r *receiving) read(got *dialect.Received, body []byte) {
	if !usableEventType(got.EventType) {
		got.EventType = ""
		got.Unreadable = "header " + headerEventCode + " is missing, too long or not printable"
	}
	valid := json.Valid(body) && utf8.Valid(body)
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); !valid || trimmed[0] != '{' {
		got.Payload = dialect.WrapRaw(body)
	}
	if !valid && len(body) > 0 && got.Unreadable == "" {
		got.Unreadable = "the body is not JSON in UTF-8"
	}
	if got.Unreadable != "" {
		return
	}
	switch {
	case r.openErr != nil: // a fault of ours that the platform, who signed, must not be refused for
		got.Unreadable = "encrypted fields cannot be opened: " + r.openErr.Error()
	case r.opener != nil:
		got.Unreadable = r.opener.trial(got.Payload)
	}
}

// decrypt opens the encrypted fields of a stored payload. All bytes but those of the opened strings stay as they are.
func decrypt(s dialect.Settings, payload []byte, _ map[string]string) ([]byte, error) {
	o, err := readOpener(s)
	if err != nil || o == nil {
		return payload, err
	}
	return o.payload(payload)
}
