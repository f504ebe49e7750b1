package cli

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// TestKillAmidARotationOfTheMainKey kills a server process at named points and at random while it rotates its main key under
// load. Every start serves with what the folder holds, goes on with the rotation, and nothing is lost: the secrets of all
// platforms, both ways, are needed for that.
func TestKillAmidARotationOfTheMainKey(t *testing.T) {
	kills := 24
	switch {
	case long():
		kills = 240
	case testing.Short() || underRace:
		kills = 8
	}
	rng := rand.New(rand.NewPCG(seeded(t), 3))
	r := newRig(t)
	r.start("")
	r.furnish()
	stop := r.load("k", 5*time.Millisecond)
	points := []string{
		app.AtKeyMade + ":1", app.AtKeyBegun + ":1", sqlite.AtReseal + ":1", sqlite.AtReseal + ":3", app.AtKeyResealed + ":1", app.AtKeySwapped + ":1",
		"random", "random",
	}
	r.kill()
	passed := map[string]int{}
	for i := range kills {
		point := points[i%len(points)]
		before := r.keyFile("main.key")
		if point == "random" {
			r.start("")
			go r.rotate(t)
			time.Sleep(time.Duration(rng.IntN(30_000)) * time.Microsecond)
			r.kill()
		} else {
			r.start(point)
			r.rotate(t)
			if !r.fallen(patience) {
				t.Errorf("the point %s was not passed", point)
			}
		}
		// The store starts with the key that the file says, unless the file of the next one is beside it.
		made := r.keyFile("main.key.next")
		passed[point]++
		r.start("")
		r.awaitKey(t)
		if now := r.keyFile("main.key"); made != "" && now != made || point != "random" && now == before {
			t.Errorf("%s: main.key is not the new one", point)
		}
		if r.keyFile("main.key.next") != "" {
			t.Errorf("%s: main.key.next is left", point)
		}
		r.acknowledged(5)
		r.kill()
	}
	r.start("")
	stop()
	v := r.settle()
	t.Logf("%d kills (%v), %d acknowledged, %d lost, %d attempts made again", v.Crashes, passed, v.Acknowledged, len(v.Lost), v.Repeats)
	if !v.OK() {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
	if err := r.process.Stop(30 * time.Second); err != nil {
		t.Errorf("stop in good order: %v", err)
	}
}

// rotate asks for a rotation; the server may be killed before it answers.
func (r *rig) rotate(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.admin+"/api/v1/main-key/rotate", nil)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	if resp, err := r.client.Do(req); err == nil {
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the answer is %s", resp.Status)
		}
		_ = resp.Body.Close()
	}
}

// awaitKey waits until no rotation is under way.
func (r *rig) awaitKey(t *testing.T) {
	t.Helper()
	var k keyState
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err := newClient("http://"+r.admin, r.token).call(t.Context(), http.MethodGet, "/main-key", nil, &k); err != nil {
			t.Fatalf("%v\n%s", err, r.process.Tail())
		}
		if k.State == "steady" {
			return
		}
	}
	t.Fatalf("the rotation does not end: %+v\n%s", k, r.process.Tail())
}

// keyFile is the content of a key file, "" when there is none.
func (r *rig) keyFile(name string) string {
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func TestTheKeyCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("")
	r.furnish()
	env := map[string]string{"WAYPOST_TOKEN": r.token}
	server := "http://" + r.admin
	first := r.keyFile("main.key")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"key"}, 0, "rotate"},
		{[]string{"key", "turn"}, 2, "no command"},
		{[]string{"key", "rotate", "now"}, 2, "takes no argument"},
		{[]string{"key", "status", "--server", server}, 0, "no rotation of the main key is under way"},
		{[]string{"key", "rotate", "--server", server}, 0, "the main key is rotated"},
		{[]string{"key", "status", "--server", server}, 0, "the main key is rotated"},
		{[]string{"key", "rotate", "--server", server, "--json"}, 0, `"state":"steady"`},
		{[]string{"key", "rotate", "--data", r.dir}, 1, "another process uses this folder"},
		{[]string{"key", "rotate", "--server", "http://" + freeAddress(t)}, 1, "connection refused"},
		{[]string{"key", "rotate", "--data", filepath.Join(r.dir, "none")}, 1, "holds no store"},
	} {
		code, out, errs := command(t, "", env, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: code %d\n%s%s", c.args, code, out, errs)
		}
	}
	if code, _, errs := command(t, "", nil, "key", "rotate", "--server", server); code != 2 || !strings.Contains(errs, "WAYPOST_TOKEN") {
		t.Errorf("without a token: %d %s", code, errs)
	}
	if err := r.process.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	second := r.keyFile("main.key")
	code, out, errs := command(t, "", nil, "key", "rotate", "--data", r.dir, "--json")
	var k keyState
	if err := json.Unmarshal([]byte(out), &k); err != nil || code != 0 || k.State != "steady" || k.Resealed == 0 || k.Resealed != k.Total {
		t.Errorf("stopped: %d %s%s (%v)", code, out, errs, err)
	}
	third := r.keyFile("main.key")
	if first == second || second == third {
		t.Error("the key is as it was")
	}
	code, _, errs = command(t, "", map[string]string{"WAYPOST_MAIN_KEY": third}, "key", "rotate", "--data", r.dir)
	if code != 1 || !strings.Contains(errs, "WAYPOST_MAIN_KEY_OLD") {
		t.Errorf("with the key in the environment: %d %s", code, errs)
	}
	both := map[string]string{"WAYPOST_MAIN_KEY": second, "WAYPOST_MAIN_KEY_OLD": third}
	if code, _, errs = command(t, "", both, "key", "rotate", "--data", r.dir); code != 0 {
		t.Errorf("with both in the environment: %d %s", code, errs)
	}
	code, _, errs = command(t, "", map[string]string{"WAYPOST_MAIN_KEY": first}, "token", "create", "--data", r.dir)
	if code != 1 || !strings.Contains(errs, "the main key is not the one") {
		t.Errorf("a wrong key: %d %s", code, errs)
	}
	code, _, errs = command(t, "", map[string]string{"WAYPOST_MAIN_KEY_OLD": first}, "token", "create", "--data", r.dir)
	if code != 1 || !strings.Contains(errs, "given without main-key") {
		t.Errorf("the old key alone: %d %s", code, errs)
	}
}
