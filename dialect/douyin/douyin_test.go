package douyin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &Dialect, os.DirFS("."))
}

const (
	secret  = "0123456789abcdef0123456789abcdef"
	content = `{"action":"verify","msg_time":1760000000}`
	push    = `{"event":"life_trade_certificate_notify","client_key":"k1","content":"{\"action\":\"verify\",\"msg_time\":1760000000}","log_id":"L1"}`
)

var settings = dialect.Set("client_secret", secret)

func sha1Of(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func inbound(body, signature, id string) dialect.Inbound {
	h := http.Header{"Content-Type": {"application/json"}}
	if signature != "" {
		h.Set(signatureHeader, signature)
	}
	if id != "" {
		h.Set(idHeader, id)
	}
	return dialect.Inbound{Method: http.MethodPost, Header: h, Body: []byte(body)}
}

func reasonOf(err error) dialect.Reason {
	var refusal *dialect.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// opensslFile is testdata/webhook-sha1.json, made with the openssl command line.
type opensslFile struct {
	Vectors []opensslVector
}

type opensslVector struct {
	Name         string
	ClientSecret string `json:"client_secret"`
	BodyB64      []byte `json:"body_b64"`
	BodyLen      int    `json:"body_len"`
	Body         *string
	CanonicalB64 []byte            `json:"canonical_b64"`
	Signature    string            `json:"X-Douyin-Signature"`
	ReadLine     string            `json:"readline_joined_signature"`
	ReadLineB64  []byte            `json:"readline_joined_body_b64"`
	ResponseBody string            `json:"response_body"`
	MustNotMatch map[string]string `json:"must_not_match"`
}

func TestEveryOpensslVector(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/webhook-sha1.json")
	if err != nil {
		t.Fatal(err)
	}
	var file opensslFile
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) != 29 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			v.agrees(t)
			v.receive(t)
		})
	}
}

// agrees holds the digests of a vector against this package and against its own parts.
func (v *opensslVector) agrees(t *testing.T) {
	if len(v.BodyB64) != v.BodyLen || v.Body != nil && *v.Body != string(v.BodyB64) || v.ClientSecret+string(v.BodyB64) != string(v.CanonicalB64) {
		t.Fatal("the vector does not agree with itself")
	}
	if got := signatureOf(v.ClientSecret, v.BodyB64); string(got[:]) != v.Signature {
		t.Errorf("the signature is %s, openssl says %s", got, v.Signature)
	}
	if v.ReadLine != "" {
		if got := signatureOf(v.ClientSecret, v.ReadLineB64); string(got[:]) != v.ReadLine {
			t.Errorf("the signature without line ends is %s, openssl says %s", got, v.ReadLine)
		}
	}
	wrong := map[string]string{"sha1_body_then_secret": sha1Of(string(v.BodyB64) + v.ClientSecret)}
	h := hmac.New(sha1.New, []byte(v.ClientSecret))
	h.Write(v.BodyB64)
	wrong["hmac_sha1"] = hex.EncodeToString(h.Sum(nil))
	h = hmac.New(sha256.New, []byte(v.ClientSecret))
	h.Write(v.BodyB64)
	wrong["hmac_sha256"] = hex.EncodeToString(h.Sum(nil))
	sum := sha256.Sum256(v.CanonicalB64)
	wrong["sha256_secret_body"] = hex.EncodeToString(sum[:])
	for how, mac := range wrong {
		if want, listed := v.MustNotMatch[how]; listed && want != mac {
			t.Errorf("%s is %s, openssl says %s", how, mac, want)
		}
	}
}

func (v *opensslVector) receive(t *testing.T) {
	s := dialect.Set("client_secret", v.ClientSecret)
	for how, mac := range v.MustNotMatch {
		if _, err := Dialect.Receive(s, inbound(string(v.BodyB64), mac, "")); reasonOf(err) != dialect.ReasonSignature {
			t.Errorf("%s: %v, want a refusal of the signature", how, err)
		}
	}
	got, err := Dialect.Receive(s, inbound(string(v.BodyB64), v.Signature, ""))
	switch v.Name {
	case "utf8_bom", "invalid_utf8", "duplicate_keys", "empty_body", "single_space":
		if reasonOf(err) != dialect.ReasonSignature {
			t.Errorf("what is signed but not strict JSON: %v, want a refusal as forged", err)
		}
		return
	}
	switch {
	case err != nil:
		t.Errorf("refused: %v", err)
	case v.ResponseBody != "":
		if got.Reply == nil || string(got.Reply.Body) != v.ResponseBody {
			t.Errorf("answer %+v, want %s", got.Reply, v.ResponseBody)
		}
	case got.Unreadable != "" || got.EventType == "":
		t.Errorf("event %q, unreadable %q", got.EventType, got.Unreadable)
	}
	if v.ReadLine == "" {
		return
	}
	if _, err := Dialect.Receive(s, inbound(string(v.BodyB64), v.ReadLine, "")); reasonOf(err) != dialect.ReasonSignature {
		t.Errorf("signed without line ends: %v, want a refusal", err)
	}
	s["strip_line_ends"] = []string{"true"}
	if stripped, err := Dialect.Receive(s, inbound(string(v.BodyB64), v.ReadLine, "")); err != nil || stripped.EventType != got.EventType {
		t.Errorf("signed without line ends, which the settings allow: %q, %v", stripped.EventType, err)
	}
}

// lengthened makes, without the secret, a body that begins with a signed one, and its right signature: SHA-1 goes on
// from the state that its digest is.
func lengthened(t testing.TB, body, signature string, secretLength int, more string) (string, string) {
	t.Helper()
	state, err := hex.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	n := secretLength + len(body)
	padding := append([]byte{0x80}, make([]byte, (119-n%64)%64)...)
	padding = binary.BigEndian.AppendUint64(padding, uint64(n)*8)
	saved, err := sha1.New().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	// The saved state is a magic, the five words, a block, and the length.
	copy(saved[4:], state)
	binary.BigEndian.PutUint64(saved[len(saved)-8:], uint64(n+len(padding)))
	h := sha1.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(more))
	return body + string(padding) + more, hex.EncodeToString(h.Sum(nil))
}

func TestLengthExtensionIsForged(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"nothing more":   "",
		"another object": `{"event":"create_video","client_key":"k1","content":"{}"}`,
		"a line end":     "\n",
	} {
		body, signature := lengthened(t, push, sha1Of(secret+push), len(secret), more)
		if sha1Of(secret+body) != signature {
			t.Fatalf("%s: the attack itself does not work, so the test shows nothing", name)
		}
		for _, strip := range []string{"false", "true"} {
			s := dialect.Set("client_secret", secret, "strip_line_ends", strip)
			if _, err := Dialect.Receive(s, inbound(body, signature, "1")); reasonOf(err) != dialect.ReasonSignature {
				t.Errorf("%s, strip_line_ends %s: %v, want a refusal as forged", name, strip, err)
			}
		}
	}
}

func TestDedup(t *testing.T) {
	t.Parallel()
	key := func(s dialect.Settings, body, id string) dialect.Received {
		t.Helper()
		got, err := Dialect.Receive(s, inbound(body, sha1Of(secret+body), id))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	later := strings.Replace(push, "1760000000", "1760000060", 1)
	otherLog := strings.Replace(push, `"L1"`, `"L2"`, 1)
	first := key(settings, push, "7")
	if got := key(settings, otherLog, "7"); got.DedupKey != first.DedupKey {
		t.Error("a repeat under another log_id is not told as a repeat")
	}
	if got := key(settings, later, "7"); got.DedupKey == first.DedupKey || got.Twin == first.Twin {
		t.Error("a second verify after a cancel, with the same Msg-Id, is taken for a repeat")
	}
	replayed := key(settings, push, "8")
	if replayed.DedupKey == first.DedupKey || replayed.Twin != first.Twin || replayed.TwinMark != "possibleDuplicateOf" || replayed.TwinKeep != 7*24*time.Hour {
		t.Errorf("the same content under another Msg-Id, which is not signed, is not marked: %+v", replayed)
	}
	byID := dialect.Set("client_secret", secret, "dedup", "msg_id")
	if key(byID, push, "7").DedupKey != key(byID, later, "7").DedupKey {
		t.Error("by Msg-Id alone another content is not a repeat")
	}
	if key(byID, push, "").DedupKey == key(byID, later, "").DedupKey {
		t.Error("without a Msg-Id every push is a repeat")
	}
	if !first.Time.Equal(time.Unix(1760000000, 0)) {
		t.Errorf("time %s", first.Time)
	}
}

func TestCheckRefusesWhatWouldFailInSilence(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]dialect.Settings{
		"a secret with a pasted line end":   dialect.Set("client_secret", secret+"\r\n"),
		"a second secret with a blank":      {"client_secret": {"first-secret", secret + " "}},
		"a secret with a zero-width joiner": dialect.Set("client_secret", secret+"\u200d"),
		"an empty secret":                   dialect.Set("client_secret", ""),
		"no secret":                         {},
		"a client_key with a blank":         dialect.Set("client_secret", secret, "client_key", "k1 "),
		"a way to dedup that nobody knows":  dialect.Set("client_secret", secret, "dedup", "body"),
	} {
		problems := Dialect.Validate(s, dialect.Receiving, false)
		if len(problems) == 0 {
			t.Errorf("%s is let through", name)
		}
		for _, p := range problems {
			if strings.Contains(p.Error(), secret) {
				t.Errorf("%s: the text tells the secret", name)
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s        dialect.Settings
		deadline time.Duration
		waits    int
		total    time.Duration
		dedup    time.Duration
	}{
		"is that of the life services without settings": {nil, 3 * time.Second, 3, 1500 * time.Millisecond, 168 * time.Hour},
		"takes the generic webhook's deadline":          {dialect.Set("deadline", "5s"), 5 * time.Second, 3, 1500 * time.Millisecond, 168 * time.Hour},
		"takes another schedule":                        {dialect.Set("retry_schedule", "1m, 2m"), 3 * time.Second, 2, 3 * time.Minute, 168 * time.Hour},
		"remembers longer than it repeats":              {dialect.Set("retry_schedule", "7d"), 3 * time.Second, 1, 168 * time.Hour, 336 * time.Hour},
		"takes another memory":                          {dialect.Set("dedup_for", "1d", "deadline", "0s"), 3 * time.Second, 3, 1500 * time.Millisecond, 24 * time.Hour},
	} {
		p := Dialect.Policy(c.s)
		if p.Deadline != c.deadline || len(p.Schedule) != c.waits || p.Total() != c.total || p.DedupFor != c.dedup {
			t.Errorf("%s: %+v", name, p)
		}
		if !p.HTTPSOnly || p.RetryAfter || p.GoneDisables || p.Breaker || p.AutoDisable || p.Jitter {
			t.Errorf("%s: flags %+v", name, p)
		}
		p.Schedule[0] = time.Hour
	}
	if got := Dialect.Policy(nil).Schedule[0]; got != 500*time.Millisecond {
		t.Errorf("a caller changed the default schedule to %s", got)
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	if _, _, err := Dialect.Handshake(nil, dialect.Nonce{}); err == nil {
		t.Error("a challenge is made without a secret")
	}
	req, judge, err := Dialect.Handshake(settings, dialect.Nonce{Seed: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Dialect.Receive(settings, dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body})
	if err != nil || got.Reply == nil {
		t.Fatalf("our own receiver does not answer the challenge: %v", err)
	}
	right := string(got.Reply.Body)
	number := strings.TrimSuffix(strings.TrimPrefix(right, `{"challenge":`), "}")
	for body, want := range map[string]dialect.Kind{
		right: dialect.Accepted,
		` { "challenge" : ` + number + ` , "a":1}`: dialect.Accepted,
		"":                               dialect.Refused,
		"success":                        dialect.Refused,
		`{}`:                             dialect.Refused,
		`{"challenge":` + number + `.0}`: dialect.Refused,
		`{"challenge":1` + number + `}`:  dialect.Refused,
		`{"challenge":"` + number + `"}`: dialect.Refused,
		`{"challenge":null}`:             dialect.Refused,
	} {
		if v := judge(dialect.Response{Status: 200, Body: []byte(body)}); v.Kind != want || v.Reason == "" {
			t.Errorf("answer %s: %+v", body, v)
		}
	}
	if v := judge(dialect.Response{Status: 201, Body: []byte(right)}); v.Kind == dialect.Accepted {
		t.Errorf("the right answer with 201: %+v", v)
	}
	other, _, err := Dialect.Handshake(settings, dialect.Nonce{Seed: [32]byte{2}})
	if err != nil || bytes.Equal(req.Body, other.Body) {
		t.Error("the challenge is always the same")
	}
}

func TestSignIsTheSameOverAllAttempts(t *testing.T) {
	t.Parallel()
	s := dialect.Set("client_secret", secret, "client_key", "k1")
	o := dialect.Outbound{EventType: "create_video", Payload: []byte("{}"), Created: time.Unix(1760000000, 0), Now: time.Unix(1760000000, 0)}
	first, err := Dialect.Sign(s, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Now = o.Now.Add(time.Second)
	second, err := Dialect.Sign(s, o)
	if err != nil || !bytes.Equal(first.Body, second.Body) || first.Header.Get(idHeader) != second.Header.Get(idHeader) {
		t.Errorf("a later attempt differs: %s, %v", second.Body, err)
	}
	o.Seed[0] = 1
	third, err := Dialect.Sign(s, o)
	if err != nil || bytes.Equal(first.Body, third.Body) || first.Header.Get(idHeader) == third.Header.Get(idHeader) {
		t.Errorf("another message has the same ids: %s, %v", third.Body, err)
	}
	o.Payload = []byte("{\"a\":\"\xff\"}")
	if _, err := Dialect.Sign(s, o); err == nil {
		t.Error("a payload that is not UTF-8 is signed")
	}
	o.Payload, o.Platform = []byte("{}"), map[string]string{"log_id": "\xff"}
	if _, err := Dialect.Sign(s, o); err == nil {
		t.Error("a platform member that is not UTF-8 is signed")
	}
}

func FuzzReceive(f *testing.F) {
	for _, body := range []string{push, "", "{}", "\ufeff" + push, push + "\n", push + push, `{"event":"verify_webhook","content":{"challenge":1}}`} {
		f.Add([]byte(body), sha1Of(secret+body), "7")
		f.Add([]byte(body), "", "")
	}
	f.Fuzz(func(t *testing.T, body []byte, signature, id string) {
		got, err := Dialect.Receive(settings, inbound(string(body), signature, id))
		if err != nil {
			return
		}
		if got.Reply == nil && signature != sha1Of(secret+string(body)) {
			t.Fatalf("accepted without a right signature: %q", body)
		}
		wellFormed(t, body, got)
	})
}

// FuzzReceiveSigned signs whatever body comes, so that the part behind the signature is reached.
func FuzzReceiveSigned(f *testing.F) {
	for _, body := range []string{push, `{"event":"e","content":{"action":"a"},"client_key":"k"}`, `{"event":"verify_webhook","content":"{\"challenge\":\"x\"}"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := Dialect.Receive(settings, inbound(string(body), sha1Of(secret+string(body)), "7")); err == nil {
			wellFormed(t, body, got)
		}
	})
}

func wellFormed(t *testing.T, body []byte, got dialect.Received) {
	t.Helper()
	var any map[string]json.RawMessage
	if err := json.Unmarshal(body, &any); err != nil {
		t.Fatalf("accepted what is no JSON object: %q", body)
	}
	if got.Reply != nil {
		if !json.Valid(got.Reply.Body) || len(got.Reply.Body) > 1024 {
			t.Fatalf("answered with %q", got.Reply.Body)
		}
		return
	}
	any = nil
	if err := json.Unmarshal(got.Payload, &any); err != nil || any == nil {
		t.Fatalf("the payload is no JSON object: %q", got.Payload)
	}
	if got.EventType == "" && got.Unreadable == "" || len(got.EventType) > 256 || got.DedupKey == "" {
		t.Fatalf("%q became %+v", body, got)
	}
}

func BenchmarkReceive(b *testing.B) {
	raw, err := os.ReadFile("testdata/webhook-sha1.json")
	if err != nil {
		b.Fatal(err)
	}
	var file opensslFile
	if err := json.Unmarshal(raw, &file); err != nil {
		b.Fatal(err)
	}
	v := file.Vectors[0]
	in := inbound(string(v.BodyB64), v.Signature, "7300000000000000001")
	b.SetBytes(int64(len(v.BodyB64)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Receive(settings, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set("client_secret", secret, "client_key", "awtestclientkey01")
	o := dialect.Outbound{EventType: examples[0].EventType, Payload: examples[0].Payload, Created: time.Unix(1760000000, 0)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Sign(s, o); err != nil {
			b.Fatal(err)
		}
	}
}
