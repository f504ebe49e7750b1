package explain_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/dialect/explain"
)

func TestWhatIsRightIsVerified(t *testing.T) {
	t.Parallel()
	table := all.Table()
	for _, c := range corpus {
		r := base(t, c.dialect, c.base)
		if _, err := table[c.dialect].Receive(r.settings, r.in); err != nil {
			continue // a vector that is broken on purpose
		}
		got := explain.Request(table[c.dialect], r.settings, r.in, explain.Limits{})
		if !got.Verified || got.Key == 0 || len(got.Findings) > 0 || got.Tried != 1 {
			t.Errorf("%s %s: %+v", c.dialect, c.base, got)
		}
	}
}

// strangers put a key in the settings that signed nothing here.
var strangers = map[string]accident{
	"douyin":     setting("client_secret", another),
	"pandapon":   setting("access_secret", another),
	"standard":   setting("secret", "whsec_"+base64.StdEncoding.EncodeToString([]byte(another))),
	"aop1688":    setting("app_secret", another),
	"douyinspi":  setting("client_secret", another),
	"yunzhimeng": setting("ivs_public_key", otherKey),
	"alipay": func(t *testing.T, r *request) {
		setting("alipay_public_key", vector(t, "alipay", "wrong key").settings.Get("alipay_public_key"))(t, r)
	},
}

// TestNoCauseIsMadeUp runs the whole corpus under keys that signed none of it, and wants nothing to be called certain.
// What was not damaged at all may not even be called likely.
func TestNoCauseIsMadeUp(t *testing.T) {
	t.Parallel()
	table := all.Table()
	count := 0
	seen := map[string]bool{}
	for i, c := range corpus {
		if testing.Short() && i%4 != 0 {
			continue
		}
		stranger := strangers[c.dialect]
		// Rows that say what a sender without the right secret does are right under any secret; those that change the
		// settings would bring the right one back.
		if stranger == nil || strings.Contains(c.want, "secret") || strings.Contains(c.want, "setting") || strings.Contains(c.want, "account") {
			continue
		}
		for _, damaged := range []bool{false, true} {
			if !damaged && seen[c.dialect+c.base] {
				continue
			}
			seen[c.dialect+c.base] = true
			r := base(t, c.dialect, c.base)
			if damaged && c.happens != nil {
				c.happens(t, &r)
			}
			stranger(t, &r)
			count++
			got := explain.Request(table[c.dialect], r.settings, r.in, explain.Limits{})
			for _, f := range got.Findings {
				if f.Sure == explain.Certain || !damaged && f.Sure == explain.Likely {
					t.Errorf("%s: %s: %s: said to be %s %s, and is signed by another key", c.dialect, c.base, c.name, f.Sure, f.Code)
				}
			}
			if got.Verified || !strings.HasPrefix(got.Summary.En, "No known accident") || !strings.HasPrefix(got.Summary.Zh, "没有已知") {
				t.Errorf("%s: %s: %s: %+v", c.dialect, c.base, c.name, got.Summary)
			}
		}
	}
	if count < 150 && !testing.Short() {
		t.Errorf("only %d requests", count)
	}
}

// TestNothingLeaks looks for every secret and every right signature in all that is said of the corpus.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	table := all.Table()
	for _, c := range corpus {
		r := base(t, c.dialect, c.base)
		hidden := signatures(table[c.dialect], r)
		if c.happens != nil {
			c.happens(t, &r)
		}
		hidden = append(hidden, signatures(table[c.dialect], r)...)
		hidden = append(hidden, secrets(table[c.dialect], r.settings)...)
		got := explain.Request(table[c.dialect], r.settings, r.in, explain.Limits{})
		said, err := json.Marshal(got)
		must(t, err)
		said = append(said, fmt.Sprintf("%v %+v %#v", got, got, explain.Probe(table[c.dialect], r.settings, r.in))...)
		for _, h := range hidden {
			if len(h) >= 12 && bytes.Contains(bytes.ToLower(said), bytes.ToLower([]byte(h))) {
				t.Errorf("%s: %s: %s: a secret or a signature is in what is said", c.dialect, c.base, c.name)
			}
		}
	}
}

// signatures are the right ones of a request as it is, and the one that it came with, in hex and base64.
func signatures(d *dialect.Dialect, r request) (out []string) {
	body := string(r.in.Body)
	var sums [][]byte
	switch d.Name {
	case "douyin":
		sums = append(sums, sum(sha1.New(), secret+body))
	case "pandapon":
		var e struct{ MessageBody string }
		_ = json.Unmarshal(r.in.Body, &e)
		sums = append(sums, mac(sha256.New, secret, e.MessageBody), mac(sha256.New, secret, business))
	case "standard":
		sums = append(sums, mac(sha256.New, keyOf(whsec), "msg_1.1767225600."+body))
	}
	if text, ok := d.Explain.Signature.Get(r.in); ok {
		bare := strings.TrimPrefix(string(text), "v1,")
		out = append(out, bare)
		if b, err := hex.DecodeString(bare); err == nil {
			sums = append(sums, b)
		} else if b, err := base64.StdEncoding.DecodeString(bare); err == nil {
			sums = append(sums, b)
		}
	}
	for _, s := range sums {
		out = append(out, hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), base64.RawURLEncoding.EncodeToString(s))
	}
	return out
}

func secrets(d *dialect.Dialect, s dialect.Settings) (out []string) {
	out = append(out, secret, another, whsec, keyOf(whsec), strings.TrimPrefix(whsec, "whsec_"))
	for _, f := range d.Fields {
		if f.Secret || f.Kind == dialect.KindKey {
			for _, v := range s.All(f.Name) {
				out = append(out, strings.TrimSpace(v))
			}
		}
	}
	return out
}

func TestTheSettingsOfOtherSourcesAreTried(t *testing.T) {
	t.Parallel()
	r := douyinPush(douyinBody(business))
	right := r.settings
	r.settings = dialect.Set("client_secret", another)
	got := explain.Request(all.Table()["douyin"], r.settings, r.in, explain.Limits{Others: []explain.Other{
		{Name: "sandbox", Settings: dialect.Set("client_secret", "neither-this-one")}, {Name: "shop 2", Settings: right},
	}})
	if codes := certain(got); !slices.Equal(codes, []string{"secret_other"}) || got.Findings[0].Where != "shop 2" {
		t.Errorf("%+v", got)
	}
}

func TestHintsSayWhatCannotBeUndone(t *testing.T) {
	t.Parallel()
	table := all.Table()
	lost := func(s string) string { return strings.ReplaceAll(s, "张三", "\ufffd\ufffd") }
	for name, c := range map[string]struct {
		r       request
		happens accident
		code    string
		sure    explain.Sure
	}{
		"replacement characters":        {douyinPush(douyinBody(business)), onBody(text(lost)), "charset_lost", explain.Likely},
		"question marks":                {douyinPush(douyinBody(business)), onBody(text(func(s string) string { return strings.ReplaceAll(s, "张三", "????") })), "charset_question", explain.Possible},
		"a body that was read before":   {douyinPush(douyinBody(business)), onBody(text(func(string) string { return "" })), "body_empty", explain.Likely},
		"half of a body":                {webhooks(webhook), onBody(text(func(s string) string { return s[:len(s)/2] })), "body_truncated", explain.Likely},
		"less than Content-Length says": {webhooks("plain text to be cut"), then(onHeader("Content-Length", text(func(string) string { return "20" })), onBody(text(func(s string) string { return s[:9] }))), "body_truncated", explain.Likely},
		"no signature":                  {webhooks(webhook), func(_ *testing.T, r *request) { r.in.Header.Del(stdSig) }, "signature_missing", explain.Likely},
		"a number as a float":           {webhooks(`{"type":"a","id":9007199254740993}`), onBody(text(func(s string) string { return strings.Replace(s, "9007199254740993", "9.007199254740992e+15", 1) })), "json_precision", explain.Possible},
		"a secret that is none":         {webhooks(webhook), setting("secret", "hunter2"), "setting_problem", explain.Likely},
	} {
		c.happens(t, &c.r)
		d := table["douyin"]
		if c.r.settings.Get("secret") != "" {
			d = table["standard"]
		}
		got := explain.Request(d, c.r.settings, c.r.in, explain.Limits{})
		found := slices.ContainsFunc(got.Findings, func(f explain.Finding) bool { return f.Code == c.code && f.Sure == c.sure })
		if !found || got.Proved() || got.Verified {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestTheOwnKeyIsNoticed is for the public key of the application in the place of Alipay's.
func TestTheOwnKeyIsNoticed(t *testing.T) {
	t.Parallel()
	r := vector(t, "alipay", "gateway check answered")
	r.settings = r.settings.With("alipay_public_key", publicOf(t, r.settings.Get("app_private_key")))
	got := explain.Request(all.Table()["alipay"], r.settings, r.in, explain.Limits{})
	if got.Proved() || len(got.Findings) == 0 || got.Findings[0].Code != "setting_problem" || !strings.Contains(got.Findings[0].Text.En, "own public key") {
		t.Errorf("%+v", got)
	}
}

func TestTimesOfOtherZonesAreNoticed(t *testing.T) {
	t.Parallel()
	r := webhooks(webhook)
	r.in.Now = r.in.Now.Add(-8*time.Hour + time.Second)
	got := explain.Request(all.Table()["standard"], r.settings, r.in, explain.Limits{})
	if len(got.Findings) != 2 || got.Findings[1].Code != "time_zone" || got.Findings[1].Sure != explain.Likely {
		t.Errorf("eight hours off: %+v", got)
	}
	r.in.Now = now.Add(100 * time.Hour)
	if got := explain.Request(all.Table()["standard"], r.settings, r.in, explain.Limits{}); len(got.Findings) != 1 {
		t.Errorf("four days off: %+v", got)
	}
}

// TestProbe gives one real callback and the key, with every setting of the profile wrong, and wants the right ones.
func TestProbe(t *testing.T) {
	t.Parallel()
	d := all.Table()["yunzhimeng"]
	count := 0
	for _, v := range vectors(t, "yunzhimeng") {
		if v.Do != "receive" || v.Want == nil || !strings.HasSuffix(v.Name, "/chinese") {
			continue
		}
		r := fromVector(t, v)
		wrong := r.settings.With("signed_text", "le64ts_le64nonce_body").With("signature_encoding", "raw_hex")
		got := explain.Probe(d, wrong, r.in)
		count++
		if len(got.Settings) == 0 {
			t.Errorf("%s: nothing found in %d tries", v.Name, got.Tried)
			continue
		}
		for name, def := range map[string]string{"signed_text": "body_le64ts_le64nonce", "signature_encoding": "der_base64"} {
			// An RSA signature is written the same way by der and raw, so that either is right.
			if want := r.settings.Or(name, def); got.Choices[name] != want && !strings.HasPrefix(v.Name, "rsa") {
				t.Errorf("%s: %s is %s, want %s", v.Name, name, got.Choices[name], want)
			}
		}
		if _, err := d.Receive(got.Settings[0], r.in); err != nil {
			t.Errorf("%s: what was found does not verify: %v", v.Name, err)
		}
	}
	if count < 10 {
		t.Errorf("only %d vectors", count)
	}
	r := vector(t, "yunzhimeng", yzmBody)
	r.settings = r.settings.With("ivs_public_key", otherKey)
	if got := explain.Probe(d, r.settings, r.in); len(got.Settings) > 0 || got.Choices != nil || got.Tried < 2 {
		t.Errorf("under another key: %+v", got)
	}
}

// TestWorkIsBounded gives what is long, deep or full of chances, and wants the limits to hold.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	for name, d := range all.Table() {
		for kind, body := range worst() {
			r := worstRequest(t, name, body)
			got := explain.Request(d, r.settings, r.in, explain.Limits{Tries: 40, Bytes: 8 << 20})
			if got.Tried > 41 || got.Verified || got.Proved() {
				t.Errorf("%s: %s: %d tries, %+v", name, kind, got.Tried, got.Findings)
			}
		}
		// Half a megabyte, read once and made anew by every try, uses eight up after a few.
		r := worstRequest(t, name, `{"messageBody":"`+strings.Repeat(" ", 1<<19)+`"}`)
		if got := explain.Request(d, r.settings, r.in, explain.Limits{Bytes: 8 << 20}); got.Tried > 16 || got.Whole {
			t.Errorf("%s: half a megabyte: %d tries, whole %v", name, got.Tried, got.Whole)
		}
		r = worstRequest(t, name, strings.Repeat("x", 2<<20))
		if got := explain.Request(d, r.settings, r.in, explain.Limits{}); got.Tried != 1 || got.Whole || got.Findings[0].Code != "body_large" {
			t.Errorf("%s: too long a body: %+v", name, got)
		}
	}
}

func worst() map[string]string {
	return map[string]string{
		"blanks":     strings.Repeat(" + ", 1<<15),
		"deep":       strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"members":    `{"a":"` + strings.Repeat(`","b/é<":1.0e3,"c":"`, 1<<13) + `"}`,
		"parameters": strings.Repeat("a=b+c%20&", 1<<13) + "sign=x",
		"entities":   strings.Repeat("&amp;quot;", 1<<13),
		"escapes":    `{"messageBody":"` + strings.Repeat(`\u4e2d`, 1<<13) + `"}`,
		"nothing":    "",
	}
}

func worstRequest(t *testing.T, name, body string) request {
	r := base(t, name, map[string]string{
		"douyin": "business", "pandapon": "business", "standard": "webhook", "alipay": "message seed-2", "yunzhimeng": yzmBody,
		"aop1688": "receive order_pay", "douyinspi": "receive basic", "douyinmini": "receive payment",
	}[name])
	r.in.Body = []byte(body)
	return r
}

var codeLiteral = regexp.MustCompile(`(?:Codes?: +(?:\[\]string\{)?|candidate\([a-z]+, |try\(|hint\([A-Za-z]+, |spelled\{|change\{|trait\{|paramSet\{|keyed\{)"([a-z0-9_]+)"`)

// TestEveryCauseIsInTheCatalogue reads the codes from the sources, and wants words for each in both languages, and no
// words for what nobody says.
// TestLongSecretsAndSlowKeysAreWork holds that what the settings cost is counted like what the body costs.
func TestLongSecretsAndSlowKeysAreWork(t *testing.T) {
	t.Parallel()
	const work = 8 << 20
	long, slow, two := pandaponPush(business), vector(t, "yunzhimeng", yzmBody), vector(t, "yunzhimeng", yzmBody)
	long.settings = dialect.Set("access_secret", strings.Repeat("x", 1<<20))
	slow.settings = slow.settings.With("ivs_public_key", slowKey)
	two.settings = two.settings.With("ivs_public_key", slowKey, slowKey)
	for name, c := range map[string]struct {
		dialect string
		r       request
		most    int
	}{
		"a secret of 1 MiB":             {"pandapon", long, 8},
		"a key that takes 2 ms":         {"yunzhimeng", slow, 45},
		"two keys that take 2 ms, each": {"yunzhimeng", two, 30},
	} {
		out := explain.Request(all.Table()[c.dialect], c.r.settings, c.r.in, explain.Limits{Bytes: work})
		if out.Tried > c.most+1 || out.Whole || out.Proved() {
			t.Errorf("%s: %d tries, whole %v; want at most %d", name, out.Tried, out.Whole, c.most)
		}
	}
}

// slowKey is a key on prime239v1 that signed nothing here.
const slowKey = "MFUwEwYHKoZIzj0CAQYIKoZIzj0DAQQDPgAEbYP5whkkzAyQW6PNVjgL77QCIOrpAivVPU/6wBFFSK+bfn/ytGQMGLYA6wQznTJuqdK27ixLhIvELj3r"

func TestEveryCauseIsInTheCatalogue(t *testing.T) {
	t.Parallel()
	known := explain.Codes()
	used := map[string]bool{"method": true, "compressed": true, "chunked": true, "multipart": true}
	files, _ := filepath.Glob("*.go")
	more, _ := filepath.Glob("../*/explain.go")
	for _, f := range append(append(files, more...), "../explain.go") {
		if strings.HasSuffix(f, "_test.go") || f == "catalogue.go" {
			continue
		}
		b, err := os.ReadFile(f)
		must(t, err)
		for _, word := range regexp.MustCompile(`"[a-z0-9]+(_[a-z0-9]+)+"`).FindAllString(string(b), -1) {
			used[strings.Trim(word, `"`)] = true
		}
		for _, m := range codeLiteral.FindAllStringSubmatch(string(b), -1) {
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s: %s is not in the catalogue", f, m[1])
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(known)) {
		f := known[code]
		if !used[code] {
			t.Errorf("%s is in the catalogue and said by nobody", code)
		}
		for _, s := range []string{f.Text.En, f.Text.Zh, f.Fix.En, f.Fix.Zh} {
			if s == "" {
				t.Errorf("%s lacks a text", code)
			}
		}
		for _, s := range []string{f.Text.En, f.Fix.En} {
			if !strings.HasSuffix(s, ".") {
				t.Errorf("%s: %q is no sentence", code, s)
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	names := all.Names()
	for i := range names {
		f.Add(byte(i), `{"messageBody":"{\"a\":1}","content":"x"}`, "deadbeef", "a=b", "secret \n")
		f.Add(byte(i), "a=b&sign=+&biz_content={\"a\": 1}\r\n", "v1, x=", "", "whsec_=")
	}
	table := all.Table()
	f.Fuzz(func(t *testing.T, which byte, body, signature, query, key string) {
		name := names[int(which)%len(names)]
		r := worstRequest(t, name, body)
		d := table[name]
		r.in.Query = query
		for _, h := range d.SignatureHeaders {
			r.in.Header.Set(h, signature)
		}
		for _, k := range d.Explain.Keys {
			r.settings = r.settings.With(k, key)
		}
		got := explain.Request(d, r.settings, r.in, explain.Limits{Tries: 300, Bytes: 16 << 20})
		if got.Tried > 301 || got.Summary.En == "" || got.Summary.Zh == "" {
			t.Errorf("%d tries, %q", got.Tried, got.Summary.En)
		}
		for _, f := range got.Findings {
			if f.Text.En == "" || f.Text.Zh == "" {
				t.Errorf("no text for %s", f.Code)
			}
		}
	})
}

// BenchmarkWorst is what an explanation costs at the default limits when nothing explains it.
func BenchmarkWorst(b *testing.B) {
	long := `{"type":"a","rows":["` + strings.Repeat(`x/é<a b>","`, 80000) + `"]}`
	for _, name := range all.Names() {
		d := all.Table()[name]
		for size, body := range map[string]string{"short": `{"type":"a/é","n": 1.0}`, "1MiB": long} {
			t := &testing.T{}
			r := worstRequest(t, name, body)
			if name == "pandapon" {
				r.in.Body = []byte(`{"messageType":"A","messageBody":` + string(dialect.Quote(body)) + `}`)
			}
			b.Run(name+"/"+size, func(b *testing.B) {
				var got explain.Explanation
				for b.Loop() {
					got = explain.Request(d, r.settings, r.in, explain.Limits{})
				}
				b.ReportMetric(float64(got.Tried), "tries")
			})
		}
	}
}

// TestAFewCharactersProveNothing is for signatures that were cut: half of one is recognised, a few characters are chance.
func TestAFewCharactersProveNothing(t *testing.T) {
	t.Parallel()
	for length, proved := range map[int]bool{1: false, 4: false, 12: false, 20: true, 39: true} {
		r := douyinPush(douyinBody(business))
		onHeader(dySig, text(func(s string) string { return s[:length] }))(t, &r)
		if got := explain.Request(all.Table()["douyin"], r.settings, r.in, explain.Limits{}); got.Proved() != proved {
			t.Errorf("%d characters: %v", length, certain(got))
		}
	}
}

// TestAnAnswerWithoutASignatureProvesNothing is for a challenge, which is answered unsigned once it can be read.
func TestAnAnswerWithoutASignatureProvesNothing(t *testing.T) {
	t.Parallel()
	r := douyinPush("\ufeff" + `{"event":"verify_webhook","client_key":"","content":{"challenge":12345}}`)
	r.in.Header.Del(dySig)
	got := explain.Request(all.Table()["douyin"], r.settings, r.in, explain.Limits{})
	if got.Verified || got.Proved() {
		t.Errorf("%+v", got)
	}
}

// TestEveryDialectSaysWhatItIs holds the data of the dialects to their fields, and their places to what a place is.
func TestEveryDialectSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for name, d := range all.Table() {
		x := d.Explain
		if x == nil || x.Signature.Get == nil || x.Write == nil || len(x.Signed) == 0 || len(x.Keys) == 0 {
			t.Errorf("%s does not say what it is", name)
			continue
		}
		fields := slices.Concat(x.Keys, x.Profile)
		if x.Account != "" {
			fields = append(fields, x.Account)
		}
		for _, field := range fields {
			if !slices.ContainsFunc(d.Fields, func(f dialect.Field) bool { return f.Name == field }) {
				t.Errorf("%s has no setting %s", name, field)
			}
		}
		got := map[string]bool{}
		for _, v := range vectors(t, name) {
			if v.Do != "receive" || v.Want == nil {
				continue
			}
			r := fromVector(t, v)
			before := fmt.Sprintf("%+v", r.in)
			for _, p := range append(slices.Clone(x.Signed), x.Signature) {
				if _, ok := p.Get(r.in); !ok {
					continue
				}
				got[p.Name] = true
				out, ok := p.Put(r.in, []byte("other text/+é"))
				now, there := p.Get(out)
				if !ok || !there || string(now) != "other text/+é" {
					t.Errorf("%s: %s: %s holds %q after it was changed", name, v.Name, p.Name, now)
				}
			}
			if fmt.Sprintf("%+v", r.in) != before {
				t.Errorf("%s: %s: a place changed what it was given", name, v.Name)
			}
		}
		for _, p := range append(slices.Clone(x.Signed), x.Signature) {
			if !got[p.Name] {
				t.Errorf("%s: no vector has a %s", name, p.Name)
			}
		}
	}
}
