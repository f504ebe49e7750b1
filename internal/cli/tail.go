package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

func tailCommand(s Streams) *cobra.Command {
	var t target
	var f tail
	var since string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow messages and attempts as they come",
		Long: `Print every message that one application, or any, gets from now on, and every attempt to deliver one. Each is
printed once: a broken connection, or a restart of the server, is waited out, and what came meanwhile is printed then. The
server is asked once a second; what came since is put in order. Times are in UTC. Ctrl-C ends it.`,
		Example: "  waypost tail\n  waypost tail --app shop-42 --event-type order.paid --failed --json\n  waypost tail --since 10m",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				var err error
				if f.since, err = moment("--since", since, time.Now()); err != nil {
					return err
				}
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			f.s, f.c = s, c
			return f.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&f.app, "app", "", "id or uid of one application; default all")
	fs.StringSliceVar(&f.eventTypes, "event-type", nil, "only these `TYPES`; may be repeated")
	fs.BoolVar(&f.failed, "failed", false, "only attempts that failed")
	fs.StringVar(&since, "since", "", "begin at a `MOMENT` as 2026-11-22T08:00:00Z, or so long ago, as 10m; default now")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON document a line")
	return cmd
}

// tail follows lists. The ids of messages grow in the order in which they are stored, and those of attempts in the order in which
// they are recorded: who goes on behind the last one that was read misses nothing, and reads nothing twice.
type tail struct {
	s          Streams
	c          *client
	app        string
	eventTypes []string
	since      time.Time // zero = from now on
	failed     bool
	asJSON     bool

	lists  map[string]*followed // by path
	listed time.Time            // when applications and endpoints were last asked for
	begun  bool                 // what is there now was there at the start
	lost   bool                 // the server does not answer
	lines  []tailLine           // read in this look and not printed yet
}

// tailLine is a line to be printed.
type tailLine struct {
	at   time.Time
	text []byte
}

// maxTailLines is how many lines of one look are put in order of time before they are printed.
const maxTailLines = 5000

// followed is a list that is read to its end again and again.
type followed struct {
	path     string
	app      string
	endpoint string // "" = a list of messages
	iterator string // behind the last item that was read
}

const (
	tailEvery = time.Second      // between two looks
	tailList  = 5 * time.Second  // between two looks for new applications and endpoints
	tailPause = 10 * time.Second // between two tries at most, while the server does not answer
)

func (f *tail) run(ctx context.Context) error {
	f.lists = map[string]*followed{}
	for pause := tailEvery; ; {
		err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			f.found()
			pause = tailEvery
		case f.begun && passing(err):
			f.miss(err)
			pause = min(2*pause, tailPause)
		default:
			return f.c.advised(err, unknownApplication)
		}
		if wait(ctx, pause) != nil {
			return nil
		}
	}
}

// miss and found tell, once each, that the server does not answer and that it does again.
func (f *tail) miss(err error) {
	if !f.lost {
		fmt.Fprintf(f.s.Err, "the server does not answer, trying again: %v\n", err)
	}
	f.lost = true
}

func (f *tail) found() {
	if f.lost {
		fmt.Fprintln(f.s.Err, "the server answers again; going on where it broke off")
	}
	f.lost = false
}

// look reads every list to its end, and prints what came in the order of time. What was read before an error is printed too.
func (f *tail) look(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, f.flush()) }()
	if time.Since(f.listed) >= tailList {
		if err := f.find(ctx); err != nil {
			return err
		}
		f.listed, f.begun = time.Now(), true
	}
	paths := make([]string, 0, len(f.lists))
	for path := range f.lists {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		var said *refusal
		err := f.read(ctx, f.lists[path])
		if errors.As(err, &said) && said.status == http.StatusNotFound && (f.app == "" || f.lists[path].endpoint != "") {
			delete(f.lists, path) // it was deleted
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find begins to follow what is new.
func (f *tail) find(ctx context.Context) error {
	apps, err := theApplications(ctx, f.c, f.app)
	if err != nil {
		return err
	}
	for _, a := range apps {
		path := "/app/" + a.ID
		if !f.failed {
			if err := f.begin(ctx, &followed{path: path + "/msg", app: a.name()}); err != nil {
				return err
			}
		}
		endpoints, err := listAll[endpointState](ctx, f.c, path+"/endpoint")
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			if err := f.begin(ctx, &followed{path: path + "/attempt/endpoint/" + e.ID, app: a.name(), endpoint: e.name()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin adds a list. One that was there at the start is followed from its end, one that came later from its beginning.
func (f *tail) begin(ctx context.Context, l *followed) error {
	if f.lists[l.path] != nil {
		return nil
	}
	if !f.begun && f.since.IsZero() {
		var p page[struct{}]
		if err := f.c.call(ctx, http.MethodGet, l.path+"?limit=1&order=descending&with_content=false", nil, &p); err != nil {
			return err
		}
		l.iterator = p.Iterator
	}
	f.lists[l.path] = l
	return nil
}

// read prints what has come to a list.
func (f *tail) read(ctx context.Context, l *followed) error {
	query := url.Values{"limit": {"250"}, "order": {"ascending"}, "with_content": {"false"}}
	if len(f.eventTypes) > 0 {
		query["event_types"] = f.eventTypes
	}
	if !f.since.IsZero() {
		query.Set("after", f.since.UTC().Format(time.RFC3339Nano))
	}
	if f.failed {
		query.Set("status", "2")
	}
	for {
		if l.iterator != "" {
			query.Set("iterator", l.iterator)
		}
		var p page[json.RawMessage]
		if err := f.c.call(ctx, http.MethodGet, l.path+"?"+query.Encode(), nil, &p); err != nil {
			return err
		}
		for _, item := range p.Data {
			line, err := f.line(l, item)
			if err != nil {
				return err
			}
			f.lines = append(f.lines, line)
		}
		if p.Iterator != "" {
			l.iterator = p.Iterator
		}
		if len(f.lines) >= maxTailLines {
			if err := f.flush(); err != nil {
				return err
			}
		}
		if p.Done || p.Iterator == "" {
			return nil
		}
	}
}

// tailed is a line of the output.
type tailed struct {
	Kind     string          `json:"kind"` // message or attempt
	App      string          `json:"app"`
	Endpoint string          `json:"endpoint,omitempty"`
	Data     json.RawMessage `json:"data"` // as the API shows it, without content
}

// flush prints what was read.
func (f *tail) flush() error {
	slices.SortStableFunc(f.lines, func(a, b tailLine) int { return a.at.Compare(b.at) })
	for _, l := range f.lines {
		if _, err := f.s.Out.Write(append(l.text, '\n')); err != nil {
			return failed(err, "")
		}
	}
	f.lines = f.lines[:0]
	return nil
}

// tailItem is what a line shows of a message or an attempt.
type tailItem struct {
	ID, EventType, MsgID, Verdict, Reason string
	EventID                               string
	Timestamp                             time.Time
	ResponseStatusCode                    int
	ResponseDurationMs                    int64
	Number                                int // 0 = by hand
	NextAttempt                           *time.Time
}

func (f *tail) line(l *followed, item json.RawMessage) (tailLine, error) {
	var v tailItem
	if err := json.Unmarshal(item, &v); err != nil {
		return tailLine{}, err
	}
	kind, show := "message", v.message
	if l.endpoint != "" {
		kind, show = "attempt", v.attempt
	}
	if !f.asJSON {
		return tailLine{v.Timestamp, []byte(printable(show(l)))}, nil
	}
	text, err := json.Marshal(tailed{kind, l.app, l.endpoint, item})
	return tailLine{v.Timestamp, text}, err
}

const tailClock = "2006-01-02T15:04:05.000Z"

func (v *tailItem) message(l *followed) string {
	line := fmt.Sprintf("%s  message  %s  %s  %s", v.Timestamp.UTC().Format(tailClock), v.ID, l.app, v.EventType)
	if v.EventID != "" {
		line += "  " + v.EventID
	}
	return line
}

func (v *tailItem) attempt(l *followed) string {
	line := fmt.Sprintf("%s  attempt  %s  %s/%s  %s  %s", v.Timestamp.UTC().Format(tailClock), v.MsgID, l.app, l.endpoint, v.EventType, v.Verdict)
	if v.ResponseStatusCode != 0 {
		line += fmt.Sprintf("  %d", v.ResponseStatusCode)
	}
	line += fmt.Sprintf("  %d ms", v.ResponseDurationMs)
	if v.Number == 0 {
		line += "  by hand"
	} else {
		line += fmt.Sprintf("  attempt %d", v.Number)
	}
	if v.Reason != "" {
		line += "  " + v.Reason
	}
	if v.NextAttempt != nil {
		line += "  next " + v.NextAttempt.UTC().Format(tailClock)
	}
	return line
}

// printable takes what could play tricks with a terminal out of a text that a receiver may have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
