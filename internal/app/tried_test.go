package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// answering is a receiver that gives the statuses in turn, the last one for ever, and keeps what it was sent.
type answering struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	bodies   []string
}

func answers(t *testing.T, statuses ...int) *answering {
	r := &answering{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies = append(r.bodies, string(body))
		w.WriteHeader(r.statuses[0])
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *answering) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.bodies...)
}

type attemptRow struct {
	EndpointID, MsgID, StatusText   string
	ResponseStatusCode, TriggerType int
}

// tried lists the attempts of a message, oldest first.
func (a *App) tried(t *testing.T, msg string) []attemptRow {
	t.Helper()
	var page struct{ Data []attemptRow }
	a.get(t, "/api/v1/app/dev/attempt/msg/"+msg+"?order=ascending", &page)
	return page.Data
}

// TestAttemptsByWhatTheReceiverAnswers: one attempt when it accepts, else one and as many more as the schedule has.
func TestAttemptsByWhatTheReceiverAnswers(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", map[string]any{"name": "Developer", "uid": "dev"}, nil)
	d := &developer{t: t, app: a}
	gone := answers(t, http.StatusOK)
	gone.Close()
	for name, c := range map[string]struct {
		url      string
		schedule []float64
		want     string // status code and standing of each attempt
	}{
		"accepts":                       {answers(t, http.StatusOK).URL, []float64{0.01, 0.01}, "200 success"},
		"forbids":                       {answers(t, http.StatusForbidden).URL, []float64{0.01, 0.01}, "403 fail, 403 fail, 403 fail"},
		"fails":                         {answers(t, http.StatusInternalServerError).URL, []float64{0.01, 0.01}, "500 fail, 500 fail, 500 fail"},
		"does not listen":               {gone.URL, []float64{0.01, 0.01}, "0 fail, 0 fail, 0 fail"},
		"sends elsewhere":               {answers(t, http.StatusPermanentRedirect).URL, []float64{0.01}, "308 fail, 308 fail"},
		"fails, and is not tried again": {answers(t, http.StatusInternalServerError).URL, []float64{}, "500 fail"},
		"fails and recovers":            {answers(t, http.StatusInternalServerError, http.StatusOK).URL, []float64{0.01, 0.01}, "500 fail, 200 success"},
	} {
		uid := strings.NewReplacer(" ", "-", ",", "").Replace(name)
		var ep struct{ ID string }
		a.post(t, "/app/dev/endpoint", map[string]any{"uid": uid, "url": c.url, "retrySchedule": c.schedule, "filterTypes": []string{uid}}, &ep)
		a.post(t, "/app/dev/msg", map[string]any{"eventType": uid, "eventId": uid, "payload": map[string]any{}}, nil)
		last := "fail"
		if strings.HasSuffix(c.want, "success") {
			last = "success"
		}
		d.await(name, func() bool {
			var at struct{ Data []struct{ StatusText string } }
			a.get(t, "/api/v1/app/dev/msg/"+uid+"/endpoint", &at)
			return len(at.Data) == 1 && at.Data[0].StatusText == last
		})
		var got []string
		for _, one := range a.tried(t, uid) {
			got = append(got, fmt.Sprintf("%d %s", one.ResponseStatusCode, one.StatusText))
			if one.EndpointID != ep.ID || one.TriggerType != 0 {
				t.Errorf("%s: %+v", name, one)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("a receiver that %s: %s, want %s", name, strings.Join(got, ", "), c.want)
		}
	}
}

// TestOneOfThreeReceiversFails: all get the same body, and only the one that failed gets it once more.
func TestOneOfThreeReceiversFails(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", map[string]any{"name": "Developer", "uid": "dev"}, nil)
	d := &developer{t: t, app: a}
	receivers := []*answering{answers(t, 200), answers(t, 500, 200), answers(t, 200)}
	for _, r := range receivers {
		a.post(t, "/app/dev/endpoint", map[string]any{"url": r.URL, "retrySchedule": []float64{0.01, 0.01}}, nil)
	}
	const body = `{ "test" : "value1" }`
	a.post(t, "/app/dev/msg", map[string]any{"eventType": "e", "eventId": "m1", "payload": map[string]any{},
		"transformationsParams": map[string]any{"rawPayload": body}}, nil)
	d.await("all have it", func() bool {
		var at struct{ Data []struct{ StatusText string } }
		a.get(t, "/api/v1/app/dev/msg/m1/endpoint", &at)
		return len(at.Data) == 3 && at.Data[0].StatusText+at.Data[1].StatusText+at.Data[2].StatusText == "successsuccesssuccess"
	})
	for i, r := range receivers {
		want := []string{body}
		if i == 1 {
			want = []string{body, body}
		}
		if got := r.got(); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("receiver %d got %q", i, got)
		}
	}
	if n := len(a.tried(t, "m1")); n != 4 {
		t.Errorf("%d attempts", n)
	}
}
