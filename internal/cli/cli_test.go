package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/app"
)

func TestWrongUsageSaysWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown command":              {[]string{"frobnicate"}, "unknown command"},
		"an unknown flag":                 {[]string{"serve", "--listn", ":1"}, "unknown flag"},
		"an argument where none belongs":  {[]string{"version", "x"}, "takes no argument"},
		"a missing argument":              {[]string{"verify", "--dialect", "douyin"}, "takes 1 argument(s): [FILE]"},
		"no dialect":                      {[]string{"verify", "-"}, "name a dialect: "},
		"a dialect that there is not":     {[]string{"verify", "--dialect", "wechat", "-"}, `there is no dialect "wechat"; there are `},
		"a setting that is missing":       {[]string{"verify", "--dialect", "douyin", "-"}, "client_secret: is required"},
		"a setting that is misspelt":      {[]string{"verify", "--dialect", "douyin", "--set", "client_sekret=x", "-"}, "client_sekret: is not a setting"},
		"a setting without value":         {[]string{"verify", "--dialect", "douyin", "--set", "client_secret", "-"}, "NAME=VALUE"},
		"an environment that lacks it":    {[]string{"verify", "--dialect", "douyin", "--set", "client_secret=env:NOPE", "-"}, "the environment has no NOPE"},
		"a file that is missing":          {[]string{"verify", "--dialect", "douyin", "--set", "client_secret=@/nonexistent", "-"}, "no such file"},
		"an address that is none":         {[]string{"serve", "--listen", "8070"}, "listen: \"8070\" is not an address"},
		"a certificate without key":       {[]string{"serve", "--tls-cert", "x"}, "go together"},
		"a log level that there is not":   {[]string{"serve", "--log-level", "loud"}, "--log-level is debug"},
		"a size that is none":             {[]string{"serve", "--max-body", "big"}, "is not a size such as"},
		"a length of time that is none":   {[]string{"serve", "--retention", "soon"}, "is not a length of time"},
		"a secret on the command line":    {[]string{"serve", "--token", "abcdefghijklmnopqrstuvwxyz"}, "visible to every user"},
		"a configuration file not there":  {[]string{"serve", "--config", "/nonexistent.yaml"}, "there is no configuration file"},
		"simulate without a receiver":     {[]string{"simulate", "douyin"}, "--to URL is needed"},
		"simulate an event that is none":  {[]string{"simulate", "douyin", "--to", "http://127.0.0.1:1", "--event", "nope"}, "has no example of"},
		"keygen of what there is not":     {[]string{"keygen", "gold"}, "there is no dialect"},
		"a token without server or token": {[]string{"token", "create"}, "set WAYPOST_TOKEN"},
		"a backup over an existing file":  {[]string{"backup", "--data", "/nonexistent", "x.db"}, "holds no store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", nil, c.args...)
			if code != 1 && code != 2 {
				t.Errorf("exit code %d", code)
			}
			if !strings.Contains(errs, c.want) {
				t.Errorf("said %q, want it to say %q", errs, c.want)
			}
			if out != "" {
				t.Errorf("printed results: %q", out)
			}
			if strings.Contains(errs, "abcdefghijklmnop") {
				t.Errorf("repeated a secret: %q", errs)
			}
		})
	}
}

func TestSignedIsVerified(t *testing.T) {
	for _, name := range []string{"standard", "pandapon", "douyin", "alipay", "yunzhimeng"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, keys, errs := command(t, "", nil, "keygen", name)
			if code != 0 {
				t.Fatal(errs)
			}
			receiving, sending, _ := strings.Cut(keys, "# settings of an endpoint: who sends\n")
			event := "ORDER_CREATE"
			sign := append([]string{"sign", "--dialect", name, "--event", event, "-"}, settingArgs(sending)...)
			code, request, errs := command(t, `{"orderId": "1", "名称": "x"}`, nil, sign...)
			if code != 0 {
				t.Fatal(errs)
			}
			verify := append([]string{"verify", "--dialect", name, "-"}, settingArgs(receiving)...)
			if code, out, errs := command(t, request, nil, verify...); code != 0 || !strings.Contains(out, "VALID") {
				t.Errorf("code %d: %s%s", code, out, errs)
			}
			head, body, _ := strings.Cut(request, "\r\n\r\n")
			changed := head + "\r\n\r\n" + strings.Replace(body, "orderId", "orderIe", 1)
			code, out, _ := command(t, changed, nil, append(verify, "--json")...)
			if code != 3 || !strings.Contains(out, `"valid":false`) || !strings.Contains(out, `"reason":"signature"`) {
				t.Errorf("with one byte changed: code %d: %s", code, out)
			}
		})
	}
}

// settingArgs turns keygen's lines into --set flags.
func settingArgs(lines string) []string {
	var args []string
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			args = append(args, "--set", name+"="+value)
		}
	}
	return args
}

func TestOptionsComeFromFlagThenEnvironmentThenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "waypost.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nmax_body: 2MiB\nretention: 7d\ntrusted_proxy: [10.0.0.1, 10.2.0.0/16]\ntoken: ${TOKEN_FROM_ENV}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WAYPOST_ADMIN": "127.0.0.1:3", "WAYPOST_MAX_BODY": "3MiB", "TOKEN_FROM_ENV": "a-token-of-twenty-characters"}
	s := Streams{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }, Err: os.Stderr}
	var f serverFlags
	cmd := serveCommand(s)
	cmd.ResetFlags()
	f.register(cmd.Flags())
	if err := cmd.ParseFlags([]string{"--config", file, "--max-body", "4MiB"}); err != nil {
		t.Fatal(err)
	}
	if err := f.resolve(cmd, s); err != nil {
		t.Fatal(err)
	}
	if f.Listen != "127.0.0.1:1" || f.Admin != "127.0.0.1:3" || f.MaxBody != 4<<20 || f.Retention.Hours() != 7*24 ||
		len(f.TrustedProxies) != 2 || f.Token != "a-token-of-twenty-characters" {
		t.Errorf("listen %s, admin %s, max body %d, retention %v, proxies %v", f.Listen, f.Admin, f.MaxBody, f.Retention, f.TrustedProxies)
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := command(t, "", nil, "version"); code != 0 || !strings.HasPrefix(out, "waypost "+Version) {
		t.Errorf("%d %q", code, out)
	}
}

func TestKeygen(t *testing.T) {
	code, key, _ := command(t, "", nil, "keygen", "main-key")
	if o := (app.Options{MainKey: strings.TrimSpace(key)}).Defaults(); code != 0 || o.Validate() != nil {
		t.Errorf("a main key that is not accepted: %v", o.Validate())
	}
	code, token, _ := command(t, "", nil, "keygen", "token")
	if o := (app.Options{Token: strings.TrimSpace(token)}).Defaults(); code != 0 || o.Validate() != nil {
		t.Errorf("a token that is not accepted: %v", o.Validate())
	}
	if code, secret, _ := command(t, "", nil, "keygen", "standard", "--quiet"); code != 0 || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("%q", secret)
	}
}
