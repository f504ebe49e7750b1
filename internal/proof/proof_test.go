package proof

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCompareFindsWhatWentWrong(t *testing.T) {
	sum := sha256.Sum256([]byte("body"))
	other := sha256.Sum256([]byte("other"))
	sent := map[string][32]byte{"ok": sum, "lost": sum, "refused": sum, "altered": sum, "unacknowledged": sum}
	got := Compare(sent, []string{"ok", "lost", "refused", "altered"}, map[string]Arrival{
		"ok":             {Times: 3, Accepted: 3, Body: sum},
		"refused":        {Times: 2, Body: sum},
		"altered":        {Times: 1, Accepted: 1, Body: other},
		"unacknowledged": {Times: 1, Accepted: 1, Body: sum},
		"invented":       {Times: 1, Accepted: 1, Body: sum},
	})
	want := "acknowledged 4, delivered 2, lost 2, invented 1, altered 1, duplicates 2"
	if got.String() != want || got.OK() {
		t.Errorf("got %v (%v), want %v", got, got.OK(), want)
	}
	if clean := Compare(sent, []string{"ok"}, map[string]Arrival{"ok": {Times: 1, Accepted: 1, Body: sum}}); !clean.OK() {
		t.Errorf("a clean run was called bad: %v", clean)
	}
}

func TestTheSinkRemembersWhatCame(t *testing.T) {
	sink := &Sink{Answer: func(id string, _ int, _ http.ResponseWriter, _ *http.Request) int {
		if id == "k3" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}}
	srv := httptest.NewServer(sink)
	defer srv.Close()
	post := func(body string) {
		t.Helper()
		resp, err := http.Post(srv.URL, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	for i := range 50 {
		post(fmt.Sprintf(`{"key":"k%d"}`, i))
	}
	arrivals := sink.Arrivals()
	if len(arrivals) != 50 || arrivals["k3"].Accepted != 0 || arrivals["k4"].Accepted != 1 {
		t.Errorf("arrivals: %d", len(arrivals))
	}
	post(`{"key":"k4","more":1}`)
	if a := sink.Arrivals()["k4"]; a.Times != 2 || !a.Changed {
		t.Errorf("a changed body was not noticed: %+v", a)
	}
}
