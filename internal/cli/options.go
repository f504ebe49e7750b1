package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
)

// serverFlags are the options of a server as flags. Each may also stand in the environment as WAYPOST_NAME and in the
// configuration file under its name with underscores; the command line wins over the environment, and that over the
// file.
type serverFlags struct {
	app.Options
	config    string
	logLevel  string
	logFormat string
}

// secretFlags may stand in the environment and in the file, but not on the command line, which every user of the
// machine can read.
var secretFlags = []string{"token", "main-key", "main-key-old"}

func (f *serverFlags) register(fs *pflag.FlagSet) {
	f.Options = f.Options.Defaults()
	fs.StringVar(&f.config, "config", "", "configuration `FILE` (YAML); unknown keys are refused")
	fs.StringVar(&f.Data, "data", f.Data, "`FOLDER` of the store")
	fs.StringVar(&f.Listen, "listen", f.Listen, "public `ADDRESS`: /in/{door}")
	fs.StringVar(&f.Admin, "admin", f.Admin, "`ADDRESS` of API, metrics and health: keep it private")
	fs.StringVar(&f.TLSCert, "tls-cert", "", "certificate `FILE` of the public address; read again when it changes")
	fs.StringVar(&f.TLSKey, "tls-key", "", "key `FILE` of the public address")
	fs.StringVar(&f.PublicURL, "public-url", "", "`URL` under which platforms reach the public address")
	fs.StringSliceVar(&f.TrustedProxies, "trusted-proxy", nil, "address or `CIDR` whose X-Forwarded-For is believed; may be repeated")
	fs.Var(size{&f.MaxBody}, "max-body", "largest body of a push or API request, as 1MiB")
	fs.Var(span{&f.Retention}, "retention", "how long messages are kept, as 30d; -1s = for ever")
	fs.Var(span{&f.PayloadRetention}, "payload-retention", "how long payloads are kept; 0s = as long as the message")
	fs.Var(size{&f.LowWater}, "low-water", "free disk space below which new messages are refused")
	fs.Var(span{&f.StopTimeout}, "stop-timeout", "how long a stop waits for what is in flight")
	fs.IntVar(&f.Workers, "workers", 256, "deliveries under way at once")
	fs.IntVar(&f.MaxLongConns, "max-longconns", 20000, "long connections that applications may have open to this server, in all")
	fs.IntVar(&f.Node, "node", 0, "number of this node, 0 to 1023; part of the ids")
	fs.StringSliceVar(&f.OperationalAllow, "operational-allow", nil, "private address or `CIDR` that operational webhooks may reach; may be repeated")
	fs.StringVar(&f.EgressCA, "egress-ca", "", "`FILE` with further root certificates for endpoints")
	fs.StringVar(&f.Tracing.Endpoint, "otlp", "", "`URL` of an OpenTelemetry collector (OTLP over HTTP) that gets traces; default OTEL_EXPORTER_OTLP_ENDPOINT, else none")
	fs.BoolVar(&f.Dev, "dev", false, "for a laptop: endpoints may be on loopback and need no https")
	fs.BoolVar(&f.NetHTTP, "net-http", false, "serve the public address with net/http alone, to compare")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&f.Token, "token", "", "organisation token")
	fs.StringVar(&f.MainKey, "main-key", "", "main key")
	fs.StringVar(&f.OldMainKey, "main-key-old", "", "main key before")
	for _, name := range secretFlags {
		_ = fs.MarkHidden(name) // shown in docs as environment only
	}
	_ = fs.MarkHidden("net-http")
}

// serverVariables names what configures a server through the environment: a server that is started for a test must not
// become the one that this machine runs otherwise.
func serverVariables() []string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(serverFlags).register(fs)
	names := []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
	fs.VisitAll(func(fl *pflag.Flag) { names = append(names, envName(fl.Name)) })
	return names
}

// resolve fills what the command line left open from the environment and the file, and validates.
func (f *serverFlags) resolve(cmd *cobra.Command, s Streams) error {
	fs := cmd.Flags()
	for _, name := range secretFlags {
		if fs.Changed(name) {
			return misused("--%s would be visible to every user of this machine: set %s instead", name, envName(name))
		}
	}
	if v, ok := s.Env("WAYPOST_CONFIG"); ok && !fs.Changed("config") {
		f.config = v
	}
	var names []string
	fs.VisitAll(func(fl *pflag.Flag) {
		if fl.Name != "config" && fl.Name != "help" {
			names = append(names, fl.Name)
		}
	})
	var file app.File
	if f.config != "" {
		var err error
		if file, err = app.ReadFile(f.config, names, s.Env); err != nil {
			return &exitError{code: 2, err: err}
		}
	}
	for _, name := range names {
		if fs.Changed(name) {
			continue
		}
		value, ok := s.Env(envName(name))
		where := envName(name)
		if !ok {
			value, ok = file.Server[name]
			where = fmt.Sprintf("%s: line %d: %s", f.config, file.Lines[name], strings.ReplaceAll(name, "-", "_"))
		}
		if !ok {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			if slices.Contains(secretFlags, name) {
				err = errors.New("it cannot be read")
			}
			return &exitError{code: 2, err: fmt.Errorf("%s: %w (%s)", where, err, fs.Lookup(name).Usage)}
		}
	}
	f.Declared = file.Declared
	f.tracing(s)
	log, err := logger(s, f.logLevel, f.logFormat)
	if err != nil {
		return err
	}
	f.Log = log
	if err := f.Options.Validate(); err != nil {
		return &exitError{2, err, ""}
	}
	return nil
}

// tracing takes what OpenTelemetry's own variables say.
func (f *serverFlags) tracing(s Streams) {
	for name, v := range map[string]*string{
		"OTEL_EXPORTER_OTLP_HEADERS": &f.Tracing.Headers, "OTEL_TRACES_SAMPLER": &f.Tracing.Sampler, "OTEL_TRACES_SAMPLER_ARG": &f.Tracing.Ratio,
	} {
		*v, _ = s.Env(name)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if v, ok := s.Env(name); ok && f.Tracing.Endpoint == "" {
			f.Tracing.Endpoint = v
		}
	}
}

func envName(flag string) string {
	return "WAYPOST_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func logger(s Streams, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) || l.UnmarshalText([]byte(level)) != nil {
		return nil, misused("--log-level is debug, info, warn or error, not %q", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(s.Err, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(s.Err, opts)), nil
	}
	return nil, misused("--log-format is text or json, not %q", format)
}

// span is a length of time with days.
type span struct{ v *time.Duration }

func (d span) String() string {
	if d.v == nil {
		return ""
	}
	if n := *d.v; n > 0 && n%(24*time.Hour) == 0 {
		return strconv.Itoa(int(n/(24*time.Hour))) + "d"
	}
	return d.v.String()
}

func (d span) Type() string { return "duration" }

func (d span) Set(text string) error {
	v, err := dialect.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a length of time such as 500ms, 5m or 30d", text)
	}
	*d.v = v
	return nil
}

// size is a number of bytes with a unit.
type size struct{ v *int64 }

var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0}}

func (b size) String() string {
	if b.v == nil {
		return ""
	}
	for _, u := range sizeUnits {
		if n := *b.v; n > 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.suffix
		}
	}
	return strconv.FormatInt(*b.v, 10)
}

func (b size) Type() string { return "size" }

func (b size) Set(text string) error {
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
			if err != nil || n < 0 || n > 1<<62>>u.shift {
				break
			}
			*b.v = n << u.shift
			return nil
		}
	}
	return fmt.Errorf("%q is not a size such as 1048576, 512KiB or 1MiB", text)
}
