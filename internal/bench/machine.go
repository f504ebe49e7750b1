package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/proof"
)

// part is a process of the bench.
type part struct {
	*proof.Process
	url string
}

// startPart starts this program as one of the bench's processes, which tells its address in its first line.
func (b *Bench) startPart(ctx context.Context, role string, change ...string) (*part, error) {
	p, err := proof.Start(b.Program, []string{"bench", "part", role}, change...)
	if err != nil {
		return nil, err
	}
	b.undo.push(func() error { return stop(p) })
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	address, err := p.Await(ctx, PartLine, "")
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	return &part{p, address}, nil
}

// startHop starts one that stands between load and sink.
func (b *Bench) startHop(ctx context.Context, role string) (*part, error) {
	text, err := json.Marshal(Hop{Dialect: b.Dialect, Receiving: b.receiving, To: b.sink.url})
	if err != nil {
		return nil, err
	}
	return b.startPart(ctx, role, HopVariable+"="+string(text))
}

// stop ends a process unless it has ended. One that ended by itself, and badly, is an error.
func stop(p *proof.Process) error {
	select {
	case <-p.Ended():
		if code := p.Wait(); code > 0 {
			return fmt.Errorf("a process of the bench ended by itself with code %d:\n%s", code, p.Tail())
		}
		return nil
	default:
		return p.Stop(time.Minute)
	}
}

// PartLine is what a process of the bench prints before its address.
const PartLine = "bench part at "

// server is a real server as waypost serve runs it, on a folder of its own.
type server struct {
	part
	folder string
	admin  string
	token  string
	stored int   // messages that this run has had it store
	empty  int64 // bytes of the folder before
}

// startServer starts one, under a name of its own. A folder that is in use is the server's own error.
func (b *Bench) startServer(ctx context.Context, name, folder string) (*server, error) {
	s := &server{folder: folder, token: b.Token}
	b.servers[name] = s
	args := []string{"bench", "part", "server", "--dev", "--data", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "warn"}
	p, err := proof.Start(b.Program, args, append(append([]string{}, b.ServerVariables...), "WAYPOST_TOKEN="+s.token)...)
	if err != nil {
		return nil, err
	}
	s.Process = p
	b.undo.push(func() error { return stop(p) })
	ctx, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()
	if s.url, err = p.Await(ctx, "  public  ", "/in/{door}"); err != nil {
		return nil, err
	}
	if s.admin, err = p.Await(ctx, "  admin   ", "/api/v1/"); err != nil {
		return nil, err
	}
	s.empty = folderSize(folder)
	return s, nil
}

// call asks the server's API.
func (s *server) call(ctx context.Context, method, path string, in, out any) error {
	return call(ctx, method, s.admin+"/api/v1"+path, s.token, in, out)
}

// call sends JSON and reads JSON.
func call(ctx context.Context, method, address, token string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s answered %s: %.500s", method, req.URL.Path, resp.Status, bytes.TrimSpace(text))
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

// metric reads one figure without labels from the server's /metrics.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	text, err := fetch(ctx, s.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}

// folderSize is what the files of a folder take of the disk, in bytes; files that come and go meanwhile may be missed.
func folderSize(folder string) int64 {
	var sum int64
	_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// Machine is where figures were taken.
type Machine struct {
	OS    string `json:"os"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
	Load  string `json:"loadAverage"` // before the run, and after it; "" = the system does not tell
	// LoadAfter holds what this run itself put on the machine, too.
	LoadAfter string `json:"loadAverageAfter"`
}

// ThisMachine looks at the machine.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), Load: loadAverage()}
	text, _ := os.ReadFile("/proc/cpuinfo") // is not there but on Linux
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// stack undoes in the reverse order. It may be unwound in parts.
type stack []func() error

func (s *stack) push(f func() error) { *s = append(*s, f) }

// unwind undoes what was pushed after the first n.
func (s *stack) unwind(n int) error {
	var errs []error
	for len(*s) > n {
		last := (*s)[len(*s)-1]
		*s = (*s)[:len(*s)-1]
		errs = append(errs, last())
	}
	return errors.Join(errs...)
}
