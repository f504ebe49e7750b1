package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/simulate"
)

// testCase is a part of the bench that can be chosen by its name.
type testCase struct {
	name  string
	help  string
	setUp func(ctx context.Context, b *Bench) ([]turn, error)
	// finish is called after all rounds; nil = there is nothing to do.
	finish func(ctx context.Context, b *Bench) error
}

// cases is the table of what is measured, in the order of the report.
func cases() []testCase {
	return []testCase{
		{"loop", "the load straight to the sink: the bare loop", setUpLoop, nil},
		{"handler", "a bare handler that verifies and forgets", setUpHandler, nil},
		{"proxy", "Go's ReverseProxy between load and sink, which stores nothing", setUpProxy, nil},
		{"nginx", "nginx between them, where it is installed", setUpNginx, nil},
		{"pipe", "Waypost's own way without a store", setUpPipe, nil},
		{"flow", "end to end: verified, stored durably, signed, delivered to one endpoint", setUpFlow, finishFlow},
		{"ingest", "only accepted and stored: a source of each dialect, and the API", setUpIngest, nil},
		{"fanout", "end to end to three endpoints", setUpFanout, nil},
		{"steady", "200, 1,000 and 2,000 messages a second", setUpSteady, nil},
		{"failing", "endpoints that refuse 1 % and 50 % of the messages at first", setUpFailing, nil},
		{"sick", "a hundred endpoints; then with one that hangs and one that is dead among them", setUpSick, nil},
		{"thousand", "a thousand endpoints", setUpThousand, nil},
		{"stored", "with a long history, all of it pending; memory and recovery with it", setUpStored, finishStored},
	}
}

// CaseHelp describes the cases, one a line.
func CaseHelp() string {
	var out strings.Builder
	for _, c := range cases() {
		fmt.Fprintf(&out, "  %-9s %s\n", c.name, c.help)
	}
	return out.String()
}

// choose returns the cases with these names, all when there are none.
func choose(only []string) ([]testCase, error) {
	all := cases()
	if len(only) == 0 {
		return all, nil
	}
	for _, name := range only {
		if !slices.ContainsFunc(all, func(c testCase) bool { return c.name == name }) {
			return nil, fmt.Errorf("there is no case %q; the cases are\n%s", name, CaseHelp())
		}
	}
	return slices.DeleteFunc(all, func(c testCase) bool { return !slices.Contains(only, c.name) }), nil
}

// job is a closed loop in the bench's dialect.
func (b *Bench) job(to string) Job {
	return Job{Count: b.Count, URL: to, Dialect: b.Dialect, Sending: b.sending}
}

// push is a job to something that answers in the dialect's words.
func (b *Bench) push(to string) Job {
	j := b.job(to)
	j.Judge = true
	return j
}

func setUpLoop(_ context.Context, b *Bench) ([]turn, error) {
	return []turn{{name: "loop", title: "bare loop, straight to the sink", job: b.job(b.sink.url + "/d/0"), how: Reckoning{Wire: true}}}, nil
}

func setUpHandler(ctx context.Context, b *Bench) ([]turn, error) {
	p, err := b.startHop(ctx, "handler")
	if err != nil {
		return nil, err
	}
	return []turn{{name: "handler", title: "bare handler: verify and forget", job: b.push(p.url), of: ofPart(p), stored: true}}, nil
}

func setUpProxy(ctx context.Context, b *Bench) ([]turn, error) {
	p, err := b.startHop(ctx, "proxy")
	if err != nil {
		return nil, err
	}
	return []turn{{name: "proxy", title: "httputil.ReverseProxy", job: b.job(p.url + "/d/0"), of: ofPart(p), how: Reckoning{Wire: true}}}, nil
}

func setUpNginx(ctx context.Context, b *Bench) ([]turn, error) {
	p, err := b.startNginx(ctx)
	if err != nil || p == nil {
		return nil, err
	}
	of := measured{cpu: p.CPU} // its memory lies in its workers
	return []turn{{name: "nginx", title: "nginx proxy_pass", job: b.job(p.url + "/d/0"), of: of, how: Reckoning{Wire: true}}}, nil
}

func setUpPipe(ctx context.Context, b *Bench) ([]turn, error) {
	p, err := b.startHop(ctx, "pipe")
	if err != nil {
		return nil, err
	}
	return []turn{{name: "pipe", title: "Waypost's own pipe without a store", job: b.push(p.url + "/in/bench"), of: ofPart(p)}}, nil
}

func setUpFlow(ctx context.Context, b *Bench) ([]turn, error) {
	turns, err := b.oneServer(ctx, "flow", "Waypost end to end", b.endpoint("/d/0"))
	if err != nil {
		return nil, err
	}
	if memory, ok := b.servers["flow"].Memory(); ok {
		b.report.figure("memoryIdle", mib(memory))
	}
	return turns, nil
}

func setUpFanout(ctx context.Context, b *Bench) ([]turn, error) {
	turns, err := b.oneServer(ctx, "fanout", "end to end, 3 endpoints", b.endpoint("/d/0"), b.endpoint("/d/1"), b.endpoint("/d/2"))
	for i := range turns {
		turns[i].how.Endpoints, turns[i].job.Count = 3, b.Count/2
	}
	return turns, err
}

func setUpSteady(ctx context.Context, b *Bench) ([]turn, error) {
	one, err := b.oneServer(ctx, "steady", "", b.endpoint("/d/0"))
	if err != nil {
		return nil, err
	}
	var turns []turn
	for _, rate := range []int{200, 1000, 2000} {
		t := one[0]
		t.name, t.title = fmt.Sprintf("steady%d", rate), fmt.Sprintf("steady, %d a second", rate)
		t.job.Rate, t.job.Count, t.job.Workers = rate, rate*b.Seconds, steadyWorkers
		turns = append(turns, t)
	}
	return turns, nil
}

func setUpFailing(ctx context.Context, b *Bench) ([]turn, error) {
	var turns []turn
	for _, percent := range []int{1, 50} {
		e := b.endpoint(fmt.Sprintf("/fail/%d/0", percent))
		e["retrySchedule"] = []float64{0.5, 0.5, 0.5, 1, 2, 4}
		one, err := b.oneServer(ctx, fmt.Sprintf("failing%d", percent), fmt.Sprintf("%d %% refused at first", percent), e)
		if err != nil {
			return nil, err
		}
		one[0].job.Count = b.Count / 4
		turns = append(turns, one...)
	}
	return turns, nil
}

// steadyWorkers are the requests under way at most at a fixed rate: fewer than the connections that one client may have.
const steadyWorkers = 400

// sickRate is a second; it is steady, so that the answer times of the two can be compared.
const sickRate = 500

func setUpSick(ctx context.Context, b *Bench) ([]turn, error) {
	const endpoints = 100
	var turns []turn
	for _, c := range []struct {
		name, title string
		sick        bool
	}{{"healthy", "100 endpoints, 500 a second", false}, {"sick", "… 1 hangs, 1 is dead: the others", true}} {
		list := b.endpoints(endpoints)
		var ignore []int
		if c.sick {
			dead, err := deadAddress()
			if err != nil {
				return nil, err
			}
			list[0]["url"], list[1]["url"], ignore = b.sink.url+"/hang", dead, []int{0, 1}
		}
		one, err := b.oneServer(ctx, c.name, c.title, list...)
		if err != nil {
			return nil, err
		}
		t := &one[0]
		t.job.Kinds, t.how.Ignore = endpoints, ignore
		t.job.Rate, t.job.Count, t.job.Workers = sickRate, sickRate*b.Seconds, steadyWorkers
		turns = append(turns, one...)
	}
	return turns, nil
}

func setUpThousand(ctx context.Context, b *Bench) ([]turn, error) {
	endpoints := 1000
	if b.Quick {
		endpoints = 100
	}
	turns, err := b.oneServer(ctx, "thousand", "1,000 endpoints", b.endpoints(endpoints)...)
	for i := range turns {
		turns[i].job.Kinds, turns[i].job.Count = endpoints, b.Count/2
	}
	return turns, err
}

// dearToSign is how many times fewer messages there are of the dialects whose platform signs with RSA or an elliptic curve:
// they are signed before the measuring begins, and that takes its time, too.
const dearToSign = 6

func setUpIngest(ctx context.Context, b *Bench) ([]turn, error) {
	s, err := b.startServer(ctx, "ingest", filepath.Join(b.folder, "ingest"))
	if err != nil {
		return nil, err
	}
	var turns []turn
	for _, name := range b.dialectNames() {
		d := b.Dialects[name]
		sending, receiving, err := simulate.Keys(d)
		if err != nil {
			return nil, err
		}
		door, err := b.application(ctx, s, name, d, receiving)
		if err != nil {
			return nil, err
		}
		j := Job{Count: b.Count / 2, URL: door, Dialect: name, Sending: sending, Judge: true}
		if slices.Contains([]string{"alipay", "douyinmini", "yunzhimeng"}, name) {
			j.Count = max(1, b.Count/dearToSign)
		}
		turns = append(turns, turn{name: "ingest-" + name, title: "ingest, " + name, job: j, of: ofServer(s), stored: true})
	}
	if _, err := b.application(ctx, s, "api", b.dialect, b.receiving); err != nil {
		return nil, err
	}
	return append(turns, turn{name: "ingest-api", title: "ingest, API", of: ofServer(s), stored: true, job: Job{
		Count: b.Count / 2, URL: s.admin + "/api/v1/app/api/msg", Header: http.Header{"Authorization": {"Bearer " + s.token}},
	}}), nil
}

// dialectNames lists the bench's own dialect first, for the comparison with the bare handler, and then the others.
func (b *Bench) dialectNames() []string {
	names := []string{b.Dialect}
	for name := range b.Dialects {
		if name != b.Dialect {
			names = append(names, name)
		}
	}
	slices.Sort(names[1:])
	return names
}

// oneServer is the turn of a server of its own, with one application.
func (b *Bench) oneServer(ctx context.Context, name, title string, endpoints ...map[string]any) ([]turn, error) {
	s, err := b.startServer(ctx, name, filepath.Join(b.folder, name))
	if err != nil {
		return nil, err
	}
	door, err := b.application(ctx, s, "bench", b.dialect, b.receiving, endpoints...)
	if err != nil {
		return nil, err
	}
	return []turn{{name: name, title: title, job: b.push(door), of: ofServer(s)}}, nil
}

// endpoint is one at the sink.
func (b *Bench) endpoint(path string) map[string]any {
	return map[string]any{"url": b.sink.url + path, "concurrency": Concurrency}
}

// endpoints are n at the sink, each for an event type of its own.
func (b *Bench) endpoints(n int) []map[string]any {
	out := make([]map[string]any, n)
	for i := range out {
		out[i] = map[string]any{"url": b.sink.url + "/d/0", "filterTypes": []string{kindName(i)}}
	}
	return out
}

// application makes an application with a source and endpoints, and returns the source's URL.
func (b *Bench) application(ctx context.Context, s *server, name string, d *dialect.Dialect, receiving dialect.Settings, endpoints ...map[string]any) (door string, err error) {
	if err := s.call(ctx, http.MethodPost, "/app", map[string]any{"uid": name, "name": name}, nil); err != nil {
		return "", err
	}
	for i, e := range endpoints {
		e["uid"] = fmt.Sprintf("out%d", i)
		if err := s.call(ctx, http.MethodPost, "/app/"+name+"/endpoint", e, nil); err != nil {
			return "", err
		}
	}
	settings, err := json.Marshal(receiving)
	if err != nil {
		return "", err
	}
	var source struct{ Path string }
	err = s.call(ctx, http.MethodPost, "/app/"+name+"/source", map[string]any{"uid": "in", "dialect": d.Name, "settings": json.RawMessage(settings)}, &source)
	return s.url + source.Path, err
}

// deadAddress is one where nobody listens.
func deadAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String() + "/", l.Close()
}

// finishFlow measures what the delivered messages take of the disk, once the server has put everything in its place.
func finishFlow(_ context.Context, b *Bench) error {
	s := b.servers["flow"]
	if err := stop(s.Process); err != nil {
		return err
	}
	b.report.figure("disk", float64(folderSize(s.folder)-s.empty)/float64(max(1, s.stored))/1024)
	return nil
}
