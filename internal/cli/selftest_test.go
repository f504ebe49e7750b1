package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
)

func TestSelftestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const hello = `{"waypostWitness":1,"run":"r","folder":"waypost-witness-r"}` + "\n"
	ack := `{"k":"a","b":"` + strings.Repeat("00", 32) + `"}` + "\n"
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		code int
		says string
	}{
		{"an argument", []string{"folder"}, nil, 2, "takes no argument"},
		{"two tests at once", []string{"--power-cut", "--witness", "a:1"}, nil, 2, "choose one"},
		{"no cuts", []string{"--power-cut", "--cuts", "0"}, nil, 2, "--cuts"},
		{"too many cuts", []string{"--power-cut", "--cuts", "101"}, nil, 2, "--cuts"},
		{"cuts without --power-cut", []string{"--cuts", "3"}, nil, 2, "--power-cut"},
		{"a witness whose name is empty", []string{"--data", dir, "--witness", ""}, nil, 2, "--witness is empty"},
		{"a log whose name is empty", []string{"--data", dir, "--check", ""}, nil, 2, "--check is empty"},
		{"a folder whose name is empty", []string{"--data", ""}, nil, 2, "--data is empty"},
		{"a folder of the environment whose name is empty", nil, map[string]string{"WAYPOST_DATA": ""}, 2, "WAYPOST_DATA is empty"},
		{"less room than a server needs", []string{"--data", dir, "--witness", "127.0.0.1:1", "--low-water", "1048576GiB"}, nil, 1, "nothing to witness"},
		{"a seed that is no number", []string{"--power-cut", "--seed", "x"}, nil, 2, "--seed"},
		{"a seed of the environment that is no number", []string{"--power-cut"}, map[string]string{"WAYPOST_SEED": "x"}, 2, "--seed"},
		{"a time without --witness", []string{"--for", "1m"}, nil, 2, "--witness"},
		{"no time", []string{"--witness", "a:1", "--for", "0s"}, nil, 2, "--for"},
		{"a server without --check", []string{"--server", "http://a"}, nil, 2, "--check"},
		{"a folder that is not there", []string{"--data", filepath.Join(dir, "none")}, nil, 1, "mkdir"},
		{"a folder of the environment that is not there", nil, map[string]string{"WAYPOST_DATA": filepath.Join(dir, "none")}, 1, "mkdir"},
		{"a file for a folder", []string{"--data", write("file", "")}, nil, 1, "is a file"},
		{"a witness that is not there", []string{"--data", dir, "--witness", "127.0.0.1:1"}, nil, 1, "selftest witness --listen"},
		{"a witness without a log", []string{"witness"}, nil, 2, "--log"},
		{"a witness with a log that exists", []string{"witness", "--listen", "127.0.0.1:0", "--log", write("old", "x")}, nil, 1, "exists"},
		{"a log that is not there", []string{"--check", filepath.Join(dir, "nolog")}, nil, 1, "no such file"},
		{"a log that is none", []string{"--check", write("nonsense", "x\n")}, nil, 1, "no log"},
		{"a log without acknowledgements", []string{"--check", write("nothing", hello)}, nil, 1, "nothing to compare"},
		{"a log whose folder is elsewhere", []string{"--check", write("outside", strings.Replace(hello, "waypost-witness-r", "waypost-witness-/../..", 1)+ack)}, nil, 1, "no run makes"},
		{"a log whose folder is gone", []string{"--data", dir, "--check", write("gone", hello+ack)}, nil, 1, "not there"},
		{"a server without a token", []string{"--server", "http://127.0.0.1:1", "--check", write("tokenless", hello+ack)}, nil, 2, "WAYPOST_TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", c.env, append([]string{"selftest"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.says) || out != "" && !strings.HasPrefix(out, "witness ") {
				t.Errorf("code %d, want %d; said %q, want %q in it; printed %q", code, c.code, errs, c.says, out)
			}
		})
	}
}

// looked is the JSON of the test without flags.
type looked struct {
	Version  string
	Date     time.Time
	Verdict  string
	Proves   string
	Not      string `json:"doesNotProve"`
	Cert     bool   `json:"certificateForTheDisk"`
	Fsync    proof.Syncs
	Findings []proof.Finding
	Commits  int
	Synced   int `json:"commitsFollowedByFsync"`
}

func TestSelftestBesideARunningServerLeavesNothingAndTouchesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server, err := app.Start(t.Context(), app.Options{Data: data, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", LowWater: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Errorf("the server did not stop in good order: %v", err)
		}
	}()
	before := names(t, data)
	code, out, errs := command(t, "", nil, "selftest", "--data", data, "--low-water", "1MiB", "--json")
	var r looked
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("code %d, %v: %s", code, err, errs)
	}
	// The folder of a test may be memory, which is rightly refused.
	if want := map[bool]int{true: 3, false: 0}[proof.Worst(r.Findings) == proof.Bad]; code != want {
		t.Errorf("code %d, want %d: %s", code, want, out)
	}
	if r.Fsync.Count == 0 || r.Fsync.P50 <= 0 || r.Fsync.P99 < r.Fsync.P50 || r.Commits != watchedCommits || r.Synced != watchedCommits {
		t.Errorf("fsync %+v, commits %d, synced %d", r.Fsync, r.Commits, r.Synced)
	}
	if r.Version != Version || time.Since(r.Date) > time.Hour || r.Proves == "" || !strings.Contains(r.Not, "--witness") || r.Cert {
		t.Errorf("version, date, or what it proves: %s", out)
	}
	if after := names(t, data); after != before {
		t.Errorf("the folder held %s before and %s after", before, after)
	}
	_, text, _ := command(t, "", nil, "selftest", "--data", data, "--low-water", "1MiB")
	for _, want := range []string{Version, "fsync", "file system", "It proves: ", "It does not prove: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
}

// Who has just built the program has no data folder yet, and may have a seed for other suites in the environment.
func TestSelftestWithoutADataFolderLooksWhereItWouldBe(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, want := range []string{dir, filepath.Join(dir, "waypost-data")} {
		_, out, errs := command(t, "", map[string]string{"WAYPOST_SEED": "x"}, "selftest", "--json", "--low-water", "1MiB")
		var r struct{ Data string }
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Data != want {
			t.Errorf("looked at %q, want %q (%v, %s)", r.Data, want, err, errs)
		}
		if left := names(t, want); left != "" {
			t.Errorf("left behind: %s", left)
		}
		_ = os.Mkdir("waypost-data", 0o700)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// checked is the JSON of --check.
type checked struct {
	Verdict      string
	Cert         bool `json:"certificateForTheDisk"`
	Restarted    string
	End          string
	Acknowledged int
	Stored       int
	Lost         []string
	Altered      []string
}

func TestWhatAWitnessSawIsFoundAgainAfterAKill(t *testing.T) {
	t.Parallel()
	data, path := t.TempDir(), filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	witness, err := proof.Start(os.Args[0], []string{"selftest", "witness", "--listen", "127.0.0.1:0", "--log", path}, asBinary+"=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = witness.Kill() })
	addr, err := witness.Await(ctx, "witness ", "")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := proof.Start(os.Args[0], []string{"selftest", "--witness", addr, "--data", data, "--low-water", "1MiB"}, asBinary+"=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = machine.Kill() })
	for range 2 {
		if _, err := machine.Await(ctx, "witnessed ", ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := machine.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.Await(ctx, path+": ", ""); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(log), "\n")
	first, more, _ := strings.Cut(rest, "\n")
	rebooted := strings.Replace(head, `"boot":"`, `"boot":"another-`, 1)
	unplugged := strings.Replace(more, proof.EndedAlive, proof.EndedTorn, 1)

	check := func(t *testing.T, lines ...string) (int, checked) {
		t.Helper()
		changed := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(changed, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := command(t, "", nil, "selftest", "--check", changed, "--data", data, "--json")
		var r checked
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("code %d, %v: %s", code, err, errs)
		}
		return code, r
	}
	// One after another: each opens the store.
	t.Run("everything is there, and a kill is no certificate", func(t *testing.T) {
		code, r := check(t, head, first, more)
		t.Logf("%d witnessed, %d stored, %d lost", r.Acknowledged, r.Stored, len(r.Lost))
		if code != 0 || r.Acknowledged == 0 || r.Stored < r.Acknowledged || len(r.Lost)+len(r.Altered) > 0 || r.Cert || r.End != proof.EndedAlive {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("an acknowledgement that is not there is found missing", func(t *testing.T) {
		code, r := check(t, rebooted, `{"k":"never","b":"`+strings.Repeat("00", 32)+`"}`, first, more)
		if code != 3 || len(r.Lost) != 1 || r.Lost[0] != "never" || r.Cert {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("an acknowledgement with another body is found altered", func(t *testing.T) {
		_, sum, _ := strings.Cut(strings.TrimSuffix(first, `"}`), `"b":"`)
		other := strings.ReplaceAll(first+"\n"+more, sum, strings.Repeat("5a", 32)) // the first may be there twice
		code, r := check(t, rebooted, other)
		if code != 3 || len(r.Altered) != 1 || r.Cert {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("only after a restart of the machine it is a certificate", func(t *testing.T) {
		if proof.BootID() == "" {
			t.Skip("this system does not tell one start of the machine from another")
		}
		if code, r := check(t, rebooted, first, unplugged); code != 0 || !r.Cert || r.Restarted != "yes" {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("a program that was killed before its machine went down is no certificate", func(t *testing.T) {
		if code, r := check(t, rebooted, first, more); code != 0 || r.Cert {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("a run that had ended in good order is no certificate", func(t *testing.T) {
		if code, r := check(t, rebooted, strings.Replace(first+"\n"+more, proof.EndedAlive, proof.EndedWell, 1)); code != 0 || r.Cert {
			t.Errorf("code %d, %+v", code, r)
		}
	})
	t.Run("a run that had ended for want of a witness is no certificate", func(t *testing.T) {
		folders, err := filepath.Glob(filepath.Join(data, witnessFolder+"*"))
		if err != nil || len(folders) != 1 {
			t.Fatalf("%v, %v", folders, err)
		}
		if err := os.WriteFile(filepath.Join(folders[0], endedFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, r := check(t, rebooted, first, unplugged); code != 0 || r.Cert {
			t.Errorf("code %d, %+v", code, r)
		}
	})
}

// cutResult is the JSON of --power-cut.
type cutResult struct {
	Version       string
	Verdict       string
	Seed          uint64
	Lost          int
	Control       proof.Control
	Load          proof.Verdict
	DuplicatesMax int
	Fsync         proof.Syncs
	Cuts          []oneCut
	OK            bool
}

// cutPower runs --power-cut in a process of its own, because it starts its own binary as the server.
func cutPower(t *testing.T, data string, env []string, args ...string) (code int, r cutResult) {
	t.Helper()
	if err := proof.CanCut(); err != nil {
		t.Skipf("no simulated power cut: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"selftest", "--power-cut", "--json", "--data", data}, args...)...)
	cmd.Env = append(append(os.Environ(), asBinary+"=1"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it cleans up
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	code = cmd.ProcessState.ExitCode()
	if code == 4 {
		t.Skipf("no simulated power cut: %s", errs.String())
	}
	if e := json.Unmarshal(out, &r); e != nil {
		t.Fatalf("%v, %v: %s", err, e, errs.String())
	}
	if left := names(t, data); left != "" {
		t.Errorf("left behind: %s", left)
	}
	return code, r
}

func TestPowerCutsLoseNothing(t *testing.T) {
	t.Parallel()
	cuts := "2"
	if long() {
		cuts = "50"
	}
	// What configures this machine's server is in the environment, and must not reach the test's.
	config := filepath.Join(t.TempDir(), "waypost.yaml")
	if err := os.WriteFile(config, []byte("listen: 127.0.0.1:1\napplications:\n- uid: "+trialApp+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, r := cutPower(t, t.TempDir(), []string{"WAYPOST_CONFIG=" + config, "WAYPOST_MAIN_KEY=none", "LISTEN_FDS=1"}, "--cuts", cuts)
	t.Logf("%d cuts, seed %d: %d acknowledged, %d lost, %d duplicates of at most %d; control: %+v", len(r.Cuts), r.Seed, r.Load.Acknowledged, r.Lost, r.Load.Repeats, r.DuplicatesMax, r.Control)
	if code != 0 || !r.OK || r.Lost != 0 || r.Load.Acknowledged == 0 || !r.Control.OK() || r.Fsync.Count == 0 || r.Version != Version {
		t.Errorf("code %d: %s; repeat it with WAYPOST_SEED=%d", code, r.Verdict, r.Seed)
	}
}

func TestPowerCutsFindAStoreThat(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the round without mistakes runs in short mode too; the mistakes take longer")
	}
	for _, c := range []struct{ name, fault string }{
		{"does not sync", "no-sync"},
		{"answers before the commit", "answer-early"},
		{"answers a duplicate before the first copy is durable", "duplicate-early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const tries = 10 // one cut finds most of them most of the time
			for range tries {
				code, r := cutPower(t, t.TempDir(), []string{testFaults + "=" + c.fault}, "--cuts", "1")
				t.Logf("seed %d: %d acknowledged, %d lost", r.Seed, r.Load.Acknowledged, r.Lost)
				if code == 3 && !r.OK && r.Lost > 0 {
					return
				}
			}
			t.Errorf("%d power cuts found nothing", tries)
		})
	}
}

// amidCuts starts a --power-cut and returns when it has made the first of many cuts.
func amidCuts(t *testing.T, data string) *proof.Process {
	t.Helper()
	if err := proof.CanCut(); err != nil {
		t.Skipf("no simulated power cut: %v", err)
	}
	p, err := proof.Start(os.Args[0], []string{"selftest", "--power-cut", "--cuts", "50", "--data", data}, asBinary+"=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := p.Await(ctx, "cut 1 of 50 ", ""); err != nil {
		_ = p.Kill()
		if p.Wait() == 4 {
			t.Skipf("no simulated power cut: %v", err)
		}
		t.Fatal(err)
	}
	return p
}

// mounts lists what is mounted below a folder.
func mounts(t *testing.T, dir string) (list []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(table), "\n") {
		if strings.Contains(line, " "+dir+"/") {
			list = append(list, line)
		}
	}
	return list
}

func TestAnInterruptedPowerCutLeavesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := amidCuts(t, data)
	if len(mounts(t, data)) == 0 {
		t.Error("nothing was mounted: this test sees nothing")
	}
	if err := p.Stop(60 * time.Second); p.Wait() != 1 || !strings.Contains(p.Tail(), "stopped before its end") {
		t.Errorf("it ended with %v:\n%s", err, p.Tail())
	}
	if left := names(t, data); left != "" || len(mounts(t, data)) > 0 {
		t.Errorf("left behind: %s, mounted %q\n%s", left, mounts(t, data), p.Tail())
	}
}

// The test itself may be killed. Its server lives on then, on file systems that are still mounted.
func TestWhatAKilledPowerCutLeavesGoesWithTheNextTest(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := amidCuts(t, data).Kill(); err != nil {
		t.Fatal(err)
	}
	if names(t, data) == "" {
		t.Error("nothing was left: this test sees nothing")
	}
	if code, _, errs := command(t, "", nil, "selftest", "--data", data, "--low-water", "1MiB"); code != 0 && code != 3 {
		t.Errorf("code %d: %s", code, errs)
	}
	if left := names(t, data); left != "" || len(mounts(t, data)) > 0 {
		t.Errorf("left behind: %s, mounted %q", left, mounts(t, data))
	}
}

func TestPowerCutWithoutRootSaysWhatItIsWorth(t *testing.T) {
	t.Parallel()
	if proof.CanCut() == nil {
		t.Skip("this user may cut the power")
	}
	code, out, errs := command(t, "", nil, "selftest", "--power-cut", "--data", t.TempDir())
	if code != 4 || out != "" || !strings.Contains(errs, "cannot be done here") || !strings.Contains(errs, "--witness") {
		t.Errorf("code %d, %q, %q", code, out, errs)
	}
}
