//go:build unix

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// updatePages makes the test of the pages write what it sees into them: WAYPOST_UPDATE=1 go test ./internal/cli -run FirstPlatform
const updatePages = "WAYPOST_UPDATE"

var firstPlatformPages = []string{"../../docs/first-platform.md", "../../docs/first-platform.zh-CN.md"}

// step is a block of commands of a page, and what the page says that it prints.
type step struct {
	commands string
	prints   string
	from, to int // where that stands in the page; 0 = nowhere, it prints nothing
}

var fence = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")

// steps reads a page: a block of text is what the block of commands before it prints.
func steps(t *testing.T, page string) (list []step) {
	t.Helper()
	for _, at := range fence.FindAllStringSubmatchIndex(page, -1) {
		kind, text := page[at[2]:at[3]], page[at[4]:at[5]]
		switch {
		case kind == "sh":
			list = append(list, step{commands: text})
		case len(list) == 0 || list[len(list)-1].from > 0:
			t.Fatalf("there are no commands before the output\n%s", text)
		default:
			last := &list[len(list)-1]
			last.prints, last.from, last.to = text, at[4], at[5]
		}
	}
	return list
}

// wantsCode is the exit code of a block by what it is said to print: 3 is how a command says no.
func (s step) wantsCode() int {
	for _, no := range []string{"FAILED:", "NOT VALID", "未通过：共", "验签未通过"} {
		if strings.Contains(s.prints, no) {
			return 3
		}
	}
	return 0
}

// another are the things that differ from run to run.
var another = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b(msg|ep|atmpt|app|src|ref)_[0-9a-z]{13}\b`), "ID"},
	{regexp.MustCompile(`\b\d+(\.\d+)?\s?((µs|ms|s)\b|毫秒)`), "DURATION"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "EVENT ID"},
	{regexp.MustCompile(`\b\d{14}[0-9A-F]{20}\b`), "LOG"},
	{regexp.MustCompile(`(?m)^.*\bTerminated\b.*\n`), ""}, // some shells say so of what was killed
}

func samePart(text string) string {
	for _, a := range another {
		text = a.pattern.ReplaceAllString(text, a.with)
	}
	return strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
}

// TestTheFirstPlatformPageIsTrue copies every command of the page into one shell, as a new user would, and compares what they print
// with what the page says.
func TestTheFirstPlatformPageIsTrue(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program and three others")
	}
	for _, program := range []string{"sh", "curl", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
	for _, path := range firstPlatformPages {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r := newPageRun(t, string(raw))
			got, codes := r.run(t)
			if os.Getenv(updatePages) != "" {
				if err := os.WriteFile(path, []byte(r.updated(got)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range r.steps {
				if want := s.wantsCode(); codes[i] != want {
					t.Errorf("exit code %d, want %d, of\n%s%s", codes[i], want, s.commands, got[i])
				}
				if want, got := samePart(s.prints), samePart(got[i]); got != want {
					t.Errorf("%s\nprints\n%s\nthe page says\n%s", s.commands, got, want)
				}
			}
		})
	}
}

// pageRun is a page made ready to be run: the ports on it are others, for those may be in use here.
type pageRun struct {
	page  string
	steps []step
	ports *strings.Replacer // back to those of the page
	env   []string
}

func newPageRun(t *testing.T, page string) *pageRun {
	t.Helper()
	var there, back []string
	var all []net.Listener
	at := func(port string) string {
		l := held(t)
		all = append(all, l)
		there, back = append(there, "127.0.0.1:"+port, l.Addr().String()), append(back, l.Addr().String(), "127.0.0.1:"+port)
		return l.Addr().String()
	}
	public, admin := at("8070"), at("8071")
	at("9000")
	for _, l := range all {
		_ = l.Close()
	}
	var caches struct{ GOCACHE, GOMODCACHE, GOTOOLCHAIN, CGO_ENABLED string }
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOTOOLCHAIN", "CGO_ENABLED").Output()
	if err == nil {
		err = json.Unmarshal(out, &caches)
	}
	if err != nil {
		t.Fatal(err)
	}
	page = strings.NewReplacer(there...).Replace(page)
	return &pageRun{page: page, steps: steps(t, page), ports: strings.NewReplacer(back...), env: []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GOCACHE=" + caches.GOCACHE, "GOMODCACHE=" + caches.GOMODCACHE,
		"GOTOOLCHAIN=" + caches.GOTOOLCHAIN, "CGO_ENABLED=" + caches.CGO_ENABLED, "GOFLAGS=-buildvcs=false", "GOTELEMETRY=off", "GOPROXY=off",
		"WAYPOST_LISTEN=" + public, "WAYPOST_ADMIN=" + admin, "WAYPOST_SERVER=http://" + admin,
	}}
}

// pageTimeout ends loops that wait for what never comes. It has room for a machine that builds everything anew beside it.
const pageTimeout = 8 * time.Minute

// run runs all blocks in one shell, from the top of the source tree, and returns what each printed and the code it ended with.
func (r *pageRun) run(t *testing.T) (printed []string, codes []int) {
	t.Helper()
	const mark = "<end of a block>"
	var script strings.Builder
	for _, s := range r.steps {
		fmt.Fprintf(&script, "%s\nprintf '%s%%s\\n' $?\n", s.commands, mark)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", script.String())
	c.Dir, c.Env = "../..", r.env
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // with all that it started
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // what a failed block left behind
	parts := strings.Split(out.String(), mark)
	if len(parts) != len(r.steps)+1 || err != nil {
		t.Fatalf("it ended in block %d: %v\n%s", len(parts), err, out.String())
	}
	for i, s := range parts[1:] {
		code, rest, _ := strings.Cut(s, "\n")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(err)
		}
		codes, printed = append(codes, n), append(printed, parts[i])
		parts[i+1] = rest
	}
	return printed, codes
}

// updated is the page with what was printed.
func (r *pageRun) updated(printed []string) string {
	var b strings.Builder
	at := 0
	for i, s := range r.steps {
		if s.from == 0 {
			continue
		}
		b.WriteString(r.page[at:s.from])
		b.WriteString(strings.TrimRight(strings.ReplaceAll(printed[i], "\r", ""), "\n") + "\n")
		at = s.to
	}
	b.WriteString(r.page[at:])
	return r.ports.Replace(b.String())
}

// TestTheFirstPlatformPagesHaveTheSameCommands compares the two languages: comments, the language that is asked for and the words that
// are waited for may differ.
func TestTheFirstPlatformPagesHaveTheSameCommands(t *testing.T) {
	t.Parallel()
	commands := func(path string) (all []string) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps(t, string(raw)) {
			text := regexp.MustCompile(`(?m)\s*(\s#|^//|\s//)\s.*$`).ReplaceAllString(s.commands, "")
			text = strings.NewReplacer(" --lang zh", "", "第 2 次尝试", "Attempt 2", "已送达", "is delivered").Replace(text)
			all = append(all, text)
		}
		return all
	}
	en, zh := commands(firstPlatformPages[0]), commands(firstPlatformPages[1])
	if len(en) != len(zh) {
		t.Fatalf("%d blocks and %d", len(en), len(zh))
	}
	for i := range en {
		if en[i] != zh[i] {
			t.Errorf("in English\n%s\nin Chinese\n%s", en[i], zh[i])
		}
	}
}
