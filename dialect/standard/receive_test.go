package standard

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	s := dialect.Set("secret", ours)
	h, err := Sign(s, "msg_1", moment, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(http.Header){
		"an id that is there twice":         func(h http.Header) { h.Add("Webhook-Id", "msg_2") },
		"a timestamp that is there twice":   func(h http.Header) { h.Add("Webhook-Timestamp", "1") },
		"a signature that is there twice":   func(h http.Header) { h.Add("Webhook-Signature", "v1,") },
		"signatures without an end":         func(h http.Header) { h.Set("Webhook-Signature", strings.Repeat("v1,a ", 5000)) },
		"one signature without an end":      func(h http.Header) { h.Set("Webhook-Signature", "v1,"+strings.Repeat("a", 9000)) },
		"an id with a character of Chinese": func(h http.Header) { h.Set("Webhook-Id", "消息") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := h.Clone()
			change(h)
			_, err := receive(s, dialect.Inbound{Header: h, Body: []byte("{}"), Now: moment})
			var refusal *dialect.Error
			if !errors.As(err, &refusal) || refusal.Reason != dialect.ReasonMalformed {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestReceiveExplainsAMismatchOfVersions(t *testing.T) {
	t.Parallel()
	private, public := KeyPair([32]byte{3})
	for name, c := range map[string]struct{ sender, receiver, text string }{
		"an HMAC sender and a receiver with a public key":       {ours, public, "holds v1 signatures only"},
		"an Ed25519 sender and a receiver with a shared secret": {private, ours, "holds v1a signatures only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, err := Sign(dialect.Set("secret", c.sender), "msg_1", moment, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = receive(dialect.Set("secret", c.receiver), dialect.Inbound{Header: h, Now: moment})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestReceiveReadsHeadersInAnySpelling(t *testing.T) {
	t.Parallel()
	s := dialect.Set("secret", ours)
	signed, err := Sign(s, "msg_1", moment, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, spell := range []func(string) string{strings.ToLower, strings.ToUpper} {
		h := http.Header{}
		for name, v := range signed {
			h[spell(name)] = v
		}
		if _, err := receive(s, dialect.Inbound{Header: h, Now: moment}); err != nil {
			t.Error(err)
		}
	}
}

func TestReceivedPayloadIsASliceOfTheBody(t *testing.T) {
	t.Parallel()
	s, body := dialect.Set("secret", ours), []byte(`{"type":"a"}`)
	h, err := Sign(s, "msg_1", moment, body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := receive(s, dialect.Inbound{Header: h, Body: body, Now: moment})
	if err != nil || &got.Payload[0] != &body[0] {
		t.Errorf("the payload was copied, %v", err)
	}
}

// FuzzReceive throws requests at a receiver and checks what it accepts with the standard library alone.
func FuzzReceive(f *testing.F) {
	private, public := KeyPair([32]byte{4})
	settings := dialect.Set("secret", ours, "secret", public)
	for _, secret := range []string{ours, private} {
		for _, body := range []string{"", "{}", `{"type":"a.b"}`, "[1", "\xff"} {
			h, err := Sign(dialect.Set("secret", secret), "msg_1", moment, []byte(body))
			if err != nil {
				f.Fatal(err)
			}
			f.Add("msg_1", h.Get("webhook-timestamp"), h.Get("webhook-signature"), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		got, err := receive(settings, dialect.Inbound{Header: h, Body: body, Now: moment})
		if err != nil {
			return
		}
		if !genuine(public, id+"."+timestamp+"."+string(body), signature) {
			t.Error("accepted without a right signature")
		}
		if off := moment.Sub(got.Time); off < -5*time.Minute || off > 5*time.Minute+time.Second {
			t.Errorf("accepted %s off", off)
		}
		if strings.Contains(id, ".") || !json.Valid(got.Payload) || got.Payload[0] != '{' && !strings.HasPrefix(strings.TrimLeft(string(got.Payload), " \t\r\n"), "{") {
			t.Errorf("id %q, payload %q", id, got.Payload)
		}
	})
}

func genuine(public, content, signature string) bool {
	secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(ours, prefixShared))
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(content))
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, prefixPublic))
	for _, one := range strings.Fields(signature) {
		version, text, _ := strings.Cut(one, ",")
		sig, _ := base64.StdEncoding.DecodeString(text)
		if version == "v1" && hmac.Equal(sig, m.Sum(nil)) || version == "v1a" && ed25519.Verify(key, []byte(content), sig) {
			return true
		}
	}
	return false
}

func BenchmarkReceive(b *testing.B) {
	private, public := KeyPair([32]byte{1})
	body := []byte(`{"type":"invoice.paid","data":"` + strings.Repeat("x", 2000) + `"}`)
	for name, pair := range map[string][2]string{"hmac": {ours, ours}, "ed25519": {private, public}} {
		h, err := Sign(dialect.Set("secret", pair[0]), "msg_1", moment, body)
		if err != nil {
			b.Fatal(err)
		}
		receive := Dialect.ReceiveWith(dialect.Set("secret", pair[1]))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := receive(dialect.Inbound{Header: h, Body: body, Now: moment}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestWhatIsYoungEnoughToPassIsStillRemembered(t *testing.T) {
	t.Parallel()
	s := dialect.Set("secret", ours, "tolerance", "30m", "dedup_for", "1h")
	h, err := Sign(s, "msg_1", moment, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(s dialect.Settings, age time.Duration) dialect.Reason {
		_, err := receive(s, dialect.Inbound{Header: h, Body: []byte("{}"), Now: moment.Add(age)})
		var refusal *dialect.Error
		if errors.As(err, &refusal) {
			return refusal.Reason
		}
		return ""
	}
	for age, want := range map[time.Duration]dialect.Reason{
		-30*time.Minute - time.Second: dialect.ReasonReplay, -30 * time.Minute: "",
		30 * time.Minute: "", 30*time.Minute + time.Second: dialect.ReasonReplay,
	} {
		if got := at(s, age); got != want {
			t.Errorf("%v after its time: %q, want %q", age, got, want)
		}
	}
	if got := at(dialect.Set("secret", ours, "tolerance", "1h", "dedup_for", "1h"), 0); got != dialect.ReasonSettings {
		t.Errorf("a tolerance over half of the memory: %q", got)
	}
}
