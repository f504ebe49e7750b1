package alipay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

// bothSides are the settings of a platform and of the application that it checks.
func bothSides(t testing.TB) (platform, app dialect.Settings) {
	t.Helper()
	keys := readKeys(t)
	return dialect.Set(fAppID, "2013121700999429", fPlatformKey, keys.Alipay.PrivatePKCS8, fAppPublicKey, keys.App.PublicSPKI),
		dialect.Set(fAppID, "2013121700999429", fAlipayPublicKey, keys.Alipay.PublicSPKI, fAppPrivateKey, keys.App.PrivatePKCS8)
}

func TestHandshakeIsThePlatformsGatewayCheck(t *testing.T) {
	t.Parallel()
	platform, _ := bothSides(t)
	m := readMessages(t)["gateway-check"]
	req, _, err := handshake(platform, dialect.Nonce{Now: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	params, err := ParseForm(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	canonicalIs(t, Canonical(V2, params), m.CanonicalV2, m.CanonicalV2Hex, m.CanonicalV2Sum)
	for _, p := range params {
		if p.Value != m.param(p.Name) {
			t.Errorf("%s is %q, not %q", p.Name, p.Value, m.param(p.Name))
		}
	}
	var names []string
	for _, p := range params {
		names = append(names, p.Name)
	}
	// The order that a HashMap of a JDK 17 program has.
	if got := strings.Join(names, " "); got != "charset biz_content service sign sign_type" {
		t.Errorf("the order is %s", got)
	}
	if got := req.Header.Get("Content-Type"); got != m.ContentType {
		t.Errorf("the type is %s, not %s", got, m.ContentType)
	}
}

func TestHandshakeMeetsReceive(t *testing.T) {
	t.Parallel()
	sm2App := mustPublic(t, sm2Public)
	spki, err := sm2App.SPKI()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(platform, app dialect.Settings){
		"RSA2":             func(_, _ dialect.Settings) {},
		"RSA":              func(p, _ dialect.Settings) { p[fSignType] = []string{RSA} },
		"with biz_content": func(_, a dialect.Settings) { a[fGatewayContent] = []string{"true"} },
		"without the key to check the answer": func(p, _ dialect.Settings) {
			delete(p, fAppPublicKey)
		},
		"with a second key for the answer": func(p, _ dialect.Settings) {
			p[fAppPublicKey] = []string{spki, p.Get(fAppPublicKey)}
		},
		"SM2": func(p, a dialect.Settings) {
			p[fSignType], p[fPlatformKey], p[fAppPublicKey] = []string{SM2}, []string{sm2PKCS8}, []string{sm2Public}
			a[fAlipayPublicKey], a[fAppPrivateKey] = []string{sm2Public}, []string{sm2PKCS8}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			platform, app := bothSides(t)
			change(platform, app)
			req, judgeAnswer, err := handshake(platform, dialect.Nonce{Now: signedAt})
			if err != nil {
				t.Fatal(err)
			}
			got, err := receive(app, inbound(string(req.Body)))
			if err != nil || got.Reply == nil {
				t.Fatalf("the check is not answered: %v", err)
			}
			if r := reply(app, dialect.Outcome{Received: &got}); !bytes.Equal(r.Body, got.Reply.Body) {
				t.Error("Reply answers something else than the check")
			}
			v := judgeAnswer(dialect.Response{Status: got.Reply.Status, Body: got.Reply.Body})
			if v.Kind != dialect.Accepted {
				t.Errorf("the answer %s is not accepted: %s", got.Reply.Body, v.Reason)
			}
		})
	}
}

func TestGatewayAnswersThatDoNotPass(t *testing.T) {
	t.Parallel()
	platform, app := bothSides(t)
	req, judgeAnswer, err := handshake(platform, dialect.Nonce{Now: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	got, err := receive(app, inbound(string(req.Body)))
	if err != nil {
		t.Fatal(err)
	}
	good := string(got.Reply.Body)
	if judgeAnswer(dialect.Response{Status: 200, Body: []byte(good)}).Kind != dialect.Accepted {
		t.Fatal("the good answer is not accepted")
	}
	other := mustPrivate(t, readKeys(t).Other.PrivatePKCS8)
	sign, err := other.Sign(RSA2, []byte(gatewayOK))
	if err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(good, "<sign>")
	for name, r := range map[string]dialect.Response{
		"the word success":         {Status: 200, Body: []byte("success")},
		"nothing":                  {Status: 200},
		"a redirect":               {Status: 302, Body: []byte(good)},
		"201":                      {Status: 201, Body: []byte(good)},
		"500":                      {Status: 500, Body: []byte(good)},
		"too much":                 {Status: 200, Body: []byte(good), Truncated: true},
		"false":                    {Status: 200, Body: []byte(strings.Replace(good, "true", "false", 1))},
		"more than was signed":     {Status: 200, Body: []byte(strings.Replace(good, gatewayOK, gatewayOK+" ", 1))},
		"success outside":          {Status: 200, Body: []byte(gatewayOK + "<response></response><sign>" + tail)},
		"no signature":             {Status: 200, Body: []byte(strings.Replace(good, "<sign>", "<sig>", 1))},
		"an empty signature":       {Status: 200, Body: []byte("<response>" + gatewayOK + "</response><sign></sign>")},
		"another's signature":      {Status: 200, Body: []byte("<response>" + gatewayOK + "</response><sign>" + sign + "</sign>")},
		"an open response element": {Status: 200, Body: []byte(strings.Replace(good, "</response>", "", 1))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v := judgeAnswer(r); v.Kind != dialect.Retry || v.Reason == "" {
				t.Errorf("the verdict is %v (%s)", v.Kind, v.Reason)
			}
		})
	}
	t.Run("handshake without app_id", func(t *testing.T) {
		t.Parallel()
		if _, _, err := handshake(dialect.Set(fPlatformKey, platform.Get(fPlatformKey)), dialect.Nonce{Now: signedAt}); err == nil {
			t.Error("is made")
		}
	})
	t.Run("handshake without a key", func(t *testing.T) {
		t.Parallel()
		if _, _, err := handshake(dialect.Set(fAppID, "1"), dialect.Nonce{Now: signedAt}); err == nil {
			t.Error("is made")
		}
	})
}
