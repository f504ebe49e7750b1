package cli

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
	"github.com/waypost/waypost/internal/diagnose"
	"github.com/waypost/waypost/internal/simulate"
)

const verifySecret = "secret-of-verify-5b1f"

func TestVerifyRefusesWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := map[string]string{"WAYPOST_SERVER": "http://127.0.0.1:1", "WAYPOST_TOKEN": "wp_nobody"}
	panda := []string{"verify", "--dialect", "pandapon", "--set", "access_secret=" + verifySecret}
	with := func(args ...string) []string { return append(panda[:len(panda):len(panda)], args...) }
	for name, c := range map[string]struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		"no request":                {with(), "", 2, "takes 1 argument(s): [FILE]"},
		"two requests":              {with("a", "b"), "", 2, "takes 1 argument(s): [FILE]"},
		"a language that is none":   {with("--lang", "fr", "-"), "", 2, "--lang is en or zh"},
		"a format that is none":     {with("--format", "pcap", "-"), "", 2, "there is no \"pcap\""},
		"a moment that is none":     {with("--at", "noon", "-"), "", 2, "--at takes a moment"},
		"a negative index":          {with("--index", "-1", "-"), "", 2, "1 or more"},
		"an empty capture":          {with("-"), "\n", 1, "the capture is empty"},
		"a capture that is none":    {with("-"), "hello", 1, "no empty line"},
		"a command with a file":     {with("-"), "curl http://x/ -d @body.json", 1, "takes what it sends from a file"},
		"several requests":          {with("-"), `[{"headers":{}},{"headers":{}}]`, 1, "choose one by its index"},
		"a probe without profile":   {with("--probe", "-"), `{"headers":{}}`, 2, "--probe is for those"},
		"settings that are missing": {[]string{"verify", "--dialect", "pandapon", "--settings", filepath.Join(dir, "none"), "-"}, "", 1, "no such file"},
		"settings that are no YAML": {[]string{"verify", "--dialect", "pandapon", "--settings", file("a", "secret-of-verify-5b1f: : x"), "-"}, "", 2, "not YAML"},
		"settings that are nested":  {[]string{"verify", "--dialect", "pandapon", "--settings", file("b", "access_secret: {a: secret-of-verify-5b1f}"), "-"}, "", 2, "must be a value or a list"},
		"settings of another":       {[]string{"verify", "--dialect", "pandapon", "--settings", file("c", "client_secret: secret-of-verify-5b1f"), "-"}, "", 2, "is not a setting"},

		"a source and settings":      {with("--source", "a/b", "-"), "", 2, "judges by its own settings"},
		"a source that is half":      {[]string{"verify", "--source", "a", "-"}, `{"headers":{}}`, 2, "--source is APP/SOURCE"},
		"a refusal without source":   {[]string{"verify", "--refused", "last"}, "", 2, "--refused needs --source"},
		"a refusal and a file":       {[]string{"verify", "--source", "a/b", "--refused", "last", "x"}, "", 2, "leave FILE"},
		"a refusal and a message":    {[]string{"verify", "--source", "a/b", "--refused", "last", "--message", "m"}, "", 2, "give one"},
		"a message without app":      {[]string{"verify", "--message", "m"}, "", 2, "--message needs --app"},
		"an app without message":     {with("--app", "a", "-"), "", 2, "--app goes with --message"},
		"a server that is not there": {[]string{"verify", "--source", "a/b", "-"}, `{"headers":{}}`, 1, "is the server running?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, c.stdin, env, c.args...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("code %d, said %q, printed %q; want %d and %q", code, errs, out, c.code, c.want)
			}
			if strings.Contains(errs, verifySecret) {
				t.Errorf("repeated a secret: %q", errs)
			}
		})
	}
}

const verifyPayload = `{"orderId": "1", "名称": "x/y", "amount": 1.50}`

// signed is a request of PandaPon in one of sign's forms.
func signed(t *testing.T, format string) string {
	t.Helper()
	code, out, errs := command(t, verifyPayload, nil, "sign", "--dialect", "pandapon", "--set", "access_secret="+verifySecret,
		"--event", "ORDER_CREATE", "--format", format, "-")
	if code != 0 {
		t.Fatal(errs)
	}
	return out
}

func TestVerifyReadsWhatSignWrites(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"http", "curl", "json"} {
		request := signed(t, format)
		for _, file := range []string{"access_secret: " + verifySecret, "access_secret: [another, " + verifySecret + "]"} {
			path := filepath.Join(t.TempDir(), "settings.yaml")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := command(t, request, nil, "verify", "--dialect", "pandapon", "--settings", path, "-")
			if code != 0 || !strings.Contains(out, "ORDER_CREATE") || !strings.Contains(out, "hmac-sha256") || !strings.Contains(out, "verified by live key") {
				t.Errorf("%s: code %d: %s%s", format, code, out, errs)
			}
			code, out, _ = command(t, request, nil, "verify", "--dialect", "pandapon", "--settings", path, "--set", "access_secret=wrong", "-")
			if code != 3 || !strings.Contains(out, "No known accident explains this") {
				t.Errorf("%s: --set does not win over --settings: code %d: %s", format, code, out)
			}
		}
	}
}

// unsaid fails the test when a text has the secret, or its MAC of the right payload.
func unsaid(t *testing.T, text string) {
	t.Helper()
	h := hmac.New(sha256.New, []byte(verifySecret))
	h.Write([]byte(verifyPayload))
	mac := h.Sum(nil)
	for _, mark := range []string{verifySecret, hex.EncodeToString(mac), base64.StdEncoding.EncodeToString(mac)} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(mark)) {
			t.Errorf("shows a secret or a right signature:\n%s", text)
		}
	}
}

func TestVerifySaysWhatHappenedAndWhatToDo(t *testing.T) {
	t.Parallel()
	wholly := func(s string) string { return s }
	for name, c := range map[string]struct {
		secret  string
		change  func(string) string
		code    int
		en, zh  string
		finding string
	}{
		"nothing":               {verifySecret, wholly, 0, "VALID", "验签通过", ""},
		"a name pasted along":   {"ACCESS_SECRET=" + verifySecret, wholly, 3, "NOT VALID", "怎么改", "secret_named"},
		"a quoted secret":       {`"` + verifySecret + `"`, wholly, 3, "[certain, ", "确定", "secret_quotes"},
		"JSON written anew":     {verifySecret, func(s string) string { return strings.ReplaceAll(s, `, `, `,`) }, 3, "[certain, ", "原因", "json_spacing"},
		"another secret":        {"quite-another-secret", wholly, 3, "No known accident explains this", "没有已知的意外能解释", ""},
		"a terminal's escapes":  {verifySecret, func(s string) string { return strings.Replace(s, "ORDER_CREATE", `\u001b[2J\nVALID`, 1) }, 0, "VALID", "验签通过", ""},
		"a signature cut short": {verifySecret, func(s string) string { i := strings.Index(s, "Authorization: "); return s[:i+40] + s[i+15+64:] }, 3, "NOT VALID", "部位", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := c.change(signed(t, "http"))
			args := []string{"verify", "--dialect", "pandapon", "--set", "access_secret=" + c.secret, "-"}
			code, out, errs := command(t, request, map[string]string{"LANG": "C"}, args...)
			if code != c.code || !strings.Contains(out, c.en) || !strings.Contains(out, c.finding) {
				t.Errorf("code %d: %s%s", code, out, errs)
			}
			unsaid(t, out)
			if strings.ContainsAny(out, "\x1b") || strings.Contains(out, "\nVALID") {
				t.Errorf("a stranger writes on the terminal: %q", out)
			}
			code, out, _ = command(t, request, map[string]string{"LC_ALL": "zh_CN.UTF-8"}, args...)
			if code != c.code || !strings.Contains(out, c.zh) {
				t.Errorf("in Chinese: code %d: %s", code, out)
			}
			unsaid(t, out)
			code, out, _ = command(t, request, nil, append(args, "--json")...)
			var d struct {
				Valid    bool
				Findings []struct {
					Code, Sure string
					Text, Fix  struct{ En, Zh string }
				}
			}
			if err := json.Unmarshal([]byte(out), &d); err != nil || code != c.code || d.Valid != (c.code == 0) {
				t.Fatalf("code %d, %v: %s", code, err, out)
			}
			if c.finding != "" && (len(d.Findings) == 0 || d.Findings[0].Code != c.finding || d.Findings[0].Fix.Zh == "") {
				t.Errorf("%+v", d.Findings)
			}
			unsaid(t, out)
		})
	}
}

func TestVerifyKeepsStrangersOffTheTerminal(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh"} {
		var b strings.Builder
		newWords(lang).print(&b, &diagnose.Diagnosis{Valid: true, Key: 1, EventType: "x\x1b[2J\nVALID", Platform: map[string]string{"a": "\u009b2J\r\nb"}})
		if out := b.String(); strings.ContainsAny(out, "\x1b\u009b\r") || strings.Contains(out, "\nVALID") || strings.Count(out, "\n") != 3 {
			t.Errorf("%q", out)
		}
	}
}

func TestVerifyProbesTheProfile(t *testing.T) {
	t.Parallel()
	_, keys, _ := command(t, "", nil, "keygen", "yunzhimeng")
	receiving, sending, _ := strings.Cut(keys, "# settings of an endpoint: who sends\n")
	sign := append([]string{"sign", "--dialect", "yunzhimeng", "--event", "FREIGHT_PAY", "--set", "signed_text=ts_nonce_body",
		"--set", "signature_encoding=raw_base64", "-"}, settingArgs(sending)...)
	code, request, errs := command(t, `{"id":"1"}`, nil, sign...)
	if code != 0 {
		t.Fatal(errs)
	}
	plain := append([]string{"verify", "--dialect", "yunzhimeng", "-"}, settingArgs(receiving)...)
	if code, out, _ := command(t, request, nil, plain...); code != 3 {
		t.Fatalf("the profile does not matter: %s", out)
	}
	code, out, errs := command(t, request, nil, append(plain, "--probe")...)
	for _, want := range []string{"signed_text: ts_nonce_body\n", "signature_encoding: raw_base64\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("code %d, no %q: %s%s", code, want, out, errs)
		}
	}
	found := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(found, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := command(t, request, nil, append(plain, "--settings", found)...); code != 0 {
		t.Errorf("what was printed does not verify: %s%s", out, errs)
	}
	code, out, _ = command(t, strings.Replace(request, `"id":"1"`, `"id":"2"`, 1), nil, append(plain, "--probe", "--lang", "zh")...)
	if code != 3 || !strings.Contains(out, "没有任何组合") {
		t.Errorf("code %d: %s", code, out)
	}
	code, out, _ = command(t, request, nil, append(plain, "--probe", "--json")...)
	if code != 0 || !strings.Contains(out, `"signed_text":"ts_nonce_body"`) || strings.Contains(out, "key") {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestVerifyAsksTheServerOfASource(t *testing.T) {
	t.Parallel()
	a, c, env := serving(t, t.TempDir())
	c.must(t, "POST", "/app", thing{"name": "a", "uid": "shop"}, nil)
	var src struct{ ID, Path string }
	c.must(t, "POST", "/app/shop/source", thing{"uid": "panda", "dialect": "pandapon", "settings": thing{"access_secret": verifySecret}}, &src)
	right := signed(t, "http")
	wrong := strings.ReplaceAll(right, ", ", ",")
	push := func(raw string, want int) {
		t.Helper()
		head, body, _ := strings.Cut(raw, "\r\n\r\n")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.PublicAddr()+src.Path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(head) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && name != "Host" && name != "Content-Length" {
				r.Header.Set(name, value)
			}
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Fatalf("answered %d", resp.StatusCode)
		}
	}

	if code, out, errs := command(t, "", env, "verify", "--source", "shop/panda", "--refused", "last"); code != 2 || !strings.Contains(errs, "refused nothing") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	push(right, 200)
	push(wrong, 401)
	var messages page[struct{ ID string }]
	c.must(t, "GET", "/app/shop/msg", nil, &messages)
	eventually(t, "the refused request", func() bool {
		var list page[struct{ ID string }]
		c.must(t, "GET", "/app/shop/source/panda/refused?explain=0", nil, &list)
		return len(list.Data) == 1
	})
	for name, w := range map[string]struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		"a right file":        {right, []string{"--source", "shop/panda", "-"}, 0, "verified by live key 1"},
		"a wrong file":        {wrong, []string{"--source", "shop/panda", "-"}, 3, "json_spacing"},
		"by the source's id":  {wrong, []string{"--source", "shop/" + src.ID, "--lang", "zh", "-"}, 3, "怎么改"},
		"notes of the reader": {right + "\n", []string{"--source", "shop/panda", "-"}, 0, ""},
		"the last refused":    {"", []string{"--source", "shop/panda", "--refused", "last"}, 3, "json_spacing"},
		"a stored message":    {"", []string{"--app", "shop", "--message", messages.Data[0].ID, "--at", time.Now().Format(time.RFC3339)}, 0, "ORDER_CREATE"},
		"of another dialect":  {right, []string{"--dialect", "douyin", "--source", "shop/panda", "-"}, 1, "is of the dialect pandapon"},
		"an unknown source":   {right, []string{"--source", "shop/none", "-"}, 1, "case-sensitive"},
		"an unknown message":  {"", []string{"--app", "shop", "--message", "msg_0000000000001"}, 1, "case-sensitive"},
		"an unknown refusal":  {"", []string{"--source", "shop/panda", "--refused", "ref_0000000000001"}, 1, "only the last refused"},
	} {
		code, out, errs := command(t, w.stdin, env, append([]string{"verify"}, w.args...)...)
		if code != w.code || !strings.Contains(out+errs, w.want) {
			t.Errorf("%s: code %d: %s%s", name, code, out, errs)
		}
		unsaid(t, strings.ReplaceAll(out+errs, "\n", " "))
	}
}

// TestVerifyNamesTheRule has dialects that know several ways to sign say which one was used.
func TestVerifyNamesTheRule(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"alipay": "RSA2, V1", "standard": "v1", "yunzhimeng": "SHA256withECDSA", "douyin": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := findDialect(name)
			if err != nil {
				t.Fatal(err)
			}
			platform, receiver, err := simulate.Keys(d)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			req, err := d.Sign(platform, dialect.Outbound{ID: "msg_1", EventType: d.Examples[0].EventType, Payload: d.Examples[0].Payload, Now: now, Created: now})
			if err != nil {
				t.Fatal(err)
			}
			in := dialect.Inbound{Method: req.Method, Query: req.Query, Header: req.Header, Body: req.Body, Now: now}
			got := diagnose.Request(d, receiver, in, explain.Limits{})
			if !got.Valid || got.Rule == nil || got.Rule.By != want {
				t.Fatalf("valid %v, rule %+v", got.Valid, got.Rule)
			}
			var out bytes.Buffer
			newWords("en").print(&out, &got)
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in\n%s", want, out.String())
			}
			in.Body = append([]byte("x"), in.Body...)
			if got := diagnose.Request(d, receiver, in, explain.Limits{}); got.Valid || got.Rule.By != "" {
				t.Errorf("what is not valid has a rule: %+v", got.Rule)
			}
		})
	}
}
