package proof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a part under test in a process of its own, so that it can be measured and killed apart.
type Process struct {
	cmd   *exec.Cmd
	lines chan string
	done  chan struct{}
	reap  func() error // waits for its end; the same answer every time

	mu   sync.Mutex
	tail []string // the last lines that it printed, for errors
}

const keptLines = 50

// Start runs a program. change is what its environment has other than ours: NAME=VALUE is added, and a bare NAME is taken out.
func Start(path string, args []string, change ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(path, args...), lines: make(chan string, 1024), done: make(chan struct{})}
	p.cmd.Env = environment(change)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	_ = w.Close()
	p.reap = sync.OnceValue(p.cmd.Wait)
	go p.read(r)
	return p, nil
}

func environment(change []string) []string {
	env := os.Environ()
	for _, c := range change {
		if !strings.Contains(c, "=") {
			env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, c+"=") })
		}
	}
	for _, c := range change {
		if strings.Contains(c, "=") {
			env = append(env, c)
		}
	}
	return env
}

// Ended is closed when it has ended by whatever cause.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Wait waits for its end and returns its exit code, -1 when a signal ended it.
func (p *Process) Wait() int {
	<-p.done
	_ = p.reap() // says the same as the code
	return p.cmd.ProcessState.ExitCode()
}

func (p *Process) read(r io.ReadCloser) {
	defer close(p.done)
	defer close(p.lines)
	defer func() { _ = r.Close() }()
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		p.mu.Lock()
		p.tail = append(p.tail, scan.Text())
		if len(p.tail) > keptLines {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
		select {
		case p.lines <- scan.Text():
		default: // nobody waits for a line any more
		}
	}
}

// Await returns what stands between prefix and suffix in the next line that starts with prefix.
func (p *Process) Await(ctx context.Context, prefix, suffix string) (string, error) {
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", fmt.Errorf("the process ended before it said %q:\n%s", prefix, p.Tail())
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return strings.TrimSuffix(rest, suffix), nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("the process did not say %q: %w\n%s", prefix, ctx.Err(), p.Tail())
		}
	}
}

// Tail returns the last lines that it printed.
func (p *Process) Tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// Kill ends it as a power button does: no handler runs.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	_ = p.reap() // "signal: killed" is what was wanted
	return nil
}

// Stop asks it to stop and waits for that; after the patience it is killed, which is an error.
func (p *Process) Stop(patience time.Duration) error { return p.StopBy(os.Interrupt, patience) }

// StopBy is Stop with another signal.
func (p *Process) StopBy(signal os.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.reap()
	case <-time.After(patience):
		_ = p.Kill()
		return fmt.Errorf("did not stop within %s and was killed:\n%s", patience, p.Tail())
	}
}

const ticksPerSecond = 100 // of /proc/PID/stat on every Linux that Go runs on

// CPU returns the processor time that it and its children have used so far, ended ones that were not waited for excepted;
// ok is false where the system does not tell.
func (p *Process) CPU() (used time.Duration, ok bool) {
	for _, pid := range append(childrenOf(p.cmd.Process.Pid), p.cmd.Process.Pid) {
		if own, found := cpuOf(pid); found {
			used, ok = used+own, true
		}
	}
	return used, ok
}

func cpuOf(pid int) (used time.Duration, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The second field is the program's name in parentheses and may hold blanks.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, false
	}
	u, err1 := strconv.Atoi(fields[user])
	s, err2 := strconv.Atoi(fields[system])
	return time.Duration(u+s) * time.Second / ticksPerSecond, err1 == nil && err2 == nil
}

// childrenOf lists the children that a process has now, as its threads tell; none where the system does not.
func childrenOf(pid int) (children []int) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// Memory returns its resident memory in bytes; ok is false where the system does not tell.
func (p *Process) Memory() (bytes int64, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
