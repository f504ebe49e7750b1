package api_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

func TestSourceRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	good := func(o object) object {
		o["dialect"], o["settings"] = "pandapon", object{"access_secret": "x"}
		return o
	}
	s.post(app+"/source", good(object{"uid": "taken", "door": "taken-door"})).want(201)
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"no dialect":                   {object{}, "body.dialect"},
		"an unknown dialect":           {object{"dialect": "telex"}, "body.dialect"},
		"a required setting missing":   {object{"dialect": "pandapon"}, "body.settings.access_secret"},
		"an empty secret":              {object{"dialect": "pandapon", "settings": object{"access_secret": ""}}, "body.settings.access_secret"},
		"an unknown setting":           {object{"dialect": "pandapon", "settings": object{"access_secret": "x", "colour": "red"}}, "body.settings.colour"},
		"an unknown profile":           {object{"profile": "none"}, "body.profile"},
		"a door that is too short":     {good(object{"door": "short"}), "body.door"},
		"a door that leads elsewhere":  {good(object{"door": "../../etc/passwd"}), "body.door"},
		"a network that is none":       {good(object{"allowFrom": []string{"everywhere"}}), "body.allowFrom"},
		"a verify window without end":  {good(object{"verifyUntil": "2099-01-01T00:00:00Z"}), "body.verifyUntil"},
		"a uid that looks like an id":  {good(object{"uid": "src_0000000000001"}), "body.uid"},
		"a member that does not exist": {good(object{"dor": "misspelt-door"}), "body.dor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			s.post(app+"/source", c.body).wrong(c.loc)
		})
	}
	t.Run("a uid or door that is taken is a conflict", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.post(app+"/source", good(object{"uid": "taken"})).refused(409, "conflict")
		s.post(s.app("other")+"/source", good(object{"door": "taken-door"})).refused(409, "conflict")
	})
	t.Run("an unknown one is 404", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.get(app+"/source/none").refused(404, "not_found")
		s.put(app+"/source/none", good(object{})).refused(404, "not_found")
		s.remove(app+"/source/none").refused(404, "not_found")
		s.post(app+"/source/none/rotate-door", object{}).refused(404, "not_found")
		s.get(app+"/source/none/refused").refused(404, "not_found")
	})
	t.Run("a door is not changed by PUT", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.put(app+"/source/taken", good(object{"door": "another-door"})).wrong("body.door")
	})
}

func TestSourceLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	until := s.now().Add(time.Hour).UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
	made := s.post(app+"/source", object{
		"uid": "panda", "name": "Panda", "dialect": "pandapon", "settings": object{"access_secret": []string{"one", "two"}, "dedup_for": "7h"},
		"verifyUntil": until, "allowFrom": []string{"203.0.113.0/24"},
	}).want(201).json()
	door := made.str("door")
	if !regexp.MustCompile(`^[a-z2-7]{26}$`).MatchString(door) || made.str("path") != "/in/"+door || made.str("url") != "https://hooks.example.com/in/"+door {
		t.Error(made)
	}
	if text(made["settings"]) != `{"access_secret":["<secret>","<secret>"],"dedup_for":"7h"}` || made.str("verifyUntil") != until {
		t.Error(made)
	}
	if got := s.get(app + "/source/panda").want(200).json(); text(got) != text(made) {
		t.Errorf("created %s, got %s", text(made), text(got))
	}
	route := must(s.store.Route(t.Context(), door, s.now()))(t)
	if text(map[string][]string(route.Settings)) != `{"access_secret":["one","two"],"dedup_for":["7h"]}` {
		t.Errorf("the front door sees %v", map[string][]string(route.Settings))
	}

	t.Log("PUT keeps dialect, settings and door, and closes the verify window that it does not name")
	put := s.put(app+"/source/panda", object{"name": "Renamed"}).want(200).json()
	if put.str("name") != "Renamed" || put.str("door") != door || put["verifyUntil"] != nil || put["allowFrom"] != nil || text(put["settings"]) != text(made["settings"]) {
		t.Error(put)
	}
	s.remove(app + "/source/panda").want(204)
	if _, err := s.store.Route(t.Context(), door, s.now()); hook.KindOf(err) != hook.KindNotFound {
		t.Errorf("the door still opens: %v", err)
	}
}

func TestWithoutAPublicURLThePathIsShown(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) { o.PublicURL = "" })
	o := s.post(s.app("a")+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}, "door": "chosen-door"}).want(201).json()
	if o.str("url") != "/in/chosen-door" {
		t.Error(o)
	}
}

func TestRotateDoor(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	src := app + "/source/" + s.post(app+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}, "door": "first-door"}).want(201).json().str("id")
	opens := func(door string) bool {
		t.Helper()
		_, err := s.store.Route(t.Context(), door, s.now())
		if err != nil && hook.KindOf(err) != hook.KindNotFound {
			t.Fatal(err)
		}
		return err == nil
	}
	s.post(src+"/rotate-door", object{"door": "bad door"}).wrong("body.door")
	s.post(src+"/rotate-door", object{"door": "first-door"}).wrong("body.door")
	s.post(src+"/rotate-door", object{"overlapSeconds": -1}).wrong("body.overlapSeconds")

	second := s.post(src+"/rotate-door", object{"door": "second-door", "overlapSeconds": 60}).want(200).json()
	if second.str("door") != "second-door" || second.list("oldDoors")[0].str("door") != "first-door" || !opens("first-door") || !opens("second-door") {
		t.Error(second)
	}
	t.Log("a door that still opens for one source cannot be another's")
	s.post(app+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}, "door": "first-door"}).refused(409, "conflict")

	t.Log("back to the first one, while both still open")
	s.post(src+"/rotate-door", object{"door": "first-door", "overlapSeconds": 60}).want(200)
	back := s.post(src+"/rotate-door", object{"door": "second-door", "overlapSeconds": 60}).want(200).json()
	if len(back.list("oldDoors")) != 1 || !opens("first-door") || !opens("second-door") {
		t.Error(back)
	}

	t.Log("without a body a door is made")
	third := s.post(src+"/rotate-door", nil).want(200).json()
	if len(third.str("door")) != 26 || len(third.list("oldDoors")) != 2 {
		t.Error(third)
	}
	s.advance(2 * time.Minute)
	if opens("first-door") || !opens("second-door") || len(s.get(src).json().list("oldDoors")) != 1 {
		t.Error("the overlap of a minute does not end after a minute")
	}
	fourth := s.post(src+"/rotate-door", object{"overlapSeconds": 0}).want(200).json()
	if opens(third.str("door")) || !opens(fourth.str("door")) {
		t.Error("without overlap the old door still opens")
	}
	for range 9 {
		s.post(src+"/rotate-door", object{}).want(200)
	}
	s.post(src+"/rotate-door", object{}).refused(409, "conflict")
}

func TestRefusedRequestsAreShown(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	made := s.post(app+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}}).want(201).json()
	id, err := hook.ParseID[hook.SourceID](made.str("id"))
	if err != nil {
		t.Fatal(err)
	}
	path := app + "/source/" + made.str("id") + "/refused"
	if o := s.get(path).want(200).json(); len(o.list("data")) != 0 || o["done"] != true {
		t.Error(o)
	}
	var all []hook.Refused
	for i, body := range []string{`{"a":1}`, "\xff\x00"} {
		all = append(all, hook.Refused{
			ID: s.ids.Next(s.now()), Source: id, At: s.now().Add(time.Duration(i) * time.Second).UTC().Truncate(time.Millisecond), Reason: "signature",
			Detail: "header Authorization: does not match", Remote: "203.0.113.9",
			Raw: hook.Raw{Method: "POST", Query: "a=b", Header: map[string][]string{"Authorization": {"abc"}}, Body: []byte(body)},
		})
	}
	if err := s.store.Refuse(t.Context(), all, 10); err != nil {
		t.Fatal(err)
	}
	list := s.get(path).want(200).json().list("data")
	if len(list) != 2 || list[0].obj("request").str("body") != "/wA=" || list[0].obj("request")["base64"] != true {
		t.Fatal(list)
	}
	if r := list[1]; r.str("reason") != "signature" || r.str("remote") != "203.0.113.9" || r.obj("request").str("body") != `{"a":1}` ||
		text(r.obj("request")["headers"]) != `{"Authorization":["abc"]}` || r.obj("request").str("query") != "a=b" || r.str("detail") == "" {
		t.Error(r)
	}
	if n := len(s.get(path + "?limit=1").json().list("data")); n != 1 {
		t.Errorf("%d with limit 1", n)
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"no dialect":                   {object{"name": "x"}, "body.dialect"},
		"an unknown dialect":           {object{"name": "x", "dialect": "telex"}, "body.dialect"},
		"no name":                      {object{"dialect": "pandapon"}, "body"},
		"an unknown setting":           {object{"name": "x", "dialect": "pandapon", "settings": object{"colour": "red"}}, "body.settings.colour"},
		"a member that does not exist": {object{"name": "x", "dialect": "pandapon", "setings": object{}}, "body.setings"},
	} {
		t.Run(name, func(t *testing.T) { s.in(t).post("/api/v1/profile", c.body).wrong(c.loc) })
	}
	made := s.post("/api/v1/profile", object{"name": "Panda", "uid": "panda", "dialect": "pandapon",
		"settings": object{"access_secret": "shared", "retry_interval": "10m"}}).want(201).json()
	if text(made["settings"]) != `{"access_secret":"<secret>","retry_interval":"10m"}` {
		t.Error(made)
	}
	s.post("/api/v1/profile", object{"name": "x", "uid": "panda", "dialect": "pandapon"}).refused(409, "conflict")
	s.put("/api/v1/profile/panda", object{"name": "x", "dialect": "douyin"}).wrong("body.dialect")
	s.get("/api/v1/profile/none").refused(404, "not_found")

	t.Log("what names it needs nothing of its own")
	src := s.post(app+"/source", object{"profile": "panda"}).want(201).json()
	ep := s.post(app+"/endpoint", object{"url": goodURL, "profile": "panda", "settings": object{"access_secret": "own"}}).want(201).json()
	if src.str("dialect") != "pandapon" || ep.str("dialect") != "pandapon" || src.str("profile") != made.str("id") {
		t.Error(src, ep)
	}
	s.post(app+"/endpoint", object{"url": goodURL, "profile": "panda", "dialect": "standard"}).wrong("body.dialect")
	s.remove("/api/v1/profile/panda").refused(409, "conflict")

	t.Log("what its users need cannot be taken away")
	s.put("/api/v1/profile/panda", object{"name": "Panda", "settings": object{}}).wrong("body.settings.access_secret")
	if route := must(s.store.Route(t.Context(), src.str("door"), s.now()))(t); text(route.Settings["access_secret"]) != `["shared"]` {
		t.Errorf("after the refusal the source has %s", text(route.Settings["access_secret"]))
	}

	t.Log("rotating the shared secret is one update")
	s.put("/api/v1/profile/panda", object{"name": "Panda", "settings": object{"access_secret": []string{"new", "<secret>"}}}).want(200)
	route := must(s.store.Route(t.Context(), src.str("door"), s.now()))(t)
	if text(route.Settings["access_secret"]) != `["new","shared"]` {
		t.Errorf("the source has %s", text(route.Settings["access_secret"]))
	}
	id, _ := hook.ParseID[hook.EndpointID](ep.str("id"))
	if target := must(s.store.Target(t.Context(), id))(t); text(target.Settings["access_secret"]) != `["own"]` {
		t.Errorf("the endpoint has %s", text(target.Settings["access_secret"]))
	}
	s.remove(app + "/source/" + src.str("id")).want(204)
	s.remove(app + "/endpoint/" + ep.str("id")).want(204)
	s.remove("/api/v1/profile/panda").want(204)
	s.get("/api/v1/profile/panda").refused(404, "not_found")
}

func TestASecretOfAProfileIsNotShownAsTheEndpoints(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.post("/api/v1/profile", object{"name": "x", "uid": "std", "dialect": "standard", "settings": object{"secret": goodSecret}}).want(201)
	ep := s.ep(app, object{"profile": "std"})
	if o := s.get(ep).json(); text(o["settings"]) != "{}" {
		t.Errorf("a secret was made beside the profile's: %v", o["settings"])
	}
	if a := s.get(ep+"/secret").refused(404, "not_found"); strings.Contains(a.text, goodSecret) {
		t.Error(a.text)
	}
}

func TestDialects(t *testing.T) {
	t.Parallel()
	s := start(t)
	var names []string
	for _, d := range s.get("/api/v1/dialect").want(200).json().list("data") {
		names = append(names, d.str("name"))
	}
	if want := all.Names(); !slices.IsSorted(names) || len(names) != len(want) || !slices.Contains(names, "alipay") {
		t.Errorf("lists %v, want %v in order", names, want)
	}
	o := s.get("/api/v1/dialect/pandapon").want(200).json()
	if p := o.obj("policy"); p["deadlineMs"] != 1000.0 || text(p["retrySchedule"]) != "[1800,1800,1800,1800,1800]" || p["httpsOnly"] != true {
		t.Error(p)
	}
	for _, f := range o.list("fields") {
		if f.obj("help").str("en") == "" || f.obj("help").str("zh") == "" {
			t.Errorf("%s has no help in both languages", f.str("name"))
		}
		if f.str("name") == "access_secret" && (f["secret"] != true || f["several"] != true || f.str("receiving") != "required") {
			t.Error(f)
		}
	}
	if a := o.obj("abilities"); a["receive"] != true || a["send"] != true || a["handshake"] != true {
		t.Error(a)
	}
	s.get("/api/v1/dialect/none").refused(404, "not_found")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("shop")
	s.post("/api/v1/token", object{}).wrong("body")
	s.post("/api/v1/token", object{"name": "x", "app": "none"}).wrong("body.app")
	s.post("/api/v1/token", object{"name": "x", "expiresAt": "2020-01-01T00:00:00Z"}).wrong("body.expiresAt")
	s.remove("/api/v1/token/nonsense").refused(404, "not_found")
	s.remove("/api/v1/token/tok_0000000000001").refused(404, "not_found")

	made := s.post("/api/v1/token", object{"name": "portal", "app": "shop", "expiresAt": s.now().Add(time.Hour).UTC().Format(time.RFC3339)}).want(201).json()
	token := made.str("token")
	if len(token) < 40 || !strings.HasSuffix(app, made.str("app")) {
		t.Error(made)
	}
	s.call(token, "GET", app, nil).want(200)
	s.call(token, "GET", "/api/v1/app", nil).refused(403, "permission_denied")
	list := s.get("/api/v1/token").want(200)
	if strings.Contains(list.text, token) || !strings.Contains(list.text, made.str("id")) {
		t.Errorf("the list shows %s", list.text)
	}
	t.Log("two requests with one Idempotency-Key make one token")
	one := s.call(s.org, "POST", "/api/v1/token", object{"name": "x"}, "Idempotency-Key", "k").want(201)
	two := s.call(s.org, "POST", "/api/v1/token", object{"name": "x"}, "Idempotency-Key", "k").want(201)
	if one.text != two.text {
		t.Error("two tokens")
	}
	s.advance(2 * time.Hour)
	s.call(token, "GET", app, nil).refused(401, "authentication_failed")
}
