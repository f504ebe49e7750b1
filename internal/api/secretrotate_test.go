package api_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// stored is an endpoint as the store has it, secrets and all.
func (s *server) stored(path string) hook.Endpoint {
	s.t.Helper()
	parts := strings.Split(path, "/")
	app := must(s.store.Application(s.t.Context(), parts[4]))(s.t)
	return must(s.store.Endpoint(s.t.Context(), app.ID, parts[6]))(s.t)
}

func (s *server) key(path string) string {
	s.t.Helper()
	return s.get(path + "/secret").want(200).json().str("key")
}

// secretOf is a shared secret of n bytes.
func secretOf(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }

// Svix's own example of an Ed25519 key, and its public half.
const (
	privateKey = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	publicKey  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
)

func TestRotateRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"secret": goodSecret})
	for name, c := range map[string]struct {
		body any
		loc  string
	}{
		"too short":                {object{"key": "whsec_C2FVsBQIhrscChlQIM+b5sSYspob"}, "body.key"},
		"too long":                 {object{"key": secretOf(76)}, "body.key"},
		"another prefix":           {object{"key": "hwsec_C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh"}, "body.key"},
		"no prefix":                {object{"key": "C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh"}, "body.key"},
		"empty":                    {object{"key": ""}, "body.key"},
		"no base64":                {object{"key": "whsec_not*base64*not*base64*not*base64*"}, "body.key"},
		"a public key":             {object{"key": publicKey}, "body.key"},
		"half a private key":       {object{"key": "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 16))}, "body.key"},
		"a pair that is none":      {object{"key": "whsk_" + base64.StdEncoding.EncodeToString(slices.Repeat([]byte{7}, 64))}, "body.key"},
		"a number":                 {object{"key": 7}, "body.key"},
		"the word for a secret":    {object{"key": "<secret>"}, "body.key"},
		"endless":                  {object{"key": "whsec_" + strings.Repeat("A", 1000)}, "body.key"},
		"an overlap below nothing": {object{"gracePeriodSeconds": -1}, "body.gracePeriodSeconds"},
		"an overlap of 8 days":     {object{"gracePeriodSeconds": 8 * 86400}, "body.gracePeriodSeconds"},
		"an overlap in words":      {object{"gracePeriodSeconds": "1 day"}, "body.gracePeriodSeconds"},
		"an overlap of a part":     {object{"gracePeriodSeconds": 0.5}, "body.gracePeriodSeconds"},
		"a list":                   {`[]`, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			a := s.post(ep+"/secret/rotate", c.body).wrong(c.loc)
			if o, ok := c.body.(object); ok {
				if key, _ := o["key"].(string); len(key) > 10 && strings.Contains(a.text, key[6:]) {
					t.Errorf("repeats the secret: %s", a.text)
				}
			}
		})
	}
	t.Run("no document", func(t *testing.T) {
		s := s.in(t)
		s.post(ep+"/secret/rotate", `{`).refused(400, "bad_request")
		s.post(ep+"/secret/rotate", "").refused(400, "bad_request")
	})
	t.Run("another dialect has its keys elsewhere", func(t *testing.T) {
		s := s.in(t)
		other := s.ep(app, object{"dialect": "pandapon", "settings": object{"access_secret": "x"}})
		if a := s.post(other+"/secret/rotate", object{}).refused(409, "conflict"); !strings.Contains(a.text, "settings") {
			t.Errorf("does not say what to do: %s", a.text)
		}
	})
	t.Run("a profile's secret is the organisation's", func(t *testing.T) {
		s := s.in(t)
		prof := s.post("/api/v1/profile", object{"name": "p", "dialect": "standard", "settings": object{"secret": goodSecret}}).want(201).json().str("id")
		shared := s.ep(app, object{"profile": prof})
		s.post(shared+"/secret/rotate", object{}).refused(409, "conflict")
	})
	t.Run("unknown", func(t *testing.T) {
		s.in(t).post(app+"/endpoint/none/secret/rotate", object{}).refused(404, "not_found")
	})
	if e := s.stored(ep); len(e.OldSecrets) != 0 || e.Settings.Get("secret") != goodSecret {
		t.Errorf("a refusal changed the secret: %d old ones", len(e.OldSecrets))
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{"secret": goodSecret})
	rotate := func(body object) { t.Helper(); s.post(ep+"/secret/rotate", body).want(204) }
	// live are the old secrets and how long they have still to live, rounded to the hour.
	live := func() string {
		t.Helper()
		var out []string
		for _, o := range s.stored(ep).OldSecrets {
			name := o.Value
			if o.Value == goodSecret {
				name = "first"
			}
			out = append(out, fmt.Sprintf("%s for %v", name, o.Until.Sub(s.now()).Round(time.Hour)))
		}
		return strings.Join(out, ", ")
	}

	rotate(object{"key": nil})
	second := s.key(ep)
	if second == goodSecret || !strings.HasPrefix(second, "whsec_") || live() != "first for 24h0m0s" {
		t.Errorf("after a rotation %s, live are %s", second, live())
	}
	t.Log("back to the first one, which is old no longer")
	rotate(object{"key": goodSecret})
	if s.key(ep) != goodSecret || live() != second+" for 24h0m0s" {
		t.Errorf("rotated back: %s", live())
	}
	t.Log("to the one that is there already: nothing to do")
	rotate(object{"key": goodSecret})
	if s.key(ep) != goodSecret || live() != second+" for 24h0m0s" {
		t.Errorf("rotated to itself: %s", live())
	}
	t.Log("to an Ed25519 key, whose public half is shown; the next one made is of that kind")
	rotate(object{"key": privateKey, "gracePeriodSeconds": 3600})
	if s.key(ep) != publicKey || live() != "first for 1h0m0s, "+second+" for 24h0m0s" {
		t.Errorf("%s: %s", s.key(ep), live())
	}
	rotate(object{"gracePeriodSeconds": 7 * 86400})
	if key := s.key(ep); !strings.HasPrefix(key, "whpk_") || key == publicKey {
		t.Errorf("made %q in the place of an Ed25519 key", key)
	}
	if live() != privateKey+" for 168h0m0s, first for 1h0m0s, "+second+" for 24h0m0s" {
		t.Error(live())
	}
	t.Log("without an overlap the secret ends at once, and the earlier ones go on")
	rotate(object{"key": secretOf(64), "gracePeriodSeconds": 0})
	if live() != privateKey+" for 168h0m0s, first for 1h0m0s, "+second+" for 24h0m0s" {
		t.Error(live())
	}
	t.Log("what has ended is forgotten by the next rotation")
	s.advance(2 * time.Hour)
	rotate(object{"key": secretOf(24), "gracePeriodSeconds": 0})
	if live() != privateKey+" for 166h0m0s, "+second+" for 22h0m0s" {
		t.Error(live())
	}
	t.Log("several secrets in settings are all old afterwards")
	s.patch(ep, object{"settings": object{"secret": []string{goodSecret, "<secret>"}}}).want(200)
	rotate(object{"gracePeriodSeconds": 3600})
	if live() != "first for 1h0m0s, "+secretOf(24)+" for 1h0m0s, "+privateKey+" for 166h0m0s, "+second+" for 22h0m0s" {
		t.Error(live())
	}
	t.Log("in another dialect there are none")
	s.patch(ep, object{"dialect": "pandapon", "settings": object{"secret": nil, "access_secret": "x"}}).want(200)
	if live() != "" {
		t.Error(live())
	}
	if strings.Contains(s.log.String(), goodSecret) {
		t.Error("a secret is in the log")
	}
}

func TestAtMostTenOldSecretsLive(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	for i := range 10 {
		body := object{"key": nil}
		if i == 0 {
			body = object{"gracePeriodSeconds": 3600}
		}
		s.post(ep+"/secret/rotate", body).want(204)
	}
	before := s.key(ep)
	s.post(ep+"/secret/rotate", object{"key": nil}).refused(400, "limit_reached")
	if s.key(ep) != before {
		t.Error("a refused rotation changed the secret")
	}
	t.Log("one without an overlap adds none")
	s.post(ep+"/secret/rotate", object{"gracePeriodSeconds": 0}).want(204)
	t.Log("when one has ended there is room again")
	s.advance(time.Hour)
	s.post(ep+"/secret/rotate", object{"key": nil}).want(204)
	s.post(ep+"/secret/rotate", object{"key": nil}).refused(400, "limit_reached")
}

func TestRotationsAtOnceLoseNoSecret(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{"secret": secretOf(24)})
	const n = 6
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			rotate := func() answer { return s.post(ep+"/secret/rotate", object{"key": secretOf(25 + i)}) }
			for a := rotate(); a.status != 204; a = rotate() {
				if a.status != 409 { // told to try again
					t.Errorf("%d %s", a.status, a.text)
					return
				}
			}
		})
	}
	wg.Wait()
	e := s.stored(ep)
	known := map[string]bool{e.Settings.Get("secret"): true}
	for _, o := range e.OldSecrets {
		known[o.Value] = true
	}
	for i := range n + 1 {
		if !known[secretOf(24+i)] {
			t.Errorf("the secret of %d bytes is lost", 24+i)
		}
	}
	if len(known) != n+1 || len(e.OldSecrets) != n {
		t.Errorf("%d secrets, %d of them old", len(known), len(e.OldSecrets))
	}
}

func TestWhoMayChangeASecret(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"secret": goodSecret})
	access := func(capabilities ...string) string {
		o := s.post("/api/v1/auth/app-portal-access/a", object{"capabilities": capabilities}).want(200).json()
		return o.str("token")
	}
	endpoints, secrets := access("ViewBase", "ManageEndpoint"), access("ViewBase", "ManageEndpoint", "ManageEndpointSecret")
	for _, body := range []object{{"secret": secretOf(24)}, {"settings": object{"secret": []string{secretOf(24), "<secret>"}}}} {
		s.call(endpoints, "PATCH", ep, body).refused(403, "permission_denied")
		body["url"] = goodURL
		s.call(endpoints, "PUT", ep, body).refused(403, "permission_denied")
	}
	s.call(endpoints, "POST", ep+"/secret/rotate", object{}).refused(403, "permission_denied")
	if s.key(ep) != goodSecret {
		t.Error("the secret was changed")
	}
	t.Log("what leaves it as it is may be changed, and one's own new endpoint has the secret that one wants")
	s.call(endpoints, "PATCH", ep, object{"description": "x", "secret": nil, "settings": object{"headers": "svix"}}).want(200)
	s.call(endpoints, "PUT", ep, object{"url": goodURL, "secret": goodSecret}).want(200)
	s.call(endpoints, "POST", app+"/endpoint", object{"url": goodURL, "secret": secretOf(24)}).want(201)
	s.call(secrets, "PATCH", ep, object{"secret": secretOf(24)}).want(200)
	s.call(secrets, "POST", ep+"/secret/rotate", object{}).want(204)
	s.call(secrets, "GET", ep+"/secret", nil).refused(403, "permission_denied") // to change is not to see
}

func TestARepeatedRotationRotatesOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	for range 2 {
		a := s.call(s.org, "POST", ep+"/secret/rotate", object{}, "Idempotency-Key", "again").want(204)
		if a.text != "" {
			t.Errorf("the answer has a body: %q", a.text)
		}
	}
	if n := len(s.stored(ep).OldSecrets); n != 1 {
		t.Errorf("%d old secrets after one rotation that was asked for twice", n)
	}
}

// Svix's libraries since 2.7.0 read the new secret out of the answer; the open server's answer is empty.
func TestWhatARotationAnswers(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	path := ep + "/secret/rotate"
	for _, agent := range []string{"", "curl/8", "svix-libs/1.44.0/go", "svix-libs/2.6.2/python", "svix-libs/2.x/python"} {
		if a := s.call(s.org, "POST", path, object{}, "User-Agent", agent).want(204); a.text != "" {
			t.Errorf("%q is answered %s", agent, a.text)
		}
	}
	for _, agent := range []string{"svix-libs/2.7.0/python", "svix-libs/2.10.1/python linux", "svix-libs/3.0.0/ruby"} {
		a := s.call(s.org, "POST", path, object{}, "User-Agent", agent, "Idempotency-Key", agent).want(200)
		if key := s.key(ep); a.json().str("key") != key {
			t.Errorf("%q is told %s, and the secret is %s", agent, a.text, key)
		}
		if b := s.call(s.org, "POST", path, object{}, "User-Agent", agent, "Idempotency-Key", agent).want(200); b.text != a.text {
			t.Errorf("a repeat is answered %s, not %s", b.text, a.text)
		}
	}
	t.Log("of an Ed25519 key its public half")
	a := s.call(s.org, "POST", path, object{"key": privateKey, "gracePeriodSeconds": 0}, "User-Agent", "svix-libs/2.9.1/python").want(200)
	if got := a.json().str("key"); got != publicKey {
		t.Error(got)
	}
	s.call(s.org, "POST", path, object{"key": "x"}, "User-Agent", "svix-libs/2.9.1/python").wrong("body.key")
}
