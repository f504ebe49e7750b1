package proof

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAScratchFolderIsRefusedWhereItCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, data, says string }{
		{"a folder that is not there", filepath.Join(dir, "none"), "mkdir"},
		{"a file", file, "is a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := Scratch(c.data); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want something about %q", err, c.says)
			}
		})
	}
}

func TestWhatADiskIsToldOf(t *testing.T) {
	t.Parallel()
	const low = 256 << 20
	for _, c := range []struct {
		name  string
		v     Volume
		check string
		want  Grade
	}{
		{"memory is no disk", Volume{Type: "tmpfs", Free: 1 << 40}, "file system", Bad},
		{"a network is no disk", Volume{Type: "nfs4", Free: 1 << 40}, "file system", Bad},
		{"a container's layer", Volume{Type: "overlay", Free: 1 << 40}, "file system", Warning},
		{"a program in between", Volume{Type: "fuse.sshfs", Free: 1 << 40}, "file system", Warning},
		{"ext4", Volume{Type: "ext4", Free: 1 << 40}, "file system", Fine},
		{"no barriers", Volume{Type: "ext4", Options: []string{"rw", "nobarrier"}, Free: 1 << 40}, "mount options", Bad},
		{"ignored syncs", Volume{Type: "overlay", Options: []string{"volatile"}, Free: 1 << 40}, "mount options", Bad},
		{"usual options", Volume{Type: "ext4", Options: []string{"rw", "relatime"}, Free: 1 << 40}, "mount options", Fine},
		{"no space", Volume{Type: "ext4", Free: low - 1}, "free space", Bad},
		{"little space", Volume{Type: "ext4", Free: low + 1}, "free space", Warning},
		{"space", Volume{Type: "ext4", Free: 4 * low}, "free space", Fine},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := Disk{Volume: c.v}
			d.judgeVolume(true, low)
			for _, f := range d.Findings {
				if f.Check == c.check {
					if f.Grade != c.want {
						t.Errorf("%s: %s (%s), want %s", f.Check, f.Grade, f.Text, c.want)
					}
					return
				}
			}
			t.Errorf("nothing was said of %s", c.check)
		})
	}
}

func TestAControlThatLosesNothingIsNoControl(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		c    Control
		want bool
	}{
		{"everything survived: it was no cut", Control{4, 4, 4, 4}, false},
		{"something synced was lost: the file system does not hold", Control{4, 3, 4, 0}, false},
		{"just what was not synced was lost", Control{4, 4, 4, 0}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.c.OK() != c.want {
				t.Errorf("%+v: OK is %v", c.c, !c.want)
			}
		})
	}
}

func TestWhatIsMissingInAStoreIsFound(t *testing.T) {
	t.Parallel()
	stored := Stored{}
	stored.See([]byte(`{"key":"there"}`))
	stored.See([]byte(`{"key":"changed","n":2}`))
	stored.See([]byte(`no JSON`))
	missing, altered := stored.Missing(map[string][32]byte{
		"there": sha256.Sum256([]byte(`{"key":"there"}`)), "changed": sha256.Sum256([]byte(`{"key":"changed","n":1}`)), "gone": {},
	})
	if len(missing) != 1 || missing[0] != "gone" || len(altered) != 1 || altered[0] != "changed" {
		t.Errorf("missing %v, altered %v", missing, altered)
	}
}

const helloLine = `{"waypostWitness":1,"run":"r","folder":"waypost-witness-r"}` + "\n"

func TestALogThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	sum, _ := json.Marshal(Sum{1})
	ack := `{"k":"a","b":` + string(sum) + "}\n"
	for _, c := range []struct{ name, text string }{
		{"an empty file", ""},
		{"another file", "hello\n"},
		{"another version", `{"waypostWitness":2,"run":"r"}` + "\n"},
		{"no run", `{"waypostWitness":1}` + "\n"},
		{"a line that is none", helloLine + "nonsense\n" + ack},
		{"a hash that is too short", helloLine + `{"k":"a","b":"00"}` + "\n"},
		{"a line without meaning", helloLine + "{}\n"},
		{"two bodies of one message", helloLine + ack + strings.Replace(ack, "01", "02", 1)},
		{"something after the end", helloLine + `{"end":"in good order"}` + "\n" + ack},
		{"a line without end", helloLine + strings.Repeat("x", maxWitnessLine+1) + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadTestimony(path); err == nil {
				t.Errorf("was read as %+v", got)
			}
		})
	}
}

func TestALogWhoseLastLineIsTornIsReadUpToIt(t *testing.T) {
	t.Parallel()
	sum, _ := json.Marshal(Sum{1})
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(helloLine+`{"k":"a","b":`+string(sum)+"}\n"+`{"k":"b","b"`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTestimony(path)
	if err != nil || len(got.Acknowledged) != 1 || got.Acknowledged["a"] != [32]byte{1} || got.End != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// witnessed starts a witness and returns its address, its log, and what it returned and whom it turned away.
func witnessed(t *testing.T) (addr, path string, done, refused <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "log")
	result, why := make(chan error, 1), make(chan error, 10)
	go func() {
		_, err := Witness(t.Context(), l, path, func(Hello, int) {}, func(_ net.Addr, err error) { why <- err })
		result <- err
	}()
	return l.Addr().String(), path, result, why
}

// A port is scanned, and watched by others: none of them may take the place of the machine under test.
func TestAWitnessTurnsStrangersAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		stays      bool
	}{
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", true},
		{"another version", `{"waypostWitness":9,"run":"r"}` + "\n", true},
		{"no run", `{"waypostWitness":1}` + "\n", true},
		{"one who hangs up", "", false},
		{"one who says nothing and stays", "", true},
		{"a line without end", strings.Repeat("x", 2<<20), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr, path, done, refused := witnessed(t)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, c.says) // it may hang up in the middle
			if !c.stays {
				_ = conn.Close()
			}
			if err := <-refused; err == nil {
				t.Error("turned away without a reason")
			}
			call, err := CallWitness(t.Context(), addr, Hello{Run: "mine"})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(call.Tell(t.Context(), "a", [32]byte{1}), call.Close(), <-done); err != nil {
				t.Error(err)
			}
			if got, err := ReadTestimony(path); err != nil || got.Hello.Run != "mine" || len(got.Acknowledged) != 1 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// Only the silence of a machine without power may end in a certificate.
func TestAWitnessKnowsAProgramThatEndsFromAMachineThatDoes(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	for _, c := range []struct {
		name   string
		err    error
		silent time.Duration
		want   string
	}{
		{"closed at once", io.EOF, 0, EndedAlive},
		{"closed after a while, perhaps by something between", io.EOF, time.Minute, EndedAlive},
		{"reset at once", reset, time.Millisecond, EndedAlive},
		{"reset by the machine when it is back", reset, 20 * time.Second, EndedTorn},
		{"no answer any more", os.ErrDeadlineExceeded, time.Minute, EndedTorn},
	} {
		if got := endOf(c.err, c.silent); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	addr, path, done, _ := witnessed(t)
	call, err := CallWitness(t.Context(), addr, Hello{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(call.Tell(t.Context(), "a", [32]byte{}), call.conn.Close(), <-done); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadTestimony(path); err != nil || got.End != EndedAlive {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAWitnessWritesOverNoLog(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Witness(t.Context(), l, path, func(Hello, int) {}, func(net.Addr, error) {}); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("got %v", err)
	}
}

func TestAnAcknowledgementThatWasToldIsInTheLog(t *testing.T) {
	t.Parallel()
	addr, path, done, _ := witnessed(t)
	call, err := CallWitness(t.Context(), addr, Hello{Run: "r", Boot: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"a", "b", "c"} {
		if err := call.Tell(t.Context(), key, [32]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		// Not at the end: at the moment at which Tell has returned.
		got, err := ReadTestimony(path)
		if err != nil || len(got.Acknowledged) != i+1 || got.Acknowledged[key] != [32]byte{byte(i)} {
			t.Errorf("after %s the log holds %+v, %v", key, got, err)
		}
	}
	if err := call.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, err := ReadTestimony(path); err != nil || got.End != EndedWell || got.Hello.Boot != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAWitnessThatIsGoneEndsTheLoad(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "log")
	done := make(chan error, 1)
	go func() {
		_, err := Witness(ctx, l, path, func(Hello, int) {}, func(net.Addr, error) {})
		done <- err
	}()
	call, err := CallWitness(t.Context(), l.Addr().String(), Hello{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := call.Tell(t.Context(), "a", [32]byte{}); err == nil {
		t.Error("an acknowledgement was told to nobody")
	}
	if got, err := ReadTestimony(path); err != nil || got.End != EndedHere {
		t.Errorf("%+v, %v", got, err)
	}
}
