package api_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A model is what an interface with these operations ought to answer, in maps and loops. The test makes random requests of the
// server and compares every answer.

// kind is one kind of thing: the members that a request may have and what they are when it has none.
type kind struct {
	defaults object
	kept     []string       // stay when a PUT has none
	values   map[string]any // func(*rand.Rand) any for each member
	needed   string         // the member that a creation and a PUT need
	firm     []string       // may not be null in a PATCH
}

// thing is one of a kind.
type thing struct {
	members object
	id      string

	endpoints []*thing          // of an application
	headers   map[string]string // of an endpoint, by name
	secret    string
	old       []string
}

func pick[T any](list ...T) func(*rand.Rand) any {
	return func(r *rand.Rand) any { return list[r.IntN(len(list))] }
}

var (
	uids  = pick("one", "two", "three")
	rates = pick(1, 20, 65535)

	applicationKind = kind{
		defaults: object{"name": "", "uid": nil, "rateLimit": nil, "metadata": object{}},
		kept:     []string{"uid"}, needed: "name", firm: []string{"name"},
		values: map[string]any{"name": pick("A", "B b", "订单"), "uid": uids, "rateLimit": rates, "metadata": pick(object{}, object{"k": "v"})},
	}
	endpointKind = kind{
		defaults: object{
			"url": "", "uid": nil, "description": "", "version": 1, "disabled": false, "filterTypes": nil, "channels": nil, "rateLimit": nil,
			"metadata": object{}, "timeoutMs": nil, "paused": false, "concurrency": nil, "retrySchedule": nil, "format": "payload",
		},
		kept: []string{"uid", "timeoutMs", "paused", "concurrency", "retrySchedule", "format"}, needed: "url", firm: []string{"url"},
		values: map[string]any{
			"url": pick(goodURL, "https://example.com/b", "http://example.org"), "uid": uids, "description": pick("x", "", "描述"), "version": pick(1, 2, 9),
			"disabled": pick(true, false), "filterTypes": pick([]string{"a.b"}, []string{"a.b", "c.d"}), "channels": pick([]string{"c:1"}, []string{"x", "y"}),
			"rateLimit": rates, "metadata": pick(object{}, object{"k": "v", "l": "w"}), "timeoutMs": pick(100, 5000), "paused": pick(true, false),
			"concurrency": pick(1, 8), "retrySchedule": pick([]float64{}, []float64{1, 2.5}), "format": pick("payload", "cloudevents", "original"),
		},
	}
	eventTypeKind = kind{
		defaults: object{"description": "", "archived": false, "deprecated": false, "groupName": nil, "featureFlags": nil},
		needed:   "description", firm: []string{"description", "archived", "deprecated"},
		values: map[string]any{
			"description": pick("x", "", "说明"), "archived": pick(true, false), "deprecated": pick(true, false), "groupName": pick("g", "h"),
			"featureFlags": pick([]string{"beta"}, []string{"alpha", "beta"}),
		},
	}
	// nonsense is refused whatever the rest of a request says, by members that all kinds of a body have.
	nonsense = map[string][]any{
		"uid": {"a b", "", 7}, "rateLimit": {0, "1", 65536, 1.5}, "metadata": {object{"a": 1}, "x"}, "description": {7, []string{}},
		"disabled": {"yes", 1}, "archived": {"no"}, "featureFlags": {"beta", []int{1}},
	}
)

// body makes a request's body: some members, some of them null. bad says that one of them is nonsense.
func (k *kind) body(r *rand.Rand, whole bool) (body object, bad bool) {
	body = object{}
	for _, name := range slices.Sorted(maps.Keys(k.values)) {
		switch n := r.IntN(10); {
		case whole && name == k.needed, n < 3:
			body[name] = k.values[name].(func(*rand.Rand) any)(r)
		case n == 3 && !(whole && slices.Contains(k.firm, name)):
			body[name] = nil
		}
	}
	if r.IntN(8) > 0 {
		return body, false
	}
	name := slices.Sorted(maps.Keys(nonsense))[r.IntN(len(nonsense))]
	if _, ok := k.defaults[name]; !ok {
		return body, false
	}
	body[name] = nonsense[name][r.IntN(len(nonsense[name]))]
	return body, true
}

// apply makes members of a request's; replace puts the defaults where it has none.
func (k *kind) apply(to object, body object, replace bool) object {
	out := maps.Clone(to)
	for name, def := range k.defaults {
		v, given := body[name]
		switch {
		case given && v != nil:
			out[name] = v
		case given, replace && !slices.Contains(k.kept, name):
			out[name] = def
		}
	}
	return out
}

// holds says whether a PATCH has null where it may not.
func (k *kind) holdsNull(body object) bool {
	return slices.ContainsFunc(k.firm, func(name string) bool { v, given := body[name]; return given && v == nil })
}

// differs says where an answer is not as the model has it.
func differs(got, want object) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text(got[name]) != text(want[name]) {
			return fmt.Sprintf("%s is %s, want %s", name, text(got[name]), text(want[name]))
		}
	}
	if rate, ok := want["rateLimit"]; ok && text(got["throttleRate"]) != text(rate) {
		return "throttleRate is " + text(got["throttleRate"])
	}
	return ""
}

func find(list []*thing, ref string) *thing {
	for _, t := range list {
		if t.id == ref || t.members["uid"] == ref {
			return t
		}
	}
	return nil
}

// taken says whether another thing of a list has a uid.
func taken(list []*thing, except *thing, uid any) bool {
	return uid != nil && slices.ContainsFunc(list, func(t *thing) bool { return t != except && t.members["uid"] == uid })
}

// play is one run of the test.
type play struct {
	*server
	r     *rand.Rand
	apps  []*thing
	types map[string]object
	told  []string // event types that the operator should have been told of
	step  string   // what is being done, for errors
}

// do makes a request and compares: status, and members when want is not nil.
func (p *play) do(method, path string, body any, status int, want object) answer {
	p.t.Helper()
	p.step = fmt.Sprintf("%s %s %s", method, path, text(body))
	a := p.call(p.org, method, path, body)
	if a.status != status {
		p.t.Fatalf("%s: status %d, want %d: %s", p.step, a.status, status, a.text)
	}
	if want != nil {
		if d := differs(a.json(), want); d != "" {
			p.t.Fatalf("%s: %s: %s", p.step, d, a.text)
		}
	}
	return a
}

func (p *play) oneOf(n int) bool { return p.r.IntN(n) == 0 }

// ref chooses how a thing is named, or names none.
func (p *play) ref(list []*thing, prefix string) string {
	if len(list) == 0 || p.oneOf(5) {
		return pick("one", "two", "three", "none", prefix+"0000000000009")(p.r).(string)
	}
	t := list[p.r.IntN(len(list))]
	if uid, ok := t.members["uid"].(string); ok && p.oneOf(2) {
		return uid
	}
	return t.id
}

// create is a POST of a kind to a list.
func (p *play) create(k *kind, list []*thing, path string) *thing {
	p.t.Helper()
	body, bad := k.body(p.r, true)
	switch {
	case bad:
		p.do("POST", path, body, 422, nil)
	case taken(list, nil, body["uid"]):
		p.do("POST", path, body, 409, nil)
	default:
		t := &thing{members: k.apply(k.defaults, body, true), headers: map[string]string{}}
		t.id = p.do("POST", path, body, 201, t.members).json().str("id")
		return t
	}
	return nil
}

// replace is a PUT of a kind. It returns what it made, when that is new; done says that it changed something.
func (p *play) replace(k *kind, list []*thing, path, ref string) (made *thing, done bool) {
	p.t.Helper()
	body, bad := k.body(p.r, true)
	t, path := find(list, ref), path+"/"+ref
	uid, given := body["uid"]
	switch {
	case bad:
		p.do("PUT", path, body, 422, nil)
	case t != nil && taken(list, t, uid):
		p.do("PUT", path, body, 409, nil)
	case t != nil:
		t.members = k.apply(t.members, body, true)
		p.do("PUT", path, body, 200, t.members)
		return nil, true
	case strings.Contains(ref, "_"): // an id, which is not for the caller to choose
		p.do("PUT", path, body, 404, nil)
	case given && uid != ref:
		p.do("PUT", path, body, 422, nil)
	default:
		t = &thing{members: k.apply(k.defaults, body, true), headers: map[string]string{}}
		t.members["uid"] = ref
		t.id = p.do("PUT", path, body, 201, t.members).json().str("id")
		return t, true
	}
	return nil, false
}

// change is a PATCH of a kind.
func (p *play) change(k *kind, list []*thing, path, ref string) (done bool) {
	p.t.Helper()
	body, bad := k.body(p.r, false)
	t, path := find(list, ref), path+"/"+ref
	switch {
	case bad:
		p.do("PATCH", path, body, 422, nil)
	case t == nil:
		p.do("PATCH", path, body, 404, nil)
	case k.holdsNull(body):
		p.do("PATCH", path, body, 422, nil)
	case taken(list, t, body["uid"]):
		p.do("PATCH", path, body, 409, nil)
	default:
		t.members = k.apply(t.members, body, false)
		p.do("PATCH", path, body, 200, t.members)
		return true
	}
	return false
}

// list walks a list by pages of any size and compares its items.
func (p *play) list(path string, want []object) {
	p.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	limit := 1 + p.r.IntN(4)
	var got []object
	for iterator := ""; len(got) <= len(want); { // a list without end is one that is too long
		o := p.do("GET", fmt.Sprintf("%s%slimit=%d%s", path, sep, limit, iterator), nil, 200, nil).json()
		got = append(got, o.list("data")...)
		if o["done"] == true {
			break
		}
		iterator = "&iterator=" + url.QueryEscape(o.str("iterator"))
	}
	if len(got) != len(want) {
		p.t.Fatalf("%s: %d items, want %d", p.step, len(got), len(want))
	}
	for i := range want {
		if d := differs(got[i], want[i]); d != "" {
			p.t.Fatalf("%s: item %d: %s", p.step, i, d)
		}
	}
}

func members(list []*thing) (out []object) {
	for _, t := range list {
		out = append(out, t.members)
	}
	return out
}

const appsPath = "/api/v1/app"

func (p *play) application() {
	ref := p.ref(p.apps, "app_")
	switch n := p.r.IntN(12); {
	case n < 3 && len(p.apps) < 5:
		if t := p.create(&applicationKind, p.apps, appsPath); t != nil {
			p.apps = append(p.apps, t)
		}
	case n == 3 && len(p.apps) < 5:
		p.getOrCreate()
	case n < 6:
		if t, _ := p.replace(&applicationKind, p.apps, appsPath, ref); t != nil {
			p.apps = append(p.apps, t)
		}
	case n < 8:
		p.change(&applicationKind, p.apps, appsPath, ref)
	case n == 8 && p.oneOf(2):
		status := 404
		if t := find(p.apps, ref); t != nil {
			status = 204
			p.apps = slices.DeleteFunc(p.apps, func(a *thing) bool { return a == t })
		}
		p.do("DELETE", appsPath+"/"+ref, nil, status, nil)
	case n < 11:
		p.read(p.apps, appsPath, ref)
	default:
		p.list(appsPath, members(p.apps))
	}
}

// getOrCreate asks for an application by its uid, and for it to be made when there is none.
func (p *play) getOrCreate() {
	uid := uids(p.r)
	body := object{"name": "asked for", "uid": uid, "rateLimit": 3}
	if t := find(p.apps, uid.(string)); t != nil {
		p.do("POST", appsPath+"?get_if_exists=true", body, 200, t.members)
		return
	}
	t := &thing{members: applicationKind.apply(applicationKind.defaults, body, true)}
	t.id = p.do("POST", appsPath+"?get_if_exists=true", body, 201, t.members).json().str("id")
	p.apps = append(p.apps, t)
}

func (p *play) read(list []*thing, path, ref string) {
	p.t.Helper()
	if t := find(list, ref); t != nil {
		p.do("GET", path+"/"+ref, nil, 200, t.members)
	} else {
		p.do("GET", path+"/"+ref, nil, 404, nil)
	}
}

func (p *play) endpoint() {
	appRef := p.ref(p.apps, "app_")
	app, path := find(p.apps, appRef), appsPath+"/"+appRef+"/endpoint"
	if app == nil {
		p.do("GET", path, nil, 404, nil)
		p.do("POST", path, object{"url": goodURL}, 404, nil)
		p.do("PUT", path+"/one", object{"url": goodURL}, 404, nil)
		return
	}
	list := app.endpoints
	ref := p.ref(list, "ep_")
	if p.oneOf(10) && len(p.apps) > 1 { // another application's
		ref = p.ref(p.apps[p.r.IntN(len(p.apps))].endpoints, "ep_")
	}
	add := func(t *thing) {
		app.endpoints = append(app.endpoints, t)
		p.told = append(p.told, "endpoint.created")
	}
	switch n := p.r.IntN(18); {
	case n < 3 && len(list) < 6:
		if t := p.create(&endpointKind, list, path); t != nil {
			add(t)
		}
	case n < 6:
		switch t, done := p.replace(&endpointKind, list, path, ref); {
		case t != nil:
			add(t)
		case done:
			p.told = append(p.told, "endpoint.updated")
		}
	case n < 9:
		if p.change(&endpointKind, list, path, ref) {
			p.told = append(p.told, "endpoint.updated")
		}
	case n == 9:
		status := 404
		if t := find(list, ref); t != nil {
			status = 204
			app.endpoints = slices.DeleteFunc(list, func(e *thing) bool { return e == t })
			p.told = append(p.told, "endpoint.deleted")
		}
		p.do("DELETE", path+"/"+ref, nil, status, nil)
	case n < 12:
		p.read(list, path, ref)
	case n < 14:
		p.headers(find(list, ref), path+"/"+ref+"/headers")
	case n < 16:
		p.secret(find(list, ref), path+"/"+ref+"/secret")
	default:
		newest := members(list)
		slices.Reverse(newest)
		p.list(path, newest)
		p.list(path+"?order=ascending", members(list))
	}
}

// headers replaces or patches the headers of an endpoint; nil = there is no such endpoint.
func (p *play) headers(e *thing, path string) {
	in := object{}
	for _, name := range []string{"x-a", "X-B", "x-b", "x-token", "Svix-Id"} {
		if n := p.r.IntN(9); n < 2 && (name != "Svix-Id" || n == 0) {
			in[name] = fmt.Sprint(p.r.IntN(10))
		}
	}
	method, bad := pick("PUT", "PATCH")(p.r).(string), in["Svix-Id"] != nil || in["X-B"] != nil && in["x-b"] != nil
	if method == "PATCH" && p.oneOf(2) && in["x-a"] == nil {
		in["X-A"] = nil
	}
	switch {
	case e == nil:
		p.do(method, path, object{"headers": in}, 404, nil)
		return
	case bad:
		p.do(method, path, object{"headers": in}, 422, nil)
		return
	case method == "PUT":
		e.headers = map[string]string{}
	}
	for name, v := range in {
		maps.DeleteFunc(e.headers, func(n, _ string) bool { return strings.EqualFold(n, name) })
		if v != nil {
			e.headers[name] = v.(string)
		}
	}
	p.do(method, path, object{"headers": in}, 204, nil)
	p.told = append(p.told, "endpoint.updated")
	shown := maps.Clone(e.headers)
	sensitive := []string{}
	if _, ok := shown["x-token"]; ok {
		delete(shown, "x-token")
		sensitive = append(sensitive, "x-token")
	}
	p.do("GET", path, nil, 200, object{"headers": shown, "sensitive": sensitive})
}

// secret reads or rotates the secret of an endpoint; nil = there is no such endpoint.
func (p *play) secret(e *thing, path string) {
	if e == nil {
		p.do("GET", path, nil, 404, nil)
		p.do("POST", path+"/rotate", object{}, 404, nil)
		return
	}
	if e.secret == "" { // one was made with it
		e.secret = p.do("GET", path, nil, 200, nil).json().str("key")
	}
	key := secretOf(24 + p.r.IntN(14))
	old := e.old
	if key != e.secret {
		old = append([]string{e.secret}, slices.DeleteFunc(slices.Clone(e.old), func(s string) bool { return s == key })...)
	}
	if len(old) > 10 {
		p.do("POST", path+"/rotate", object{"key": key}, 400, nil)
	} else {
		p.do("POST", path+"/rotate", object{"key": key}, 204, nil)
		e.secret, e.old = key, old
		p.told = append(p.told, "endpoint.updated")
	}
	p.do("GET", path, nil, 200, object{"key": e.secret})
	parts := strings.Split(path, "/")
	var kept []string
	for _, o := range p.stored(strings.Join(parts[:7], "/")).OldSecrets {
		kept = append(kept, o.Value)
	}
	if !slices.Equal(kept, e.old) {
		p.t.Fatalf("%s: %d earlier secrets are kept, want %d, or in another order", p.step, len(kept), len(e.old))
	}
}

const typesPath = "/api/v1/event-type"

func (p *play) eventType() {
	k := &eventTypeKind
	name := pick("a.b", "c.d", "e f", "-dash")(p.r).(string)
	path := typesPath + "/" + strings.ReplaceAll(name, " ", "%20")
	present, known := p.types[name]
	body, bad := k.body(p.r, true)
	switch n := p.r.IntN(12); {
	case n < 3:
		body["name"] = name
		switch {
		case bad:
			p.do("POST", typesPath, body, 422, nil)
		case known && present["archived"] == false:
			p.do("POST", typesPath, body, 409, nil)
		default:
			p.types[name] = k.apply(k.defaults, body, true)
			p.do("POST", typesPath, body, 201, p.types[name])
		}
	case n < 5:
		status := 200
		if !known {
			present, status = k.defaults, 201
		}
		if bad {
			p.do("PUT", path, body, 422, nil)
			return
		}
		p.types[name] = k.apply(present, body, true)
		p.do("PUT", path, body, status, p.types[name])
	case n < 7:
		body, bad = k.body(p.r, false)
		switch {
		case bad, known && k.holdsNull(body):
			p.do("PATCH", path, body, 422, nil)
		case !known:
			p.do("PATCH", path, body, 404, nil)
		default:
			p.types[name] = k.apply(present, body, false)
			p.do("PATCH", path, body, 200, p.types[name])
		}
	case n < 9:
		query, status := "", 404
		if known {
			status = 204
			p.types[name] = maps.Clone(present)
			p.types[name]["archived"] = true
		}
		if p.oneOf(2) {
			query = "?expunge=true"
			delete(p.types, name)
		}
		p.do("DELETE", path+query, nil, status, nil)
	case n < 10 && known:
		p.do("GET", path, nil, 200, present)
	case n < 10:
		p.do("GET", path, nil, 404, nil)
	default:
		var live, every []object
		for _, name := range slices.Sorted(maps.Keys(p.types)) {
			t := maps.Clone(p.types[name])
			t["name"] = name
			every = append(every, t)
			if t["archived"] == false {
				live = append(live, t)
			}
		}
		p.list(typesPath, live)
		p.list(typesPath+"?include_archived=true", every)
	}
}

func TestRandomRequestsAreAnsweredAsByAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := &play{server: start(t), r: rand.New(rand.NewPCG(seed, 1)), types: map[string]object{}}
			p.listen(object{})
			for range 400 {
				switch n := p.r.IntN(10); {
				case n < 3:
					p.application()
				case n < 8:
					p.endpoint()
				default:
					p.eventType()
				}
			}
			var told []string
			for after := ""; ; {
				list := must(p.noticesAfter(after))(t)
				for _, m := range list.Items {
					told = append(told, m.EventType)
				}
				if after = list.Last; list.Done {
					break
				}
			}
			if !slices.Equal(told, p.told) {
				t.Errorf("the operator was told of %d things, want %d:\n%v\n%v", len(told), len(p.told), told, p.told)
			}
			if strings.Contains(p.log.String(), "level=ERROR") {
				t.Errorf("logged: %s", p.log)
			}
		})
	}
}
