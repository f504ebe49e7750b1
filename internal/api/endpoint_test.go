package api_test

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

const (
	goodURL    = "https://example.com/hook"
	goodSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
)

func TestEndpointRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.ep(app, object{"uid": "taken"})
	ep := s.ep(app, object{})
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"no url":                          {object{}, "body.url"},
		"an empty url":                    {object{"url": ""}, "body.url"},
		"a url that is null":              {object{"url": nil}, "body.url"},
		"a url that is a number":          {object{"url": 7}, "body.url"},
		"a url that is none":              {object{"url": "hello"}, "body.url"},
		"another scheme":                  {object{"url": "ftp://example.com/"}, "body.url"},
		"a url without a host":            {object{"url": "https:///x"}, "body.url"},
		"two credentials":                 {object{"url": "https://user:pass@example.com/", "headers": object{"Authorization": "Bearer x"}}, "body.url"},
		"credentials that are too long":   {object{"url": "https://user:" + strings.Repeat("x", 4000) + "@example.com/"}, "body.url"},
		"a password of a private address": {object{"url": "https://user:pass@10.0.0.1/"}, "body.url"},
		"a fragment in the url":           {object{"url": "https://example.com/#x"}, "body.url"},
		"a port that does not exist":      {object{"url": "https://example.com:99999/"}, "body.url"},
		"a blank in the url":              {object{"url": "https://example.com/a b"}, "body.url"},
		"a blank behind the url":          {object{"url": "https://example.com/ "}, "body.url"},
		"a wide blank in the url":         {object{"url": "https://example.com/a\u3000b"}, "body.url"},
		"a control character in the url":  {object{"url": "https://example.com/a\u0085b"}, "body.url"},
		"a line break in the url":         {object{"url": "https://example.com/a\nb"}, "body.url"},
		"a private address":               {object{"url": "https://10.0.0.1/"}, "body.url"},
		"loopback":                        {object{"url": "http://[::1]:80/"}, "body.url"},
		"a link-local address":            {object{"url": "http://169.254.169.254/latest"}, "body.url"},
		"a uid that looks like an id":     {object{"url": goodURL, "uid": "ep_0000000000001"}, "body.uid"},
		"an empty list of event types":    {object{"url": goodURL, "filterTypes": []string{}}, "body.filterTypes"},
		"an event type that is none":      {object{"url": goodURL, "filterTypes": []string{"ok", " spaced "}}, "body.filterTypes.[1]"},
		"an event type that is too long":  {object{"url": goodURL, "filterTypes": []string{strings.Repeat("x", 257)}}, "body.filterTypes.[0]"},
		"too many channels":               {object{"url": goodURL, "channels": strings.Split("a b c d e f g h i j k", " ")}, "body.channels"},
		"a channel with other characters": {object{"url": goodURL, "channels": []string{"a b"}}, "body.channels.[0]"},
		"a version of nothing":            {object{"url": goodURL, "version": 0}, "body.version"},
		"a version beyond all":            {object{"url": goodURL, "version": 65536}, "body.version"},
		"a transport that is none":        {object{"url": goodURL, "transport": "pigeon"}, "body.transport"},
		"polling in a platform's dialect": {object{"transport": "poll", "dialect": "pandapon", "settings": object{"access_secret": "x"}}, "body.transport"},
		"a rate of nothing":               {object{"url": goodURL, "rateLimit": 0}, "body.rateLimit"},
		"a secret without its prefix":     {object{"url": goodURL, "secret": "hello"}, "body.secret"},
		"a secret that is too short":      {object{"url": goodURL, "secret": "whsec_c2hvcnQ="}, "body.secret"},
		"a secret that is too long":       {object{"url": goodURL, "secret": "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 100))}, "body.secret"},
		"a secret twice":                  {object{"url": goodURL, "secret": goodSecret, "settings": object{"secret": goodSecret}}, "body.secret"},
		"an unknown setting":              {object{"url": goodURL, "settings": object{"sekret": "x"}}, "body.settings.sekret"},
		"a kept secret that is not there": {object{"url": goodURL, "settings": object{"secret": "<secret>"}}, "body.settings.secret"},
		"an unknown dialect":              {object{"url": goodURL, "dialect": "telex"}, "body.dialect"},
		"an unknown profile":              {object{"url": goodURL, "profile": "none"}, "body.profile"},
		"a required setting missing":      {object{"url": goodURL, "dialect": "pandapon"}, "body.settings.access_secret"},
		"http where https is demanded":    {object{"url": "http://example.com/", "dialect": "pandapon", "settings": object{"access_secret": "s3cret-of-pandapon"}}, "body.url"},
		"a secret of the wrong dialect":   {object{"url": goodURL, "dialect": "pandapon", "secret": goodSecret, "settings": object{"access_secret": "x"}}, "body.secret"},
		"a format for one-form dialects":  {object{"url": goodURL, "dialect": "pandapon", "format": "cloudevents", "settings": object{"access_secret": "x"}}, "body.format"},
		"an unknown format":               {object{"url": goodURL, "format": "xml"}, "body.format"},
		"a wait below nothing":            {object{"url": goodURL, "retrySchedule": []float64{-1}}, "body.retrySchedule.[0]"},
		"a wait of a year":                {object{"url": goodURL, "retrySchedule": []float64{31536000}}, "body.retrySchedule.[0]"},
		"a time-out of nothing":           {object{"url": goodURL, "timeoutMs": 0}, "body.timeoutMs"},
		"a concurrency of nothing":        {object{"url": goodURL, "concurrency": 0}, "body.concurrency"},
		"a description that is a number":  {object{"url": goodURL, "description": 7}, "body.description"},
		"a header that is reserved":       {object{"url": goodURL, "headers": object{"Content-Type": "x"}}, "body.headers.Content-Type"},
		"a header of ours":                {object{"url": goodURL, "headers": object{"webhook-id": "x"}}, "body.headers.webhook-id"},
		"a header of Svix's":              {object{"url": goodURL, "headers": object{"Svix-Id": "x"}}, "body.headers.Svix-Id"},
		"a header that is none":           {object{"url": goodURL, "headers": object{"x y": "x"}}, "body.headers.x y"},
		"a header that injects another":   {object{"url": goodURL, "headers": object{"x-a": "1\r\nx-b: 2"}}, "body.headers.x-a"},
		"a header that is too long":       {object{"url": goodURL, "headers": object{"x-a": strings.Repeat("x", 4097)}}, "body.headers.x-a"},
		"a header twice":                  {object{"url": goodURL, "headers": object{"x-a": "1", "X-A": "2"}}, ""},
		"a header that is a number":       {object{"url": goodURL, "headers": object{"x-a": 1}}, "body.headers.x-a"},
		"a header that the dialect signs in": {object{"url": goodURL, "dialect": "pandapon", "settings": object{"access_secret": "x"},
			"headers": object{"authorization": "x"}}, "body.headers.authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			answers := []answer{s.post(app+"/endpoint", c.body)}
			if name != "a kept secret that is not there" { // the endpoint that is there has one
				answers = append(answers, s.put(ep, c.body))
			}
			for _, a := range answers {
				if c.loc == "" {
					a.want(422)
				} else {
					a.wrong(c.loc)
				}
			}
		})
	}
	t.Run("an answer about a secret does not repeat it", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		const bad = "whsec_not*base64*at*all"
		for _, body := range []object{{"url": goodURL, "secret": bad}, {"url": goodURL, "settings": object{"secret": []string{goodSecret, bad}}}, {"url": 7, "secret": bad}} {
			if a := s.post(app+"/endpoint", body).want(422); strings.Contains(a.text, "not*base64") || strings.Contains(a.text, goodSecret) {
				t.Error(a.text)
			}
		}
	})
	t.Run("a uid that is taken is a conflict", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.post(app+"/endpoint", object{"url": goodURL, "uid": "taken"}).refused(409, "conflict")
		s.patch(ep, object{"uid": "taken"}).refused(409, "conflict")
	})
	t.Run("an unknown one is 404", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.get(app+"/endpoint/ep_0000000000001").refused(404, "not_found")
		s.put(app+"/endpoint/ep_0000000000001", object{"url": goodURL}).refused(404, "not_found")
		s.get("/api/v1/app/none/endpoint").refused(404, "not_found")
		s.post("/api/v1/app/none/endpoint", object{"url": goodURL}).refused(404, "not_found")
	})
	t.Run("url cannot be taken away", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.patch(ep, `{"url":null}`).wrong("body.url")
	})
}

func TestEndpointLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	made := s.post(app+"/endpoint", object{
		"url": goodURL, "uid": "orders", "description": "Orders", "filterTypes": []string{"b", "a", "a"}, "channels": []string{"vip"},
		"metadata": object{"k": "v"}, "throttleRate": 10, "version": 3, "disabled": false, "secret": goodSecret, "headers": object{"X-Own": "1"},
		"retrySchedule": []float64{0.5, 2}, "timeoutMs": 2500, "format": "cloudevents", "paused": true, "concurrency": 3, "requireVerified": true,
		"aMemberOfTheFuture": object{"x": 1},
	}).want(201).json()
	for name, want := range map[string]string{
		"filterTypes": `["a","b"]`, "channels": `["vip"]`, "metadata": `{"k":"v"}`, "throttleRate": "10", "rateLimit": "10", "version": "3", "transport": `"http"`,
		"retrySchedule": "[0.5,2]", "timeoutMs": "2500", "format": `"cloudevents"`, "paused": "true", "concurrency": "3", "requireVerified": "true",
		"dialect": `"standard"`, "profile": "null", "disabled": "false", "publicOnly": "false", "description": `"Orders"`,
	} {
		if got := text(made[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if made.obj("verification").str("state") != "unverified" || made.obj("settings").str("secret") != "<secret>" {
		t.Error(made)
	}
	path := app + "/endpoint/orders"
	if got := s.get(path).want(200).json(); text(got) != text(made) {
		t.Errorf("created %s, got %s", text(made), text(got))
	}

	t.Log("PUT by a client that knows Svix's members only keeps what it does not know")
	put := s.put(path, object{"url": goodURL, "description": "Renamed"}).want(200).json()
	for name, want := range map[string]string{
		"filterTypes": "null", "channels": "null", "metadata": "{}", "throttleRate": "null", "uid": `"orders"`, "description": `"Renamed"`,
		"retrySchedule": "[0.5,2]", "timeoutMs": "2500", "format": `"cloudevents"`, "paused": "true", "concurrency": "3", "requireVerified": "true",
	} {
		if got := text(put[name]); got != want {
			t.Errorf("after PUT, %s is %s, want %s", name, got, want)
		}
	}
	if key := s.get(path + "/secret").want(200).json().str("key"); key != goodSecret {
		t.Errorf("PUT changed the secret to %q", key)
	}
	if own := s.get(path + "/headers").want(200).json().obj("headers"); own.str("X-Own") != "1" {
		t.Errorf("PUT changed the headers: %v", own)
	}

	t.Log("null takes an addition back to its default")
	back := s.patch(path, `{"retrySchedule":null,"timeoutMs":null,"format":null,"concurrency":null,"paused":false}`).want(200).json()
	for name, want := range map[string]string{"retrySchedule": "null", "timeoutMs": "null", "format": `"payload"`, "concurrency": "null", "paused": "false"} {
		if got := text(back[name]); got != want {
			t.Errorf("after null, %s is %s, want %s", name, got, want)
		}
	}
	t.Log("an empty schedule is not the default one")
	if got := text(s.patch(path, `{"retrySchedule":[]}`).want(200).json()["retrySchedule"]); got != "[]" {
		t.Errorf("an empty schedule reads %s", got)
	}
	if got := text(s.get(path).json()["retrySchedule"]); got != "[]" {
		t.Errorf("an empty schedule is stored as %s", got)
	}

	t.Log("PUT to a new uid makes it")
	if born := s.put(app+"/endpoint/second", object{"url": goodURL}).want(201).json(); born.str("uid") != "second" {
		t.Error(born)
	}
	s.put(app+"/endpoint/third", object{"url": goodURL, "uid": "fourth"}).wrong("body.uid")

	s.remove(path).want(204)
	s.get(path).refused(404, "not_found")
}

func TestStandardEndpointGetsASecret(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	keys := map[string]bool{}
	for range 3 {
		ep := s.ep(app, object{})
		key := s.get(ep + "/secret").want(200).json().str("key")
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
		if err != nil || len(raw) != 32 || keys[key] {
			t.Errorf("made the secret %q", key)
		}
		keys[key] = true
	}
	t.Run("of an Ed25519 key the public half is shown", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		seed := make([]byte, 32)
		seed[0] = 1
		ep := s.ep(app, object{"secret": "whsk_" + base64.StdEncoding.EncodeToString(seed)})
		key := s.get(ep + "/secret").want(200).json().str("key")
		if !strings.HasPrefix(key, "whpk_") {
			t.Errorf("shows %q", key)
		}
	})
	t.Run("that of another dialect is never shown", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		ep := s.ep(app, object{"dialect": "pandapon", "settings": object{"access_secret": "never-shown"}})
		s.get(ep+"/secret").refused(404, "not_found")
	})
}

func TestASecretThatIsSentBackRedactedKeepsItsValue(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	const second = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4"
	ep := s.ep(app, object{"secret": goodSecret})
	secrets := func() []string {
		id, _ := hook.ParseID[hook.EndpointID](ep[strings.LastIndex(ep, "/")+1:])
		return must(s.store.Target(t.Context(), id))(t).Settings["secret"]
	}
	whole := s.get(ep).json()
	s.put(ep, object{"url": goodURL, "settings": whole["settings"]}).want(200)
	if got := secrets(); text(got) != text([]string{goodSecret}) {
		t.Fatalf("the secret became %s", got)
	}
	t.Log("a new secret in front of the present one")
	s.put(ep, object{"url": goodURL, "settings": object{"secret": []string{second, "<secret>"}}}).want(200)
	if got := secrets(); text(got) != text([]string{second, goodSecret}) {
		t.Fatalf("the secrets became %s", got)
	}
	t.Log("both sent back as they are shown")
	s.put(ep, object{"url": goodURL, "settings": s.get(ep).json()["settings"]}).want(200)
	if got := secrets(); text(got) != text([]string{second, goodSecret}) {
		t.Fatalf("the secrets became %s", got)
	}
	t.Log("both kept, another setting changed")
	s.patch(ep, object{"settings": object{"headers": "svix"}}).want(200)
	if got := secrets(); text(got) != text([]string{second, goodSecret}) {
		t.Fatalf("PATCH of another setting made them %s", got)
	}
	s.put(ep, object{"url": goodURL, "settings": object{"secret": []string{"<secret>", "<secret>", "<secret>"}}}).wrong("body.settings.secret")
	t.Log("the overlap ends")
	s.put(ep, object{"url": goodURL, "settings": object{"secret": []string{"<secret>"}}}).want(200)
	if got := secrets(); text(got) != text([]string{second}) {
		t.Fatalf("the secrets became %s", got)
	}
}

func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	s.patch(app, object{"allowCidrs": []string{"10.1.0.0/16"}}).want(200)
	private := object{"url": "http://10.1.2.3/hook"}

	ep := app + "/endpoint/" + s.post(app+"/endpoint", private).want(201).json().str("id")
	s.post(app+"/endpoint", object{"url": "http://10.2.0.1/"}).wrong("body.url")

	t.Log("the allow list is not for what an application makes")
	refused := s.call(token, "POST", app+"/endpoint", private).wrong("body.url")
	if strings.Contains(refused.text, "allowCidrs") {
		t.Errorf("an application is told how to allow an address: %s", refused.text)
	}
	own := s.call(token, "POST", app+"/endpoint", object{"url": goodURL}).want(201).json()
	if own["publicOnly"] != true {
		t.Error(own)
	}
	t.Log("nor for what it moves, even when the organisation made it")
	s.call(token, "PATCH", ep, object{"url": "http://10.1.2.4/hook"}).wrong("body.url")
	moved := s.call(token, "PATCH", ep, object{"url": "https://example.com/elsewhere"}).want(200).json()
	if moved["publicOnly"] != true {
		t.Error(moved)
	}
	t.Log("what it changes otherwise stays as it was")
	kept := app + "/endpoint/" + s.post(app+"/endpoint", private).want(201).json().str("id")
	if o := s.call(token, "PATCH", kept, object{"description": "x"}).want(200).json(); o["publicOnly"] != false {
		t.Error(o)
	}
	s.call(token, "PUT", app, object{"name": "a", "allowCidrs": []string{"0.0.0.0/0"}}).refused(403, "permission_denied")
}

func TestDevAllowsHTTPForHTTPSOnlyDialects(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) { o.Dev = true })
	s.ep(s.app("a"), object{"url": "http://example.com/", "dialect": "pandapon", "settings": object{"access_secret": "x"}})
}

func TestVerification(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"requireVerified": true})

	s.verdict = hook.Verification{State: hook.VerificationFailed, Reason: "answered 500 Internal Server Error"}
	v := s.post(ep+"/verify", nil).want(200).json().obj("verification")
	if v.str("state") != "failed" || v.str("reason") == "" || v.str("at") == "" {
		t.Error(v)
	}
	s.verdict = hook.Verification{State: hook.VerificationPassed, At: time.Now(), Reason: "answered 200 OK"}
	s.post(ep+"/verify", nil).want(200)
	if v := s.get(ep).json().obj("verification"); v.str("state") != "verified" {
		t.Error(v)
	}
	t.Log("what it said holds while the endpoint stays what it was")
	if v := s.patch(ep, object{"description": "x"}).json().obj("verification"); v.str("state") != "verified" {
		t.Error(v)
	}
	s.post(ep+"/secret/rotate", object{}).want(204) // the receiver still knows the old one
	if v := s.get(ep).json().obj("verification"); v.str("state") != "verified" {
		t.Errorf("after a rotation it is %s", v.str("state"))
	}
	if v := s.patch(ep, object{"url": "https://example.com/other"}).json().obj("verification"); v.str("state") != "unverified" {
		t.Errorf("a moved endpoint is %s", v.str("state"))
	}
	s.post(ep+"/verify", nil).want(200)
	if v := s.patch(ep, object{"settings": object{"headers": "svix"}}).json().obj("verification"); v.str("state") != "unverified" {
		t.Errorf("an endpoint with other settings is %s", v.str("state"))
	}
}

func TestEndpointHeaders(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"headers": object{"X-Plain": "visible", "Authorization": "Bearer hidden-credential", "X-Api-Key": "hidden-credential"}})
	show := func() object { t.Helper(); return s.get(ep + "/headers").want(200).json() }
	if o := show(); text(o["headers"]) != `{"X-Plain":"visible"}` || text(o["sensitive"]) != `["Authorization","X-Api-Key"]` {
		t.Error(o)
	}
	s.patch(ep+"/headers", `{"headers":{"x-plain":null,"X-New":"2"}}`).want(204)
	if o := show(); text(o["headers"]) != `{"X-New":"2"}` || len(o["sensitive"].([]any)) != 2 {
		t.Error(o)
	}
	s.put(ep+"/headers", object{"headers": object{"x-only": "3"}}).want(204)
	if o := show(); text(o["headers"]) != `{"x-only":"3"}` || len(o["sensitive"].([]any)) != 0 {
		t.Error(o)
	}
	s.patch(ep+"/headers", object{"headers": object{"host": "x"}}).wrong("body.headers.host")
	s.put(ep+"/headers", object{"headers": object{"x-amz-date": "x"}}).wrong("body.headers.x-amz-date")
	s.put(ep+"/headers", object{}).wrong("body")
}

func TestDisablingTellsWhy(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	if o := s.patch(ep, object{"disabled": true}).json(); o["disabled"] != true || o.str("disabledReason") == "" {
		t.Error(o)
	}
	if o := s.patch(ep, object{"disabled": false}).json(); o["disabled"] != false || o.str("disabledReason") != "" {
		t.Error(o)
	}
}

func TestChangesMadeAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	var wg sync.WaitGroup
	for _, change := range []object{{"description": "x"}, {"paused": true}, {"throttleRate": 9}} {
		wg.Go(func() {
			for a := s.patch(ep, change); a.status != 200; a = s.patch(ep, change) {
				if a.status != 409 { // told to try again: that is a promise kept too
					t.Errorf("%d %s", a.status, a.text)
					return
				}
			}
		})
	}
	wg.Wait()
	if o := s.get(ep).json(); o.str("description") != "x" || o["paused"] != true || o["throttleRate"] != 9.0 {
		t.Error(o)
	}
}
