package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var configTests = map[string]func(*testing.T, *fixture){
	"what does not exist is not found":                              missingConfig,
	"an id is taken once":                                           takenIDs,
	"a uid is taken once in its scope":                              takenUIDs,
	"what a new row names must exist":                               namedMustExist,
	"a door opens one source":                                       takenDoors,
	"a profile in use is not deleted":                               profileInUse,
	"an application comes back as it went in":                       applicationRoundTrip,
	"a profile comes back as it went in":                            profileRoundTrip,
	"a source comes back as it went in":                             sourceRoundTrip,
	"an endpoint comes back as it went in":                          endpointRoundTrip,
	"a token comes back as it went in":                              tokenRoundTrip,
	"update replaces the row and keeps its birth":                   updateReplaces,
	"a swap does not write over what somebody else has changed":     swap,
	"of another application is not found":                           othersConfig,
	"deleting an application takes all that it has":                 deleteApplication,
	"a door leads to its source with merged settings":               route,
	"an account under a profile is one endpoint's":                  accounts,
	"an old door opens until its end":                               oldDoor,
	"a target has merged settings and the application's allow list": target,
	"tokens of an application are ended":                            expireTokens,
	"a token that has run out is not found":                         expiredToken,
	"a token with the same hash replaces the earlier one":           replacedToken,
	"a change is told before the call returns":                      configChanges,
}

func missingConfig(t *testing.T, f *fixture) {
	app := f.app()
	a := hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now)}
	p, s, e := f.newProfile(), f.newSource(app.ID), f.newEndpoint(app.ID)
	get := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"application":        get(f.Application(f.ctx, a.ID.String())),
		"application by uid": get(f.Application(f.ctx, "nobody")),
		"update application": f.UpdateApplication(f.ctx, a),
		"delete application": f.DeleteApplication(f.ctx, a.ID, f.now),
		"profile":            get(f.Profile(f.ctx, p.ID.String())),
		"profile by uid":     get(f.Profile(f.ctx, "nobody")),
		"update profile":     f.UpdateProfile(f.ctx, p),
		"delete profile":     f.DeleteProfile(f.ctx, p.ID),
		"source":             get(f.Source(f.ctx, app.ID, s.ID.String())),
		"source by uid":      get(f.Source(f.ctx, app.ID, "nobody")),
		"update source":      f.UpdateSource(f.ctx, s),
		"delete source":      f.DeleteSource(f.ctx, app.ID, s.ID),
		"route":              get(f.Route(f.ctx, "no such door", f.now)),
		"source route":       get(f.SourceRoute(f.ctx, s.ID)),
		"endpoint":           get(f.Endpoint(f.ctx, app.ID, e.ID.String())),
		"endpoint by uid":    get(f.Endpoint(f.ctx, app.ID, "nobody")),
		"update endpoint":    f.UpdateEndpoint(f.ctx, e),
		"delete endpoint":    f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now),
		"target":             get(f.Target(f.ctx, e.ID)),
		"token":              get(f.Token(f.ctx, [32]byte{1}, f.now)),
		"delete token":       f.DeleteToken(f.ctx, hook.NewID[hook.TokenID](f.ids, f.now)),
		"empty ref":          get(f.Application(f.ctx, "")),
	} {
		if hook.KindOf(err) != hook.KindNotFound {
			t.Errorf("%s: got %v, want not found", name, err)
		}
	}
}

func takenIDs(_ *testing.T, f *fixture) {
	app := f.app()
	f.failsField(f.CreateApplication(f.ctx, app), hook.KindConflict, "id")
	f.failsField(f.CreateProfile(f.ctx, f.profile()), hook.KindConflict, "id")
	f.failsField(f.CreateEndpoint(f.ctx, f.endpoint(app.ID)), hook.KindConflict, "id")
	s := f.source(app.ID)
	s.Door = "another"
	f.failsField(f.CreateSource(f.ctx, s), hook.KindConflict, "id")
}

func takenUIDs(_ *testing.T, f *fixture) {
	a, b := f.app(), f.app()
	a.UID = "mine"
	f.ok(f.UpdateApplication(f.ctx, a))
	f.ok(f.UpdateApplication(f.ctx, a)) // one's own uid is free
	b.UID = "mine"
	f.failsField(f.UpdateApplication(f.ctx, b), hook.KindConflict, "uid")
	b.ID = hook.NewID[hook.ApplicationID](f.ids, f.now)
	f.failsField(f.CreateApplication(f.ctx, b), hook.KindConflict, "uid")
	b = f.app()

	p := f.newProfile()
	p.UID = "mine"
	f.ok(f.CreateProfile(f.ctx, p))
	p.ID = hook.NewID[hook.ProfileID](f.ids, f.now)
	f.failsField(f.CreateProfile(f.ctx, p), hook.KindConflict, "uid")

	for _, app := range []hook.ApplicationID{a.ID, b.ID} { // each application is a scope of its own
		e := f.newEndpoint(app)
		e.UID = "mine"
		f.ok(f.CreateEndpoint(f.ctx, e))
		e.ID = hook.NewID[hook.EndpointID](f.ids, f.now)
		f.failsField(f.CreateEndpoint(f.ctx, e), hook.KindConflict, "uid")
		other := f.endpoint(app)
		other.UID = "mine"
		f.failsField(f.UpdateEndpoint(f.ctx, other), hook.KindConflict, "uid")

		s := f.newSource(app)
		s.UID = "mine"
		f.ok(f.CreateSource(f.ctx, s))
		s.ID, s.Door = hook.NewID[hook.SourceID](f.ids, f.now), s.Door+"2"
		f.failsField(f.CreateSource(f.ctx, s), hook.KindConflict, "uid")
	}
	f.source(a.ID)
	f.source(a.ID) // no uid is no uid: two may have none
}

func namedMustExist(_ *testing.T, f *fixture) {
	app := f.app()
	noApp := hook.NewID[hook.ApplicationID](f.ids, f.now)
	noProfile := hook.NewID[hook.ProfileID](f.ids, f.now)
	f.fails(f.CreateSource(f.ctx, f.newSource(noApp)), hook.KindNotFound)
	f.fails(f.CreateEndpoint(f.ctx, f.newEndpoint(noApp)), hook.KindNotFound)
	f.fails(f.PutToken(f.ctx, hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), App: noApp}), hook.KindNotFound)
	s, e := f.newSource(app.ID), f.newEndpoint(app.ID)
	s.Profile, e.Profile = noProfile, noProfile
	f.failsField(f.CreateSource(f.ctx, s), hook.KindNotFound, "profile")
	f.failsField(f.CreateEndpoint(f.ctx, e), hook.KindNotFound, "profile")
	e = f.endpoint(app.ID)
	e.Profile = noProfile
	f.failsField(f.UpdateEndpoint(f.ctx, e), hook.KindNotFound, "profile")
	if list, err := f.Endpoints(f.ctx, app.ID, store.Page{}); err != nil || len(list.Items) != 1 {
		f.t.Fatalf("a refused row was written: %d endpoints, %v", len(list.Items), err)
	}
}

func takenDoors(_ *testing.T, f *fixture) {
	app := f.app()
	first := f.source(app.ID)
	second := f.newSource(app.ID)
	second.Door = first.Door
	f.failsField(f.CreateSource(f.ctx, second), hook.KindConflict, "door")
	first.OldDoors = []hook.OldDoor{{Door: first.Door, Until: f.now.Add(time.Hour)}}
	first.Door = "new"
	f.ok(f.UpdateSource(f.ctx, first))
	f.failsField(f.CreateSource(f.ctx, second), hook.KindConflict, "door") // the old door is still the first one's
	second.Door = "second"
	f.ok(f.CreateSource(f.ctx, second))
	second.Door = "new"
	f.failsField(f.UpdateSource(f.ctx, second), hook.KindConflict, "door")
	f.ok(f.DeleteSource(f.ctx, app.ID, first.ID))
	f.ok(f.UpdateSource(f.ctx, second)) // and now it is free
}

func profileInUse(_ *testing.T, f *fixture) {
	app, p := f.app(), f.profile()
	e, s := f.newEndpoint(app.ID), f.newSource(app.ID)
	e.Profile, s.Profile = p.ID, p.ID
	f.ok(f.CreateEndpoint(f.ctx, e))
	f.fails(f.DeleteProfile(f.ctx, p.ID), hook.KindConflict)
	f.ok(f.CreateSource(f.ctx, s))
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	f.fails(f.DeleteProfile(f.ctx, p.ID), hook.KindConflict)
	f.ok(f.DeleteSource(f.ctx, app.ID, s.ID))
	f.ok(f.DeleteProfile(f.ctx, p.ID))
}

// same compares with reflection, so that a forgotten field is found.
func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
}

// complete wants every field of a row to be set but those named, so that a round trip tries all of them.
func complete(t *testing.T, row any, but ...string) {
	t.Helper()
	v := reflect.ValueOf(row)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != slices.Contains(but, name) {
			t.Fatalf("field %s of %s is not tried as it should be", name, v.Type())
		}
	}
}

// odd are settings with bytes that are no UTF-8 and more than one value.
func odd() hook.Settings {
	return hook.Settings{"secret": {"\xff\x00raw", "second"}, "none": {}, "empty": {""}}
}

func applicationRoundTrip(t *testing.T, f *fixture) {
	a := hook.Application{
		ID: hook.NewID[hook.ApplicationID](f.ids, f.now), UID: "应用", Name: "店铺", ThrottleRate: 7,
		FeatureFlags: []string{"beta", "值"}, EnforceSchemas: true,
		Metadata: map[string]string{"k": "值"}, AllowCIDRs: []string{"10.0.0.0/8"}, Managed: true,
		CreatedAt: f.now.Add(time.Millisecond), UpdatedAt: f.now.Add(2 * time.Millisecond),
	}
	complete(t, a)
	f.ok(f.CreateApplication(f.ctx, a))
	for _, ref := range []string{a.ID.String(), a.UID} {
		got, err := f.Application(f.ctx, ref)
		f.ok(err)
		same(t, got, a)
	}
	list, err := f.Applications(f.ctx, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.Application{a})
	a.FeatureFlags = []string{} // no flag is not the same as no restriction
	f.ok(f.UpdateApplication(f.ctx, a))
	got, err := f.Application(f.ctx, a.UID)
	f.ok(err)
	same(t, got, a)
}

func profileRoundTrip(t *testing.T, f *fixture) {
	p := hook.Profile{
		ID: hook.NewID[hook.ProfileID](f.ids, f.now), UID: "p", Name: "支付宝", Dialect: "alipay", Settings: odd(),
		Managed: true, CreatedAt: f.now, UpdatedAt: f.now.Add(time.Second),
	}
	complete(t, p)
	f.ok(f.CreateProfile(f.ctx, p))
	for _, ref := range []string{p.ID.String(), p.UID} {
		got, err := f.Profile(f.ctx, ref)
		f.ok(err)
		same(t, got, p)
	}
	list, err := f.Profiles(f.ctx, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.Profile{p})
}

func sourceRoundTrip(t *testing.T, f *fixture) {
	app, p := f.app(), f.profile()
	s := hook.Source{
		ID: hook.NewID[hook.SourceID](f.ids, f.now), App: app.ID, UID: "s", Name: "门", Dialect: "douyin", Profile: p.ID,
		Settings: odd(), Transport: hook.TransportLongConn, Door: "front", OldDoors: []hook.OldDoor{{Door: "back", Until: f.now.Add(time.Hour)}},
		VerifyUntil: f.now.Add(time.Minute), AllowFrom: []string{"203.0.113.0/24"}, Disabled: true, Managed: true,
		CreatedAt: f.now, UpdatedAt: f.now.Add(time.Second),
	}
	complete(t, s)
	f.ok(f.CreateSource(f.ctx, s))
	for _, ref := range []string{s.ID.String(), s.UID} {
		got, err := f.Source(f.ctx, app.ID, ref)
		f.ok(err)
		same(t, got, s)
	}
	other := f.source(f.app().ID)
	for _, c := range []struct {
		app  hook.ApplicationID
		want []hook.Source
	}{{app.ID, []hook.Source{s}}, {0, []hook.Source{s, other}}} {
		list, err := f.Sources(f.ctx, c.app, store.Page{})
		f.ok(err)
		same(t, list.Items, c.want)
	}
}

// fullEndpoint sets every field.
func fullEndpoint(f *fixture, app hook.ApplicationID, p hook.ProfileID) hook.Endpoint {
	return hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](f.ids, f.now), App: app, UID: "e", URL: "https://例子.example/回调?a=b", Description: "说明",
		EventTypes: []string{"a", "b"}, Channels: []string{"c"}, Dialect: "pandapon", Profile: p, Settings: odd(),
		Headers:  map[string]string{"Authorization": "Bearer \xfe", "X": ""},
		Schedule: []time.Duration{0, time.Second, 30 * time.Minute}, Timeout: 1500 * time.Millisecond, Format: hook.FormatOriginal,
		ThrottleRate: 9, Concurrency: 3, Paused: true, DisabledReason: "because", RequireVerified: true,
		Verification: hook.Verification{State: hook.VerificationFailed, At: f.now, Reason: "no answer"},
		OldSecrets:   []hook.OldSecret{{Value: "whsec_\xff", Until: f.now.Add(time.Hour)}, {Value: "", Until: time.Time{}}},
		Transport:    hook.TransportPoll, Account: "2013121700999429", Version: 3,
		PublicOnly: true, FailingSince: f.now.Add(-time.Hour), Metadata: map[string]string{"k": "v"}, Managed: true,
		CreatedAt: f.now, UpdatedAt: f.now.Add(time.Second),
	}
}

func endpointRoundTrip(t *testing.T, f *fixture) {
	app := f.app()
	e := fullEndpoint(f, app.ID, f.profile().ID)
	complete(t, e, "Disabled")
	f.ok(f.CreateEndpoint(f.ctx, e))
	for _, ref := range []string{e.ID.String(), e.UID} {
		got, err := f.Endpoint(f.ctx, app.ID, ref)
		f.ok(err)
		same(t, got, e)
	}
	bare := f.newEndpoint(app.ID)
	bare.Schedule = []time.Duration{} // no retries is not the same as the dialect's retries
	bare.OldSecrets = []hook.OldSecret{}
	f.ok(f.CreateEndpoint(f.ctx, bare))
	list, err := f.Endpoints(f.ctx, app.ID, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.Endpoint{e, bare})
}

func tokenRoundTrip(t *testing.T, f *fixture) {
	k := hook.Token{
		ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{1, 2, 3}, Name: "ci", App: f.app().ID, Managed: true,
		Capabilities: []hook.Capability{hook.ViewBase, hook.ManageEndpoint}, FeatureFlags: []string{"beta"}, Session: "会话",
		CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour),
	}
	complete(t, k)
	f.ok(f.PutToken(f.ctx, k))
	got, err := f.Token(f.ctx, k.Hash, f.now)
	f.ok(err)
	same(t, got, k)
	list, err := f.Tokens(f.ctx, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.Token{k})
	k.Capabilities, k.FeatureFlags = []hook.Capability{}, []string{} // nothing is not the same as everything
	f.ok(f.PutToken(f.ctx, k))
	got, err = f.Token(f.ctx, k.Hash, f.now)
	f.ok(err)
	same(t, got, k)
	f.ok(f.DeleteToken(f.ctx, k.ID))
	_, err = f.Token(f.ctx, k.Hash, f.now)
	f.fails(err, hook.KindNotFound)
}

func updateReplaces(t *testing.T, f *fixture) {
	app := f.app()
	born := f.now
	e := fullEndpoint(f, app.ID, f.profile().ID)
	f.ok(f.CreateEndpoint(f.ctx, e))
	f.later(time.Hour)
	bare := hook.Endpoint{ID: e.ID, App: app.ID, URL: "https://example.org", Dialect: "standard", CreatedAt: f.now, UpdatedAt: f.now}
	f.ok(f.UpdateEndpoint(f.ctx, bare))
	bare.CreatedAt = born
	got, err := f.Endpoint(f.ctx, app.ID, e.ID.String())
	f.ok(err)
	same(t, got, bare)

	app = hook.Application{ID: app.ID, Name: "new", CreatedAt: f.now, UpdatedAt: f.now}
	f.ok(f.UpdateApplication(f.ctx, app))
	app.CreatedAt = born
	gotApp, err := f.Application(f.ctx, app.ID.String())
	f.ok(err)
	same(t, gotApp, app)
}

func othersConfig(_ *testing.T, f *fixture) {
	mine, other := f.app(), f.app()
	e, s := f.endpoint(other.ID), f.source(other.ID)
	_, err := f.Endpoint(f.ctx, mine.ID, e.ID.String())
	f.fails(err, hook.KindNotFound)
	_, err = f.Source(f.ctx, mine.ID, s.ID.String())
	f.fails(err, hook.KindNotFound)
	f.fails(f.DeleteEndpoint(f.ctx, mine.ID, e.ID, f.now), hook.KindNotFound)
	f.fails(f.DeleteSource(f.ctx, mine.ID, s.ID), hook.KindNotFound)
	e.App, s.App = mine.ID, mine.ID
	f.fails(f.UpdateEndpoint(f.ctx, e), hook.KindNotFound)
	f.fails(f.UpdateSource(f.ctx, s), hook.KindNotFound)
}

func deleteApplication(_ *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	e, s := f.endpoint(app.ID), f.source(app.ID)
	stays := f.endpoint(other.ID)
	m, kept := f.message(app.ID), f.message(other.ID)
	o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Retry, time.Minute)
	f.finish(o)
	k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{9}, App: app.ID, CreatedAt: f.now}
	f.ok(f.PutToken(f.ctx, k))
	f.ok(f.DeleteApplication(f.ctx, app.ID, f.now))

	_, err := f.Application(f.ctx, app.ID.String())
	f.fails(err, hook.KindNotFound)
	_, err = f.Target(f.ctx, e.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Route(f.ctx, s.Door, f.now)
	f.fails(err, hook.KindNotFound)
	_, err = f.Token(f.ctx, k.Hash, f.now)
	f.fails(err, hook.KindNotFound)
	_, err = f.Message(f.ctx, app.ID, m.ID.String(), false)
	f.fails(err, hook.KindNotFound)
	_, err = f.Load(f.ctx, m.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{})
	f.fails(err, hook.KindNotFound)
	_, err = f.Deliveries(f.ctx, app.ID, m.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Attempts(f.ctx, app.ID, store.AttemptFilter{Message: m.ID}, store.Page{})
	f.fails(err, hook.KindNotFound)
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		f.t.Fatalf("%d deliveries of a deleted application can be claimed", len(work))
	}
	f.wantCounts(store.Counts{Messages: 2, Pending: 1, Canceled: 1})
	if work, _ := f.claim(stays.ID, 10); len(work) != 1 || work[0].Delivery.Message != kept.ID {
		f.t.Fatalf("another application's work is %+v, want its one message", work)
	}
	out := f.acceptAll(hook.Accept{Message: f.newMessage(app.ID)})[0]
	f.fails(out.Err, hook.KindNotFound)
}

func route(t *testing.T, f *fixture) {
	app := f.app()
	p := f.newProfile()
	p.Settings = hook.Settings{"platformKey": {"shared"}, "schedule": {"shared"}}
	f.ok(f.CreateProfile(f.ctx, p))
	s := f.newSource(app.ID)
	s.Profile, s.Settings = p.ID, hook.Settings{"schedule": {"own", "two"}, "appId": {"1"}}
	f.ok(f.CreateSource(f.ctx, s))
	want := hook.Route{Source: s, Settings: hook.Settings{"platformKey": {"shared"}, "schedule": {"own", "two"}, "appId": {"1"}}}
	got, err := f.Route(f.ctx, s.Door, f.now)
	f.ok(err)
	same(t, got, want)
	got, err = f.SourceRoute(f.ctx, s.ID)
	f.ok(err)
	same(t, got, want)
}

func oldDoor(_ *testing.T, f *fixture) {
	s := f.source(f.app().ID)
	old := s.Door
	s.Door, s.OldDoors = "new", []hook.OldDoor{{Door: old, Until: f.now.Add(time.Hour)}}
	f.ok(f.UpdateSource(f.ctx, s))
	for _, door := range []string{"new", old} {
		r, err := f.Route(f.ctx, door, f.now.Add(time.Hour-time.Millisecond))
		f.ok(err)
		if r.Source.ID != s.ID {
			f.t.Fatalf("door %s leads to %s, want %s", door, r.Source.ID, s.ID)
		}
	}
	_, err := f.Route(f.ctx, old, f.now.Add(time.Hour))
	f.fails(err, hook.KindNotFound)
	_, err = f.Route(f.ctx, "new", f.now.Add(time.Hour))
	f.ok(err)
}

func target(t *testing.T, f *fixture) {
	app := f.app()
	app.AllowCIDRs = []string{"10.0.0.0/8"}
	f.ok(f.UpdateApplication(f.ctx, app))
	p := f.newProfile()
	p.Settings = hook.Settings{"platformKey": {"shared"}, "secret": {"shared"}}
	f.ok(f.CreateProfile(f.ctx, p))
	e := f.newEndpoint(app.ID)
	e.Profile, e.Settings = p.ID, hook.Settings{"secret": {"own"}}
	f.ok(f.CreateEndpoint(f.ctx, e))
	want := store.Target{Endpoint: e, AllowCIDRs: app.AllowCIDRs, Settings: hook.Settings{"platformKey": {"shared"}, "secret": {"own"}}}
	got, err := f.Target(f.ctx, e.ID)
	f.ok(err)
	same(t, got, want)

	e.PublicOnly = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	got, err = f.Target(f.ctx, e.ID)
	f.ok(err)
	if len(got.AllowCIDRs) != 0 {
		t.Fatalf("a public-only endpoint may reach %v", got.AllowCIDRs)
	}
}

func expiredToken(_ *testing.T, f *fixture) {
	k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{1}, CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour)}
	f.ok(f.PutToken(f.ctx, k))
	_, err := f.Token(f.ctx, k.Hash, f.now.Add(time.Hour-time.Millisecond))
	f.ok(err)
	_, err = f.Token(f.ctx, k.Hash, f.now.Add(time.Hour))
	f.fails(err, hook.KindNotFound)
	k.ExpiresAt = time.Time{}
	f.ok(f.PutToken(f.ctx, k))
	_, err = f.Token(f.ctx, k.Hash, f.now.Add(1000*time.Hour))
	f.ok(err)
}

func expireTokens(t *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	at := f.now.Add(time.Hour)
	var all []hook.Token
	put := func(app hook.ApplicationID, session string, managed bool, end time.Time) {
		k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{byte(len(all) + 1)}, App: app, Session: session,
			Managed: managed, CreatedAt: f.now, ExpiresAt: end}
		f.ok(f.PutToken(f.ctx, k))
		all = append(all, k)
	}
	put(app.ID, "", false, time.Time{})
	put(app.ID, "a", false, f.now.Add(2*time.Hour))
	put(app.ID, "b", false, at.Add(-time.Minute))
	put(app.ID, "b", false, time.Time{})
	put(app.ID, "b", true, time.Time{})
	put(other.ID, "b", false, time.Time{})
	put(0, "b", false, time.Time{})
	expire := func(sessions []string, ended ...int) {
		t.Helper()
		f.told()
		f.ok(f.ExpireTokens(f.ctx, app.ID, sessions, at))
		same(t, f.told(), []store.Change{{Config: true}})
		for _, i := range ended {
			all[i].ExpiresAt = at
		}
		l, err := f.Tokens(f.ctx, store.Page{})
		f.ok(err)
		same(t, l.Items, all)
	}
	expire([]string{"nobody's"})
	expire([]string{"a", "b"}, 1, 3)
	expire(nil, 0)
	_, err := f.Token(f.ctx, all[0].Hash, at.Add(-time.Millisecond))
	f.ok(err)
	_, err = f.Token(f.ctx, all[0].Hash, at)
	f.fails(err, hook.KindNotFound)
	at = f.now
	expire(nil, 0, 1, 2, 3)
	f.fails(f.ExpireTokens(f.ctx, hook.NewID[hook.ApplicationID](f.ids, f.now), nil, at), hook.KindNotFound)
}

func replacedToken(t *testing.T, f *fixture) {
	k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{1}, Name: "first", CreatedAt: f.now}
	f.ok(f.PutToken(f.ctx, k))
	k.ID, k.Name = hook.NewID[hook.TokenID](f.ids, f.now), "second"
	f.ok(f.PutToken(f.ctx, k))
	got, err := f.Token(f.ctx, k.Hash, f.now)
	f.ok(err)
	same(t, got, k)
	list, err := f.Tokens(f.ctx, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.Token{k})
}

// accounts are unique with their profile, and find their endpoints.
func accounts(t *testing.T, f *fixture) {
	app, p := f.app(), f.profile()
	with := func(account string, profile hook.ProfileID) hook.Endpoint {
		e := f.newEndpoint(app.ID)
		e.Transport, e.Account, e.Profile = hook.TransportLongConn, account, profile
		return e
	}
	wants := func(account string, want ...hook.EndpointID) {
		t.Helper()
		got, err := f.AccountEndpoints(f.ctx, account)
		f.ok(err)
		if !slices.Equal(got, want) {
			t.Fatalf("%s is the account of %v, want %v", account, got, want)
		}
	}
	first, second, none := with("1", 0), with("1", p.ID), with("", 0)
	f.ok(f.CreateEndpoint(f.ctx, first))
	f.ok(f.CreateEndpoint(f.ctx, second))
	f.ok(f.CreateEndpoint(f.ctx, none))
	f.ok(f.CreateEndpoint(f.ctx, with("", 0)))
	wants("1", first.ID, second.ID)
	wants("2")
	wants("")
	f.failsField(f.CreateEndpoint(f.ctx, with("1", p.ID)), hook.KindConflict, "account")
	none.Account = "1"
	f.failsField(f.UpdateEndpoint(f.ctx, none), hook.KindConflict, "account")
	f.ok(f.UpdateEndpoint(f.ctx, first)) // its own is no other's
	first.Account = "2"
	f.ok(f.UpdateEndpoint(f.ctx, first))
	f.ok(f.UpdateEndpoint(f.ctx, none))
	wants("1", second.ID, none.ID)
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, second.ID, f.now))
	f.ok(f.CreateEndpoint(f.ctx, with("1", p.ID)))
}

func configChanges(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	f.told()
	for name, change := range map[string]func() error{
		"update": func() error { return f.UpdateEndpoint(f.ctx, e) },
	} {
		f.ok(change())
		if c := f.told(); len(c) != 1 || !c[0].Config || c[0].Endpoint != e.ID {
			t.Fatalf("%s of an endpoint told %+v", name, c)
		}
	}
	p := f.profile()
	for name, change := range map[string]func() error{
		"application": func() error { return f.UpdateApplication(f.ctx, app) },
		"profile":     func() error { return f.UpdateProfile(f.ctx, p) },
		"source":      func() error { return f.CreateSource(f.ctx, f.newSource(app.ID)) },
		"token":       func() error { return f.PutToken(f.ctx, hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now)}) },
	} {
		f.told()
		f.ok(change())
		if c := f.told(); len(c) != 1 || !c[0].Config {
			t.Fatalf("a change of a %s told %+v", name, c)
		}
	}
	f.told()
	f.fails(f.DeleteEndpoint(f.ctx, app.ID, hook.NewID[hook.EndpointID](f.ids, f.now), f.now), hook.KindNotFound)
	if c := f.told(); len(c) != 0 {
		t.Fatalf("a refused call told %+v", c)
	}
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	if c := f.told(); len(c) != 1 || !c[0].Config || c[0].Endpoint != e.ID {
		t.Fatalf("deleting an endpoint told %+v", c)
	}
}
