package douyinspi

import (
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
	secret = "0123456789abcdef0123456789abcdef"
	query  = "client_key=awtestclientkey01&timestamp=1760000000123"
)

var (
	settings = dialect.Set("client_secret", secret)
	now      = time.UnixMilli(1760000000123)
)

func inbound(query, body, signature string) dialect.Inbound {
	return dialect.Inbound{Method: "POST", Query: query, Header: http.Header{"X-Life-Sign": {signature}}, Body: []byte(body), Now: now}
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func reasonOf(err error) dialect.Reason {
	var refusal *dialect.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// opensslFile is testdata/spi-x-life-sign-sha256.json, made with the openssl command line.
type opensslFile struct {
	Vectors []struct {
		Name         string
		ClientSecret string `json:"client_secret"`
		Params       [][2]string
		Query        string
		Body         string
		BodyB64      []byte `json:"body_b64"`
		Canonical    string
		CanonicalB64 []byte `json:"canonical_b64"`
		Signature    string `json:"x-life-sign"`
		Encoded      *struct {
			Canonical string
			Signature string `json:"x-life-sign"`
		} `json:"alternative_encoded_values"`
		WithoutBody string `json:"alternative_without_http_body"`
	}
}

func TestEveryOpensslVector(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/spi-x-life-sign-sha256.json")
	if err != nil {
		t.Fatal(err)
	}
	var file opensslFile
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) != 8 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if v.Body != string(v.BodyB64) || v.Canonical != string(v.CanonicalB64) || sha256Of(v.Canonical) != v.Signature {
				t.Fatal("the vector does not agree with itself")
			}
			accepts := func(signature string, more ...string) {
				t.Helper()
				s := dialect.Set(append([]string{"client_secret", v.ClientSecret}, more...)...)
				got, err := Dialect.Receive(s, inbound(v.Query, v.Body, signature))
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				for _, p := range v.Params {
					if value, there := got.Platform[p[0]]; there == (p[0] == "sign") || there && value != p[1] {
						t.Errorf("parameter %s is %q in platform, want %q", p[0], value, p[1])
					}
				}
			}
			accepts(v.Signature)
			if v.Encoded != nil {
				if sha256Of(v.Encoded.Canonical) != v.Encoded.Signature {
					t.Fatal("the variant of encoded values does not agree with itself")
				}
				accepts(v.Encoded.Signature, "param_values", "encoded")
			}
			if v.WithoutBody != "" {
				if sha256Of(strings.TrimSuffix(v.Canonical, "&http_body=")) != v.WithoutBody {
					t.Fatal("the variant without http_body does not agree with itself")
				}
				accepts(v.WithoutBody, "empty_body", "without_http_body")
			}
		})
	}
}

// lengthened makes, without the secret, what has to follow a signed text, and the right signature of both.
func lengthened(t *testing.T, signed int, signature, more string) (tail, longer string) {
	t.Helper()
	state, err := hex.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	padding := append([]byte{0x80}, make([]byte, (119-signed%64)%64)...)
	padding = binary.BigEndian.AppendUint64(padding, uint64(signed)*8)
	saved, err := sha256.New().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	copy(saved[4:], state)
	binary.BigEndian.PutUint64(saved[len(saved)-8:], uint64(signed+len(padding)))
	h := sha256.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(more))
	return string(padding) + more, hex.EncodeToString(h.Sum(nil))
}

func TestLengthExtensionIsForged(t *testing.T) {
	t.Parallel()
	body := `{"order_id":"800001"}`
	text := secret + "&" + query + "&http_body=" + body
	tail, signature := lengthened(t, len(text), sha256Of(text), `{"order_id":"800002"}`)
	if sha256Of(text+tail) != signature {
		t.Fatal("the attack itself does not work, so the test shows nothing")
	}
	if _, err := Dialect.Receive(settings, inbound(query, body+tail, signature)); reasonOf(err) != dialect.ReasonSignature {
		t.Errorf("a longer body: %v, want a refusal as forged", err)
	}
	// Where an empty body leaves no trace in the signed text, the last parameter can be lengthened instead.
	text = secret + "&" + query + "&z=1"
	tail, signature = lengthened(t, len(text), sha256Of(text), "&http_body={}")
	escaped := ""
	for _, c := range []byte(tail) {
		escaped += "%" + hex.EncodeToString([]byte{c})
	}
	s := dialect.Set("client_secret", secret, "empty_body", "without_http_body")
	if _, err := Dialect.Receive(s, inbound(query+"&z=1"+escaped, "", signature)); err == nil {
		t.Error("a longer parameter is accepted")
	}
}

func TestDedupKeyIsTheSameForARepeatAlone(t *testing.T) {
	t.Parallel()
	key := func(query, body string) string {
		t.Helper()
		params, err := parseQuery(settings, query)
		if err != nil {
			t.Fatal(err)
		}
		signature := signatureOf(settings, secret, params, []byte(body))
		got, err := Dialect.Receive(settings, inbound(query, body, string(signature[:])))
		if err != nil {
			t.Fatal(err)
		}
		return got.DedupKey
	}
	first := key(query+"&a=1", "{}")
	if key("a=1&client_key=awtestclientkey01&timestamp=1760000060123", "{}") != first {
		t.Error("a repeat with a new timestamp is not told")
	}
	for _, other := range []string{key(query+"&a=2", "{}"), key(query+"&a=1", "[]"), key(query+"&a=", "{}"), key(query+"&a=1&b=", "{}")} {
		if other == first {
			t.Error("another request is taken for a repeat")
		}
	}
}

func TestCheckRefusesWhatWouldFailInSilence(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]dialect.Settings{
		"a secret with a pasted line end": dialect.Set("client_secret", secret+"\n"),
		"an empty second secret":          {"client_secret": {secret, ""}},
		"a client_key with a separator":   dialect.Set("client_secret", secret, "client_key", "a&b"),
		"an event type with a line end":   dialect.Set("client_secret", secret, "event_type", "a\n"),
		"an unknown way of the values":    dialect.Set("client_secret", secret, "param_values", "both"),
	} {
		if len(Dialect.Validate(s, dialect.Receiving, false)) == 0 {
			t.Errorf("%s is let through", name)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	p := Dialect.Policy(nil)
	if p.Deadline != 3*time.Second || len(p.Schedule) != 12 || p.Total() != 12*time.Minute || p.DedupFor != time.Hour || !p.HTTPSOnly {
		t.Errorf("without settings: %+v", p)
	}
	p = Dialect.Policy(dialect.Set("retry_count", "1000", "retry_interval", "1h", "deadline", "0s"))
	if p.Deadline != 3*time.Second || len(p.Schedule) != 100 || p.DedupFor != 200*time.Hour {
		t.Errorf("with settings: %+v", p)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(query, []byte(`{"order_id":"800001"}`), "503f2eead9079f22a30f5ef89cf7de0d084d2375651634645ae9a4d1a300619c", false)
	f.Add(query+"&z=%80", []byte(""), "", true)
	f.Fuzz(func(t *testing.T, query string, body []byte, signature string, sign bool) {
		params, err := parseQuery(settings, query)
		if sign && err == nil {
			right := signatureOf(settings, secret, params, body)
			signature = string(right[:])
		}
		got, refusal := Dialect.Receive(settings, inbound(query, string(body), signature))
		if refusal != nil {
			return
		}
		if right := signatureOf(settings, secret, params, body); err != nil || signature != string(right[:]) {
			t.Fatalf("accepted without a right signature: %q %q", query, body)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(got.Payload, &object); err != nil || object == nil || got.EventType == "" {
			t.Fatalf("%q %q became %+v", query, body, got)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	in := inbound(query, `{"order_id":"800001"}`, "503f2eead9079f22a30f5ef89cf7de0d084d2375651634645ae9a4d1a300619c")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Receive(settings, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set("client_secret", secret, "client_key", "awtestclientkey01")
	o := dialect.Outbound{EventType: "spi", Payload: []byte(`{"order_id":"800001"}`), Now: now}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Sign(s, o); err != nil {
			b.Fatal(err)
		}
	}
}
