// Package app owns the wiring of Waypost: its options, the start and stop of its parts in order, and the one place
// where the parts are told of each other.
package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/engine"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// Options are all that can be set of a server. The zero value of a field means its default; Defaults fills them in.
type Options struct {
	Data   string // folder of the store; default waypost-data
	Listen string // public address: /in and what else platforms and developers reach; default 127.0.0.1:8070
	Admin  string // address of API, metrics and health; default 127.0.0.1:8071

	TLSCert string // certificate file of the public listener, reloaded when it changes; "" = plain HTTP
	TLSKey  string // its key file

	PublicURL      string   // how the world reaches the public listener, as https://hooks.example.com; "" = unknown
	TrustedProxies []string // addresses or CIDRs whose X-Forwarded-For is believed

	Token   string // organisation token; "" = made at the first start and printed once
	MainKey string // 32 bytes in base64 or hex; "" = <data>/main.key, made at the first start
	// OldMainKey is the main key before MainKey: with both, the store is rotated from it to MainKey.
	OldMainKey string

	MaxBody          int64         // bytes of a push or API request; default 1 MiB
	Retention        time.Duration // how long messages are kept; default 30 days, negative = for ever
	PayloadRetention time.Duration // how long payloads are kept; 0 = as long as the message
	LowWater         int64         // free bytes on the disk below which new messages are refused; default 256 MiB
	StopTimeout      time.Duration // how long a stop waits for what is in flight; default 20 s
	Workers          int           // attempts under way at once; default 256
	MaxLongConns     int           // long connections at most, in all; default 20000
	Node             int           // 0 to 1023, part of the ids; default 0
	// OperationalAllow are private networks that operational webhooks may reach, as addresses or CIDRs; default none.
	OperationalAllow []string
	EgressCA         string // file of further root certificates for endpoints; "" = the system's alone

	Tracing Tracing

	// NetHTTP serves the public address with net/http alone, to compare: see docs/decisions/0014-lean-server.md.
	NetHTTP bool

	// Dev allows endpoints on loopback and callback URLs without https. It is for a laptop.
	Dev bool

	Declared Declared // profiles, applications, sources and endpoints of the configuration file

	Log      *slog.Logger // default: discard
	Announce io.Writer    // where the start tells people addresses and, once, the token; default: nowhere
	Version  string       // of the binary; default dev

	Faults Faults
}

// Faults are for tests of the tests; the program never sets them, and nothing that a user can write reaches them.
type Faults struct {
	Store  sqlite.Faults
	Engine engine.Faults
	// VFS names the driver's VFS beneath the store; "" = the operating system's.
	VFS string
	// FreeSpace tells the free bytes of the disk; nil = the file system is asked.
	FreeSpace func() (uint64, error)
	// ClockShift is added to the system's clock; nil = nothing is.
	ClockShift func() time.Duration
	// BeatEvery is the time between notes that the process is alive; 0 = 5 s.
	BeatEvery time.Duration
	// SweepEvery is the time between rounds of retention; 0 = the engine's.
	SweepEvery time.Duration
}

// Defaults returns o with every default filled in.
func (o Options) Defaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.Data, "waypost-data")
	def(&o.Listen, "127.0.0.1:8070")
	def(&o.Admin, "127.0.0.1:8071")
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.Retention == 0 {
		o.Retention = 30 * 24 * time.Hour
	}
	if o.LowWater == 0 {
		o.LowWater = 256 << 20
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 20 * time.Second
	}
	def(&o.Version, "dev")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Announce == nil {
		o.Announce = io.Discard
	}
	return o
}

// Validate says what is wrong with the options, all of it at once, each with what to do.
func (o Options) Validate() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
	}
	for name, addr := range map[string]string{"listen": o.Listen, "admin": o.Admin} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad(name, "%q is not an address such as 127.0.0.1:8070 or :8070", addr)
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		bad("tls-cert", "tls-cert and tls-key go together: set both or neither")
	}
	if o.PublicURL != "" {
		u, err := url.Parse(o.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			bad("public-url", "must look like https://hooks.example.com, without query")
		}
	}
	if _, err := ParsePrefixes(o.TrustedProxies); err != nil {
		bad("trusted-proxy", "%v", err)
	}
	if _, err := ParsePrefixes(o.OperationalAllow); err != nil {
		bad("operational-allow", "%v", err)
	}
	if o.Token != "" && len(o.Token) < minToken {
		bad("token", "has %d characters; at least %d are needed: make one with `waypost keygen token`", len(o.Token), minToken)
	}
	errs = append(errs, o.validateKeys()...)
	if err := o.Tracing.validate(); err != nil {
		errs = append(errs, err)
	}
	if o.MaxBody < 1024 || o.MaxBody > 64<<20 {
		bad("max-body", "must be between 1024 and %d bytes", 64<<20)
	}
	if o.Retention > 0 && o.Retention < time.Second {
		bad("retention", "%s is too short to see anything; -1s keeps messages for ever", o.Retention)
	}
	if o.PayloadRetention < 0 {
		bad("payload-retention", "must not be negative")
	}
	if o.StopTimeout < 0 {
		bad("stop-timeout", "must not be negative")
	}
	if o.LowWater < 0 {
		bad("low-water", "must not be negative")
	}
	if o.Node < 0 || o.Node > 1023 {
		bad("node", "must be 0 to 1023")
	}
	if o.MaxLongConns < 0 || o.MaxLongConns > 1_000_000 {
		bad("max-longconns", "must be 1 to 1000000")
	}
	if o.Workers < 0 || o.Workers > 100_000 {
		bad("workers", "must be 1 to 100000")
	}
	return errors.Join(errs...)
}

// validateKeys says what is wrong with the main keys.
func (o Options) validateKeys() (errs []error) {
	keys := map[string]*store.Sealer{}
	for name, text := range map[string]string{"main-key": o.MainKey, "main-key-old": o.OldMainKey} {
		if text == "" {
			continue
		}
		var err error
		if keys[name], err = sealerOf(text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	switch now, before := keys["main-key"], keys["main-key-old"]; {
	case o.OldMainKey != "" && o.MainKey == "":
		errs = append(errs, errors.New("main-key-old: is given without main-key: set WAYPOST_MAIN_KEY to the new key"))
	case now != nil && now.Same(before):
		errs = append(errs, errors.New("main-key-old: is the same key as main-key: set WAYPOST_MAIN_KEY to a new one, or take WAYPOST_MAIN_KEY_OLD away"))
	}
	return errs
}

const minToken = 20

// ParsePrefixes reads addresses and CIDRs; a bare address is the CIDR of itself.
func ParsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a CIDR such as 10.0.0.0/8", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// readSmallFile reads a file that people write by hand, and refuses what cannot be one.
func readSmallFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", filepath.Base(path), info.Size(), limit)
	}
	return os.ReadFile(path)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
