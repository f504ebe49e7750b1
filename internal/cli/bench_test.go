package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/bench"
	"github.com/waypost/waypost/internal/proof"
)

// runBench runs the program as a process, whose parts are the test binary, too.
func runBench(t *testing.T, change []string, args ...string) (code int, output string) {
	t.Helper()
	p, err := proof.Start(os.Args[0], append([]string{"bench"}, args...), append(change, asBinary+"=1")...)
	if err != nil {
		t.Fatal(err)
	}
	return p.Wait(), p.Tail()
}

// TestBenchMeasuresEveryCase runs all cases with few messages: the run itself checks that nothing is lost.
func TestBenchMeasuresEveryCase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts twenty processes")
	}
	t.Parallel()
	folder := t.TempDir()
	code, out := runBench(t, nil, "--quick", "--json", "--folder", folder)
	if code != 0 {
		t.Fatalf("code %d:\n%s", code, out)
	}
	var report bench.Report
	if err := json.Unmarshal([]byte(out[strings.LastIndex(out, "\n")+1:]), &report); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	rows := map[string]*bench.Row{}
	for _, row := range report.Rows {
		rows[row.Name] = row
		if s := row.Samples[0]; s.Messages == 0 || s.Rate <= 0 || s.Ack.Count != s.Messages {
			t.Errorf("%s: %+v", row.Name, s)
		}
	}
	for _, want := range []string{
		"loop", "handler", "proxy", "pipe", "flow", "ingest-alipay", "ingest-aop1688", "ingest-douyin", "ingest-douyinmini", "ingest-douyinspi",
		"ingest-pandapon", "ingest-standard", "ingest-yunzhimeng", "ingest-api", "fanout", "steady200", "steady1000", "steady2000", "failing1",
		"failing50", "healthy", "sick", "thousand", "stored",
	} {
		if rows[want] == nil {
			t.Errorf("the case %s is missing", want)
		}
	}
	if fanout := rows["fanout"].Samples[0]; fanout.EndToEnd.Count != 3*fanout.Messages {
		t.Errorf("fan-out: %+v", fanout)
	}
	if sick := rows["sick"].Samples[0]; sick.EndToEnd.Count != sick.Messages*98/100 {
		t.Errorf("two of a hundred endpoints take nothing: %+v", sick)
	}
	if flow := rows["flow"].Samples[0]; flow.Allocations < 10 || flow.EndToEnd.Count != flow.Messages {
		t.Errorf("flow: %+v", flow)
	}
	for _, want := range []string{"disk", "memoryIdle", "memoryWaiting", "memoryPending", "ready", "recovery"} {
		if report.Figures[want] <= 0 {
			t.Errorf("the figure %s is missing: %v", want, report.Figures)
		}
	}
	if len(report.Goals) < 10 || report.Stored != 2000 || report.Machine.Cores < 1 {
		t.Errorf("goals %+v, machine %+v, stored %d", report.Goals, report.Machine, report.Stored)
	}
	nothingIn(t, folder)
}

func nothingIn(t *testing.T, folder string) {
	t.Helper()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%v was left behind (%v)", left, err)
	}
}

func TestBenchRefusals(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"an unknown case":                 {[]string{"--only", "flow,flaw"}, 2, `no case "flaw"; the cases are`},
		"an unknown dialect":              {[]string{"--dialect", "nobody"}, 2, `no dialect "nobody"`},
		"a dialect with encrypted fields": {[]string{"--dialect", "yunzhimeng"}, 2, "encrypts fields"},
		"too many rounds":                 {[]string{"--rounds", "1000"}, 2, "rounds must be 1 to 100"},
		"a negative count":                {[]string{"--count", "-1"}, 2, "count must be"},
		"rounds of no length":             {[]string{"--seconds", "-1"}, 2, "seconds must be"},
		"more stored than a disk has":     {[]string{"--stored", "60000000"}, 2, "stored must be"},
		"a folder that is missing":        {[]string{"--folder", filepath.Join(folder, "none")}, 2, "mkdir -p"},
		"a folder that is a file":         {[]string{"--profiles", file}, 2, "is no folder"},
		"an argument":                     {[]string{"quickly"}, 2, "takes no argument"},
		"a part without its environment":  {[]string{"part", "proxy"}, 2, "is for `waypost bench` to start"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", nil, append([]string{"bench"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("code %d, %s%s", code, out, errs)
			}
		})
	}
}

func TestBenchTakesProfilesOfTheGateway(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two seconds and starts three processes")
	}
	t.Parallel()
	folder, profiles := t.TempDir(), t.TempDir()
	code, out := runBench(t, nil, "--quick", "--only", "flow,loop", "--dialect", "pandapon", "--folder", folder, "--profiles", profiles)
	if info, err := os.Stat(filepath.Join(profiles, "flow-1.pprof")); code != 0 || err != nil || info.Size() == 0 {
		t.Errorf("code %d, %v:\n%s", code, err, out)
	}
	for _, want := range []string{"source: pandapon", "bare loop", "Waypost end to end", "disk a message", "a quick run"} {
		if !strings.Contains(out, want) {
			t.Errorf("the text lacks %q:\n%s", want, out)
		}
	}
	nothingIn(t, folder)
}

func TestBenchSaysNoWhenAMessageIsLost(t *testing.T) {
	t.Parallel()
	err := benchFailed(t.Context(), fmt.Errorf("flow: %w", &bench.LostError{Owed: 3, Missing: 1}))
	var code *exitError
	if !errors.As(err, &code) || code.code != 3 || !strings.Contains(err.Error(), "1 are lost") {
		t.Errorf("%v", err)
	}
}

func TestBenchRefusesADiskWithoutRoom(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, ok := proof.FreeSpace(folder); !ok {
		t.Skip("this system does not tell of free space")
	}
	code, out := runBench(t, nil, "--only", "flow", "--count", "1000000", "--rounds", "100", "--folder", folder)
	if code != 1 || !strings.Contains(out, "MiB left on its disk") || !strings.Contains(out, "--folder") {
		t.Errorf("code %d: %s", code, out)
	}
	nothingIn(t, folder)
}

// TestBenchUsesALargeStoreAgain also asks for it while a server works in it.
func TestBenchUsesALargeStoreAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a dozen processes")
	}
	t.Parallel()
	folder := t.TempDir()
	args := []string{"--quick", "--large", "--stored", "4000", "--only", "stored", "--folder", folder}
	kept := filepath.Join(folder, "waypost-bench-standard-4000")
	var made time.Time
	for i := range 2 {
		if code, out := runBench(t, nil, args...); code != 0 || !strings.Contains(out, "4,000 stored") {
			t.Fatalf("run %d: code %d:\n%s", i+1, code, out)
		}
		info, err := os.Stat(filepath.Join(kept, "bench.json"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 && info.ModTime() != made {
			t.Error("it was filled again")
		}
		made = info.ModTime()
	}
	server, err := proof.Start(os.Args[0], []string{"serve", "--data", kept, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, asBinary+"=1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(time.Minute) }()
	if _, err := server.Await(t.Context(), "  admin   ", ""); err != nil {
		t.Fatal(err)
	}
	if code, out := runBench(t, nil, args...); code != 1 || !strings.Contains(out, "another process") {
		t.Errorf("in use: code %d:\n%s", code, out)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("%v was left behind", left)
	}
}

// The only port that is chosen before somebody listens on it is nginx's.
func TestBenchSaysThatAPortIsTaken(t *testing.T) {
	t.Parallel()
	folder, bin := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho 'bind() to 127.0.0.1:1 failed (98: Address already in use)'\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "nginx"), []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	code, out := runBench(t, []string{"PATH=" + bin}, "--quick", "--only", "nginx", "--folder", folder)
	if code != 1 || !strings.Contains(out, "nginx did not start") || !strings.Contains(out, "Address already in use") {
		t.Errorf("code %d:\n%s", code, out)
	}
	nothingIn(t, folder)
}

// TestBenchThatIsEndedLeavesNothing ends it softly, and hard: its parts go with it.
func TestBenchThatIsEndedLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a dozen processes")
	}
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *proof.Process, string){
		"interrupted": func(t *testing.T, p *proof.Process, folder string) {
			if err := p.Stop(time.Minute); err == nil || !strings.Contains(p.Tail(), "interrupted") {
				t.Errorf("%v:\n%s", err, p.Tail())
			}
			nothingIn(t, folder)
		},
		"killed": func(t *testing.T, p *proof.Process, _ string) {
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			p, err := proof.Start(os.Args[0], []string{"bench", "--only", "steady", "--rounds", "100", "--seconds", "1", "--folder", folder}, asBinary+"=1")
			if err != nil {
				t.Fatal(err)
			}
			sink, err := p.Await(t.Context(), "sink ", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Await(t.Context(), "round 1 of 100", ""); err != nil {
				t.Fatal(err)
			}
			end(t, p, folder)
			u, err := url.Parse(sink)
			if err != nil {
				t.Fatal(err)
			}
			for t.Context().Err() == nil { // go test's own limit ends this
				c, err := net.Dial("tcp", u.Host)
				if err != nil {
					break
				}
				_ = c.Close()
				time.Sleep(20 * time.Millisecond)
			}
			for os.RemoveAll(folder) != nil && t.Context().Err() == nil { // a server that is still closing may make files
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}
