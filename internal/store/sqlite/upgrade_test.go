package sqlite_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// archive is what a store of an earlier schema holds; testdata has one of each schema, filled by fill at its time.
type archive struct {
	now     time.Time
	app     hook.Application
	profile hook.Profile
	source  hook.Source
	on, off hook.Endpoint // off was disabled while something was pending
	token   hook.Token
	accepts []hook.Accept
	failed  hook.Attempt
}

func newArchive() archive {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ids := hook.NewGenerator(1, 0)
	a := archive{now: now}
	a.app = hook.Application{
		ID: hook.NewID[hook.ApplicationID](ids, now), UID: "shop", Name: "店铺", ThrottleRate: 3, Metadata: map[string]string{"k": "v"},
		AllowCIDRs: []string{"10.0.0.0/8"}, CreatedAt: now, UpdatedAt: now,
	}
	a.profile = hook.Profile{
		ID: hook.NewID[hook.ProfileID](ids, now), UID: "p", Dialect: "alipay", Settings: hook.Settings{"platformKey": {"secret-1", "secret-2"}}, CreatedAt: now,
	}
	a.source = hook.Source{
		ID: hook.NewID[hook.SourceID](ids, now), App: a.app.ID, Dialect: "alipay", Profile: a.profile.ID, Settings: hook.Settings{"appId": {"1"}},
		Door: "front", OldDoors: []hook.OldDoor{{Door: "back", Until: now.Add(time.Hour)}}, CreatedAt: now,
	}
	a.on = hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](ids, now), App: a.app.ID, UID: "e", URL: "https://example.com/on", Dialect: "standard",
		Profile: a.profile.ID, Settings: hook.Settings{"secret": {"whsec_1"}}, Headers: map[string]string{"authorization": "Bearer x"},
		Schedule: []time.Duration{time.Second}, Format: hook.FormatPayload, CreatedAt: now, UpdatedAt: now,
	}
	a.off = a.on
	a.off.ID, a.off.UID, a.off.Headers = hook.NewID[hook.EndpointID](ids, now), "", nil
	a.token = hook.Token{ID: hook.NewID[hook.TokenID](ids, now), Hash: [32]byte{7}, Name: "ci", App: a.app.ID, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	for i := range 4 {
		m := hook.Message{
			ID: hook.NewID[hook.MessageID](ids, now), App: a.app.ID, EventType: "order.created", CreatedAt: now, Payload: []byte(`{"n":1}`),
			Platform: map[string]string{"notify_id": "n"}, Channels: []string{"c"}, Tags: []string{"t"},
		}
		if i%2 == 0 {
			m.Source = a.source.ID
			m.Raw = &hook.Raw{Method: "POST", Query: "a=b", Header: http.Header{"X-A": {"1"}}, Body: []byte(`{"content":{"n":1}}`)}
		}
		a.accepts = append(a.accepts, hook.Accept{Message: m, Dedup: hook.Dedup{Scope: "s", Key: m.ID.String(), Keep: 100 * time.Hour}})
	}
	a.failed = hook.Attempt{
		ID: hook.NewID[hook.AttemptID](ids, now), App: a.app.ID, Message: a.accepts[1].Message.ID, Endpoint: a.on.ID, EventType: "order.created",
		URL: a.on.URL, N: 1, At: now, Duration: time.Millisecond, Status: 500, Verdict: hook.Refuse, Reason: "500", Response: []byte("oh"),
	}
	return a
}

// fill makes the store of an archive: the first message is delivered to both endpoints, the second has failed at one and
// a resend of it is wished, the others are pending at one and canceled at the other.
func (a archive) fill(t *testing.T, db *sqlite.DB) {
	ctx := t.Context()
	must(t, db.CreateApplication(ctx, a.app))
	must(t, db.CreateProfile(ctx, a.profile))
	must(t, db.CreateSource(ctx, a.source))
	must(t, db.CreateEndpoint(ctx, a.on))
	must(t, db.CreateEndpoint(ctx, a.off))
	must(t, db.PutToken(ctx, a.token))
	out, err := db.Accept(ctx, a.accepts)
	must(t, err)
	for i, d := range out[0].Deliveries {
		won := a.failed
		won.ID, won.Message, won.Endpoint, won.Verdict = a.failed.ID+1+hook.AttemptID(i), d.Message, d.Endpoint, hook.Success
		must(t, db.Finish(ctx, []hook.Outcome{{Attempt: won, Delivery: d.Step(hook.Success, hook.Scheduled, a.now, nil, 0)}}))
	}
	lost := out[1].Deliveries[0].Step(hook.Refuse, hook.Scheduled, a.now, nil, 0)
	must(t, db.Finish(ctx, []hook.Outcome{{Attempt: a.failed, Delivery: lost}}))
	must(t, db.Resend(ctx, a.app.ID, a.failed.Message, a.on.ID, a.now))
	off := a.off
	off.Disabled = true
	must(t, db.UpdateEndpoint(ctx, off))
	must(t, db.Refuse(ctx, []hook.Refused{{ID: 99, Source: a.source.ID, At: a.now, Reason: "signature"}}, 5))
	must(t, db.Beat(ctx, hook.ClockState{Wall: a.now}, true))
}

// verify wants all that fill made.
func (a archive) verify(t *testing.T, db *sqlite.DB) {
	t.Helper()
	ctx := t.Context()
	app, err := db.Application(ctx, "shop")
	wantSame(t, app, a.app, err)
	profile, err := db.Profile(ctx, "p")
	wantSame(t, profile, a.profile, err)
	source, err := db.Route(ctx, "back", a.now)
	wantSame(t, source.Source, a.source, err)
	on, err := db.Endpoint(ctx, a.app.ID, "e")
	wantSame(t, on, a.on, err)
	a.off.Disabled = true
	off, err := db.Endpoint(ctx, a.app.ID, a.off.ID.String())
	wantSame(t, off, a.off, err)
	token, err := db.Token(ctx, a.token.Hash, a.now)
	wantSame(t, token, a.token, err)
	states := [][]hook.State{
		{hook.Delivered, hook.Delivered}, {hook.Failed, hook.Canceled}, {hook.Pending, hook.Canceled}, {hook.Pending, hook.Canceled},
	}
	for i := range a.accepts {
		m, err := db.Load(ctx, a.accepts[i].Message.ID)
		wantSame(t, m, a.accepts[i].Message, err)
		all, err := db.Deliveries(ctx, a.app.ID, m.ID)
		must(t, err)
		if len(all) != 2 || all[0].State != states[i][0] || all[1].State != states[i][1] {
			t.Errorf("deliveries of message %d are %+v, want %v", i, all, states[i])
		}
	}
	attempt, err := db.Attempt(ctx, a.app.ID, a.failed.ID)
	wantSame(t, attempt, a.failed, err)
	work, _, err := db.Claim(ctx, a.on.ID, a.now, 0, 10)
	must(t, err)
	if len(work) != 3 || work[0].Trigger != hook.Manual || work[0].Delivery.Message != a.failed.Message {
		t.Errorf("the work is %+v", work)
	}
	refused, err := db.Refusals(ctx, a.source.ID, 5)
	must(t, err)
	beat, err := db.LastBeat(ctx)
	must(t, err)
	if len(refused) != 1 || !beat.Wall.Equal(a.now) {
		t.Errorf("refused %+v, last beat %v", refused, beat)
	}
	counts, err := db.Counts(ctx)
	wantSame(t, counts, store.Counts{Messages: 4, Pending: 2, Delivered: 2, Failed: 1, Canceled: 3}, err)
	for ep, want := range map[hook.EndpointID]store.DeliveryCounts{
		a.on.ID: {Pending: 2, Delivered: 1, Failed: 1}, a.off.ID: {Delivered: 1, Canceled: 3},
	} {
		stats, err := db.Stats(ctx, a.app.ID, ep, time.Time{}, time.Time{})
		wantSame(t, stats, want, err)
	}
	again, err := db.Accept(ctx, a.accepts)
	must(t, err)
	for i := range again {
		if !again[i].Duplicate || again[i].Message.ID != a.accepts[i].Message.ID {
			t.Errorf("message %d is not recognised: %+v", i, again[i])
		}
	}
}

func wantSame[T any](t *testing.T, got, want T, err error) {
	t.Helper()
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestAnOlderStoreIsBroughtUpToDateWithAllThatItHolds(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/schema*.db.gz")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there is no older store")
	}
	a := newArchive()
	t.Run("made now", func(t *testing.T) { // what is wanted of an older one is what there should be of this one
		t.Parallel()
		db := open(t, sqlite.Options{})
		a.fill(t, db)
		a.verify(t, db)
	})
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "waypost.db"), unzip(t, file), 0o600))
			db := open(t, sqlite.Options{Dir: dir})
			a.verify(t, db)
			must(t, db.Close())
			db = open(t, sqlite.Options{Dir: dir}) // and once more without a migration
			a.verify(t, db)
			a.useNew(t, db)
			for more := true; more; {
				_, more, err = db.Sweep(t.Context(), store.Sweep{Now: a.now, Limit: 1})
				must(t, err)
			}
			must(t, db.Close())
		})
	}
}

// The power goes at every operation of the disk while an older store is brought up to date.
func TestACrashWhileAStoreIsBroughtUpToDateLosesNothing(t *testing.T) {
	t.Parallel()
	a, dir := newArchive(), t.TempDir()
	content := unzip(t, "testdata/schema1.db.gz")
	for seed, end := range []func(*powercut.Disk, int){(*powercut.Disk).CutAfter, (*powercut.Disk).KillAfter} {
		d := newDisk(t, uint64(seed))
		o := sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: sealer(t, 1), Readers: 1}
		ends := 0
		for n := 1; ; n++ {
			d.SetFile(filepath.Join(dir, "waypost.db"), content)
			d.SetFile(filepath.Join(dir, "waypost.db-wal"), nil)
			end(d, n)
			db, err := sqlite.Open(t.Context(), o)
			if err == nil {
				d.Spare()
				a.verify(t, db)
				must(t, db.Close())
				break
			}
			ends++
			d.Restart()
			db, err = sqlite.Open(t.Context(), o)
			must(t, err)
			a.verify(t, db)
			must(t, db.Close())
		}
		if ends < 5 {
			t.Errorf("it ended only %d times", ends)
		}
	}
}

// useNew tries what the earlier schema had no place for.
func (a archive) useNew(t *testing.T, db *sqlite.DB) {
	t.Helper()
	ctx := t.Context()
	e := hook.Endpoint{ID: a.off.ID + 1000, App: hook.Operational, CreatedAt: a.now}
	must(t, db.CreateEndpoint(ctx, e))
	a.on.OldSecrets = []hook.OldSecret{{Value: "old", Until: a.now}}
	must(t, db.UpdateEndpoint(ctx, a.on))
	on, err := db.Endpoint(ctx, a.app.ID, "e")
	wantSame(t, on, a.on, err)
	m := a.accepts[0].Message
	m.ID, m.DeliverAt, m.ContentUntil = m.ID+5000, a.now.Add(time.Hour), a.now.Add(2*time.Hour)
	event := hook.Accept{Message: hook.Message{ID: m.ID, EventType: "told", CreatedAt: a.now}}
	out, err := db.Accept(store.With(ctx, store.Along{Events: []hook.Accept{event}}), []hook.Accept{{Message: m}})
	must(t, err)
	got, err := db.Load(ctx, out[0].Message.ID)
	m.ID = out[0].Message.ID
	wantSame(t, got, m, err)
	work, _, err := db.Claim(ctx, e.ID, a.now, 0, 10)
	must(t, err)
	if len(work) != 1 || m.ID <= a.accepts[3].Message.ID {
		t.Errorf("the operator is told %+v, message %s", work, m.ID)
	}
}

func unzip(t *testing.T, file string) []byte {
	t.Helper()
	zipped, err := os.ReadFile(file)
	must(t, err)
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	return b
}

// A start with another main key changes nothing, so that an earlier version can still open the store.
func TestAWrongMainKeyBringsNothingUpToDate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "waypost.db"), unzip(t, "testdata/schema1.db.gz"), 0o600))
	_, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 2)})
	if !errors.Is(err, store.ErrMainKey) {
		t.Errorf("%v is not ErrMainKey", err)
	}
	if have, _, err := sqlite.Schema(t.Context(), dir); have != 1 || err != nil {
		t.Errorf("after the refusal the schema is %d, %v", have, err)
	}
}
