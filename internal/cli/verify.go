package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
	"github.com/waypost/waypost/internal/capture"
	"github.com/waypost/waypost/internal/diagnose"
)

// verification is what the verify command was asked to do.
type verification struct {
	dialectFlags
	settingsFile string
	format       string
	choice       capture.Choice
	at           string
	now          time.Time // zero = none was given
	lang         string
	asJSON       bool
	probe        bool

	target
	source, app, refused, message string
}

func verifyCommand(s Streams) *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify --dialect D [--set NAME=VALUE]… FILE",
		Short: "Check a captured request and say why its signature does not match",
		Long: `Check a captured request as a source of the dialect would. It prints by which key and rule the request is right;
or what it is refused for, the first cause that makes it match, what to change, and how sure that is. Nothing is accepted
because a cause was found, and no secret and no right signature is printed.

FILE holds the request as raw HTTP, as a curl or PowerShell command line, as a HAR of a browser or proxy, or as JSON
({"method", "url", "headers", "body" or "bodyBase64"}); - reads standard input.

Settings come from --set, from a --settings file, or from a source of a running server (--source): then the server judges,
and its secrets stay there. With --refused and --message the request comes from the server too.

Ends with 0 when the request is right and with 3 when it is not.`,
		Example: `  waypost verify --dialect douyin --set client_secret=env:DOUYIN_SECRET request.http
  pbpaste | waypost verify --dialect alipay --settings alipay.yaml --lang zh -
  waypost verify --source shop-42/alipay export.har --url /notify
  waypost verify --source shop-42/alipay --refused last
  waypost verify --app shop-42 --message msg_0123456789abc
  waypost verify --dialect yunzhimeng --set ivs_public_key=@key.pem --probe callback.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.check(s, args); err != nil {
				return err
			}
			return v.run(cmd.Context(), s, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&v.name, "dialect", "", "the platform's `DIALECT`; a source knows its own")
	v.dialectFlags.register(fs)
	fs.StringVar(&v.settingsFile, "settings", "", "`FILE` with settings (YAML: name: value, or a list); --set wins over it")
	fs.StringVar(&v.format, "format", "auto", "`FORMAT` of the capture: auto, http, curl, cmd, powershell, har or json")
	fs.IntVar(&v.choice.Index, "index", 0, "which request of a HAR or a list; 1 = the first")
	fs.StringVar(&v.choice.URL, "url", "", "the request of a HAR or a list whose URL has this `TEXT`")
	fs.StringVar(&v.at, "at", "", "the `MOMENT` to judge time stamps by, RFC 3339; default when a stored request came, else now")
	fs.StringVar(&v.lang, "lang", "", "language of the sentences, en or zh; default by LC_ALL, LC_MESSAGES or LANG")
	fs.BoolVar(&v.asJSON, "json", false, "as JSON, in both languages")
	fs.BoolVar(&v.probe, "probe", false, "try every profile of the platform's signature and print the settings to configure")
	v.registerServer(fs)
	fs.StringVar(&v.source, "source", "", "judge by a source of a running server, as `APP/SOURCE` (ids or uids)")
	fs.StringVar(&v.refused, "refused", "", "explain a request that the source refused: its `ID`, or last")
	fs.StringVar(&v.message, "message", "", "check the request that brought a stored message: its `ID`")
	fs.StringVar(&v.app, "app", "", "id or uid of the message's application")
	return cmd
}

// check looks at the flags together.
func (v *verification) check(s Streams, args []string) error {
	if v.lang == "" {
		v.lang = ownLanguage(s.Env)
	}
	stored := v.refused != "" || v.message != ""
	switch {
	case v.lang != "en" && v.lang != "zh":
		return misused("--lang is en or zh, not %q", v.lang)
	case !slices.Contains(capture.Formats, capture.Format(v.format)):
		return misused("--format: there is no %q", v.format)
	case v.choice.Index < 0:
		return misused("--index is 1 or more")
	case stored && len(args) > 0:
		return misused("the request is stored on the server: leave FILE %q out", args[0])
	case !stored && len(args) != 1:
		return misused("verify takes 1 argument(s): [FILE]; or name --refused or --message of a running server")
	case v.refused != "" && v.message != "":
		return misused("--refused and --message are two requests: give one")
	case v.refused != "" && v.source == "":
		return misused("--refused needs --source APP/SOURCE: refused requests are kept for each source")
	case v.message != "" && v.app == "" && v.source == "":
		return misused("--message needs --app: the id or uid of its application")
	case v.app != "" && (v.message == "" || v.source != ""):
		return misused("--app goes with --message; a source is named as --source APP/SOURCE")
	case v.remote() && (len(v.sets) > 0 || v.settingsFile != "" || v.probe):
		return misused("a source of a server judges by its own settings: --set, --settings and --probe are for settings that are here")
	}
	if v.at != "" {
		var err error
		if v.now, err = time.Parse(time.RFC3339, v.at); err != nil {
			return misused("--at takes a moment such as 2026-11-22T12:00:00Z")
		}
	}
	return nil
}

func (v *verification) remote() bool { return v.source != "" || v.message != "" }

func (v *verification) run(ctx context.Context, s Streams, args []string) error {
	if v.remote() {
		return v.ask(ctx, s, args)
	}
	if err := v.readSettings(s); err != nil {
		return err
	}
	d, settings, err := v.dialectFlags.settings(s, dialect.Receiving)
	if err != nil {
		return err
	}
	r, err := v.read(s, args[0])
	if err != nil {
		return err
	}
	if r.Now = v.now; r.Now.IsZero() {
		r.Now = time.Now()
	}
	if v.probe {
		return v.probed(s, d, settings, r)
	}
	out := diagnose.Request(d, settings, r.Inbound, explain.Limits{})
	out.Note(r.Notes...)
	return v.report(s, &out)
}

func (v *verification) read(s Streams, path string) (capture.Request, error) {
	text, err := readInput(s, path)
	if err != nil {
		return capture.Request{}, failed(err, "")
	}
	r, err := capture.Read(text, capture.Format(v.format), v.choice)
	if err != nil {
		return r, failed(fmt.Errorf("%s: %w", path, err), "--format names the form when it is not found by itself; --index and --url choose from several requests")
	}
	return r, nil
}

// readSettings puts the settings of the file behind those of the command line, which win.
func (v *verification) readSettings(s Streams) error {
	if v.settingsFile == "" {
		return nil
	}
	text, err := readInput(s, v.settingsFile)
	if err != nil {
		return failed(fmt.Errorf("--settings: %w", err), "")
	}
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return misused("--settings: %s is not YAML of the form name: value", v.settingsFile) // its text may hold secrets
	}
	given := map[string]bool{}
	for _, set := range v.sets {
		name, _, _ := strings.Cut(set, "=")
		given[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(file)) {
		node := file[name]
		values := []*yaml.Node{&node}
		if node.Kind == yaml.SequenceNode {
			values = node.Content
		}
		for _, value := range values {
			if value.Kind != yaml.ScalarNode {
				return misused("--settings: %s: %s must be a value or a list of values", v.settingsFile, name)
			}
			if !given[name] {
				v.sets = append(v.sets, name+"="+value.Value)
			}
		}
	}
	return nil
}

// probed prints the profile that a real request was signed by.
func (v *verification) probed(s Streams, d *dialect.Dialect, settings dialect.Settings, r capture.Request) error {
	if d.Explain == nil || len(d.Explain.Profile) == 0 {
		return misused("the dialect %s has one way to sign: --probe is for those whose profile only a real request tells, such as yunzhimeng", d.Name)
	}
	out := explain.Probe(d, settings, r.Inbound)
	w := newWords(v.lang)
	switch {
	case v.asJSON:
		err := json.NewEncoder(s.Out).Encode(struct {
			Valid bool `json:"valid"`
			explain.Probed
		}{len(out.Settings) > 0, out})
		if err != nil {
			return err
		}
	case len(out.Settings) == 0:
		fmt.Fprintf(s.Out, w.noProfile+"\n", out.Tried)
	default:
		fmt.Fprintf(s.Out, w.profile+"\n", len(out.Settings), out.Tried)
		for _, name := range sortedKeys(out.Choices) {
			fmt.Fprintf(s.Out, "%s: %s\n", name, out.Choices[name])
		}
	}
	if len(out.Settings) == 0 {
		return saidNo()
	}
	return nil
}

// report prints a diagnosis and says by the exit code what it is.
func (v *verification) report(s Streams, d *diagnose.Diagnosis) error {
	var b bytes.Buffer
	if v.asJSON {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(d); err != nil {
			return err
		}
	} else {
		w := newWords(v.lang)
		w.print(&b, d)
		if d.Reason == string(dialect.ReasonReplay) && v.now.IsZero() {
			fmt.Fprintln(&b, w.otherTime)
		}
	}
	if _, err := s.Out.Write(b.Bytes()); err != nil {
		return err
	}
	if !d.Valid {
		return saidNo()
	}
	return nil
}
