package standard

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

var moment = time.Date(2026, 1, 1, 8, 0, 0, 999, time.FixedZone("Shanghai", 8*3600))

func TestSign(t *testing.T) {
	t.Parallel()
	t.Run("refuses an id that moves the border to the timestamp", func(t *testing.T) {
		t.Parallel()
		_, err := Sign(dialect.Set("secret", ours), "msg.1", moment, nil)
		var refusal *dialect.Error
		if !errors.As(err, &refusal) || refusal.Reason != dialect.ReasonMalformed {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("refuses without a secret", func(t *testing.T) {
		t.Parallel()
		_, err := Sign(nil, "msg_1", moment, nil)
		var refusal *dialect.Error
		if !errors.As(err, &refusal) || refusal.Reason != dialect.ReasonSettings {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("says that a secret is empty", func(t *testing.T) {
		t.Parallel()
		_, err := Sign(dialect.Set("secret", ""), "msg_1", moment, nil)
		if err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("signs any bytes so that they can be received", func(t *testing.T) {
		t.Parallel()
		private, public := KeyPair([32]byte{2})
		for _, body := range []string{"", "a=b&c", "\x00\xff.1.2", `{"type":"x"}`} {
			h, err := Sign(dialect.Set("secret", private), "msg_1", moment, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := receive(dialect.Set("secret", public), dialect.Inbound{Header: h, Body: []byte(body), Now: moment})
			if err != nil || got.EventID != "msg_1" || !got.Time.Equal(moment.Truncate(time.Second)) {
				t.Errorf("body %q: %+v, %v", body, got, err)
			}
		}
	})
	t.Run("leaves a header map that Get finds its way in", func(t *testing.T) {
		t.Parallel()
		h, err := Sign(dialect.Set("secret", ours), "msg_1", moment, nil)
		if err != nil || h.Get("webhook-id") != "msg_1" || h.Get("webhook-timestamp") != "1767225600" || len(h) != 3 {
			t.Errorf("%v, %v", h, err)
		}
	})
	t.Run("makes the time and the signature anew for each attempt, and nothing else", func(t *testing.T) {
		t.Parallel()
		o := dialect.Outbound{ID: "msg_1", Payload: []byte(`{}`), Now: moment}
		first, err := sign(dialect.Set("secret", ours), o)
		if err != nil {
			t.Fatal(err)
		}
		o.Now = moment.Add(time.Hour)
		second, err := sign(dialect.Set("secret", ours), o)
		if err != nil {
			t.Fatal(err)
		}
		if first.Header.Get("webhook-id") != second.Header.Get("webhook-id") || !bytes.Equal(first.Body, second.Body) {
			t.Errorf("%v, then %v", first, second)
		}
		if first.Header.Get("webhook-signature") == second.Header.Get("webhook-signature") {
			t.Error("the signature did not change with the time")
		}
	})
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	t.Run("fails without a secret", func(t *testing.T) {
		t.Parallel()
		if _, _, err := handshake(nil, dialect.Nonce{Now: moment}); err == nil {
			t.Error("there is no error")
		}
	})
	s := dialect.Set("secret", ours)
	req, verdict, err := handshake(s, dialect.Nonce{Now: moment, Seed: [32]byte{7}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("is a message like any other", func(t *testing.T) {
		t.Parallel()
		got, err := receive(s, dialect.Inbound{Header: req.Header, Body: req.Body, Now: moment})
		if err != nil || got.EventType != VerifyEvent || got.Reply != nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("has another id for another seed", func(t *testing.T) {
		t.Parallel()
		other, _, err := handshake(s, dialect.Nonce{Now: moment})
		if err != nil || other.Header.Get("webhook-id") == req.Header.Get("webhook-id") {
			t.Errorf("id %q again, %v", other.Header.Get("webhook-id"), err)
		}
	})
	t.Run("is passed by 2xx only", func(t *testing.T) {
		t.Parallel()
		for status, want := range map[int]bool{200: true, 204: true, 302: false, 401: false, 410: false, 500: false} {
			if v := verdict(dialect.Response{Status: status}); (v.Kind == dialect.Accepted) != want || v.Reason == "" {
				t.Errorf("%d: %+v", status, v)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	t.Run("a shared secret is not made of too few or too many bytes", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{0, 23, 65} {
			if s, err := SharedSecret(make([]byte, n)); err == nil {
				t.Errorf("%d bytes: %s", n, s)
			}
		}
	})
	t.Run("a shared secret of 24 to 64 bytes validates", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{24, 25, 32, 64} {
			s, err := SharedSecret(bytes.Repeat([]byte{0xfb}, n))
			if err != nil {
				t.Fatal(err)
			}
			if p := Dialect.Validate(dialect.Set("secret", s), dialect.Sending, false); len(p) > 0 {
				t.Errorf("%d bytes: %v", n, p)
			}
		}
	})
	t.Run("a longer one is taken as far as Svix takes it", func(t *testing.T) {
		t.Parallel()
		for n, ok := range map[int]bool{65: true, 75: true, 76: false} {
			secret := prefixShared + base64.StdEncoding.EncodeToString(make([]byte, n))
			if p := Dialect.Validate(dialect.Set("secret", secret), dialect.Sending, false); (len(p) == 0) != ok {
				t.Errorf("%d bytes: %v", n, p)
			}
		}
	})
	t.Run("a pair belongs together and gives the published public key", func(t *testing.T) {
		t.Parallel()
		seed := [32]byte([]byte("TESTSIGNINGKEYDONOTUSETHISFORANY"))
		private, public := KeyPair(seed)
		if got, err := ForReceiver(private); err != nil || got != public {
			t.Errorf("%v", err)
		}
		h, err := Sign(dialect.Set("secret", private), "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
		const published = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
		if err != nil || h.Get("webhook-signature") != published {
			t.Errorf("not the signature of the reference library's test; %v", err)
		}
	})
	t.Run("a receiver gets the public half of a private key only", func(t *testing.T) {
		t.Parallel()
		const svix = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
		if got, err := ForReceiver(svix); err != nil || got != "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=" {
			t.Errorf("%s, %v", got, err)
		}
		if got, err := ForReceiver(ours); err != nil || got != ours {
			t.Errorf("a shared secret changed: %v", err)
		}
	})
	t.Run("an unusable secret is named without being told", func(t *testing.T) {
		t.Parallel()
		got, err := ForReceiver("whsec_c2hvcnRzZWNyZXQ=")
		if err == nil || got != "" || strings.Contains(err.Error(), "c2hvcnRz") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	private, _ := KeyPair([32]byte{1})
	body := []byte(`{"type":"invoice.paid","data":"` + strings.Repeat("x", 2000) + `"}`)
	for name, s := range map[string]dialect.Settings{
		"hmac":    dialect.Set("secret", ours),
		"ed25519": dialect.Set("secret", private),
	} {
		sign := Dialect.SignWith(s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sign(dialect.Outbound{ID: "msg_1", Now: moment, Payload: body}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
