package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var pageTests = map[string]func(*testing.T, *fixture){
	"a cursor that is none is refused":             badCursors,
	"a limit out of range is refused":              badLimits,
	"pages go forward and back through everything": everyPage,
	"pages are steady while rows come":             pagesUnderInserts,
	"an empty list is done":                        emptyList,
	"configuration is paged too":                   configPages,
	"the default page has fifty":                   defaultLimit,
}

func badCursors(_ *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	for _, p := range []store.Page{
		{After: "x"}, {Before: "x"}, {After: app.ID.String()}, {After: m.ID.String() + "0"}, {After: m.ID.String(), Before: m.ID.String()},
	} {
		_, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, p)
		f.fails(err, hook.KindInvalid)
		_, err = f.Applications(f.ctx, store.Page{After: "x" + p.After})
		f.fails(err, hook.KindInvalid)
	}
}

func badLimits(_ *testing.T, f *fixture) {
	app := f.app()
	for _, n := range []int{-1, 251} {
		_, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{Limit: n})
		f.fails(err, hook.KindInvalid)
		_, err = f.Endpoints(f.ctx, app.ID, store.Page{Limit: n})
		f.fails(err, hook.KindInvalid)
	}
}

// walk reads all pages forward and then back again, and wants the same both ways.
func walk[T any](t *testing.T, limit int, down bool, want []T, read func(store.Page) (store.List[T], error)) {
	t.Helper()
	var forward []T
	var pages []store.List[T]
	p := store.Page{Limit: limit, Descending: down}
	for {
		l, err := read(p)
		if err != nil {
			t.Fatal(err)
		}
		forward = append(forward, l.Items...)
		pages = append(pages, l)
		if l.Done {
			break
		}
		if len(l.Items) != limit {
			t.Fatalf("a page of %d in the middle, want %d", len(l.Items), limit)
		}
		p.After = l.Last
	}
	same(t, forward, want)
	for i := len(pages) - 1; i > 0; i-- {
		l, err := read(store.Page{Limit: limit, Descending: down, Before: pages[i].First})
		if err != nil {
			t.Fatal(err)
		}
		same(t, l.Items, pages[i-1].Items)
		if l.Done != (i == 1) || l.First != pages[i-1].First || l.Last != pages[i-1].Last {
			t.Fatalf("going back to page %d: %+v", i-1, l)
		}
	}
}

func everyPage(t *testing.T, f *fixture) {
	app := f.app()
	var up, down []hook.MessageID
	for i := range 23 {
		m := f.newMessage(app.ID)
		m.EventType = fmt.Sprint("t", i%3)
		f.accept(hook.Accept{Message: m})
		f.message(f.app().ID) // between, another application's
		up = append(up, m.ID)
		down = append([]hook.MessageID{m.ID}, down...)
		f.later(time.Millisecond)
	}
	for name, filter := range map[string]store.MessageFilter{
		"by application": {}, "by types": {EventTypes: []string{"t0", "t1", "t2"}},
	} {
		for _, limit := range []int{1, 5, 22, 23, 24} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				read := func(p store.Page) (store.List[hook.MessageID], error) {
					l, err := f.Messages(f.ctx, app.ID, filter, p)
					return store.List[hook.MessageID]{Items: ids(l), First: l.First, Last: l.Last, Done: l.Done}, err
				}
				walk(t, limit, false, up, read)
				walk(t, limit, true, down, read)
			})
		}
	}
}

func pagesUnderInserts(t *testing.T, f *fixture) {
	app := f.app()
	var first []hook.MessageID
	for range 10 {
		first = append(first, f.message(app.ID).ID)
	}
	page := store.Page{Limit: 3, Descending: true}
	var got []hook.MessageID
	for {
		l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, page)
		f.ok(err)
		got = append(got, ids(l)...)
		if l.Done {
			break
		}
		f.message(app.ID) // newer than everything that is still to come
		page.After = l.Last
	}
	for i, id := range got {
		if id != first[len(first)-1-i] {
			t.Fatalf("row %d is %s: a newer row moved the pages", i, id)
		}
	}
	if len(got) != len(first) {
		t.Fatalf("%d rows, want %d", len(got), len(first))
	}
}

func emptyList(t *testing.T, f *fixture) {
	l, err := f.Messages(f.ctx, f.app().ID, store.MessageFilter{}, store.Page{})
	f.ok(err)
	if len(l.Items) != 0 || !l.Done || l.First != "" || l.Last != "" {
		t.Fatalf("an empty list is %+v", l)
	}
}

func configPages(t *testing.T, f *fixture) {
	app := f.app()
	apps := []hook.Application{app}
	var endpoints []hook.Endpoint
	var sources []hook.Source
	var profiles []hook.Profile
	var tokens []hook.Token
	for i := range 7 {
		if i > 0 {
			apps = append(apps, f.app())
		}
		endpoints, sources, profiles = append(endpoints, f.endpoint(app.ID)), append(sources, f.source(app.ID)), append(profiles, f.profile())
		k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{byte(i)}, CreatedAt: f.now}
		f.ok(f.PutToken(f.ctx, k))
		tokens = append(tokens, k)
	}
	walk(t, 3, false, apps, func(p store.Page) (store.List[hook.Application], error) { return f.Applications(f.ctx, p) })
	walk(t, 3, false, profiles, func(p store.Page) (store.List[hook.Profile], error) { return f.Profiles(f.ctx, p) })
	walk(t, 3, false, tokens, func(p store.Page) (store.List[hook.Token], error) { return f.Tokens(f.ctx, p) })
	walk(t, 3, false, sources, func(p store.Page) (store.List[hook.Source], error) { return f.Sources(f.ctx, app.ID, p) })
	walk(t, 3, false, sources, func(p store.Page) (store.List[hook.Source], error) { return f.Sources(f.ctx, 0, p) })
	walk(t, 3, false, endpoints, func(p store.Page) (store.List[hook.Endpoint], error) { return f.Endpoints(f.ctx, app.ID, p) })
}

func defaultLimit(t *testing.T, f *fixture) {
	app := f.app()
	var batch []hook.Accept
	for range 51 {
		batch = append(batch, hook.Accept{Message: f.newMessage(app.ID)})
	}
	f.acceptAll(batch...)
	l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{})
	f.ok(err)
	if len(l.Items) != 50 || l.Done {
		t.Fatalf("%d items, done %t", len(l.Items), l.Done)
	}
}
