package explain_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
)

// The accidents of the corpus are made as they happen, forwards: by the libraries and habits that cause them, and by
// nothing of the package that is tested.

type request struct {
	settings dialect.Settings
	in       dialect.Inbound
}

type accident func(*testing.T, *request)

// onBody makes an accident of a change to the whole body.
func onBody(change func(*testing.T, string) string) accident {
	return func(t *testing.T, r *request) { r.in.Body = []byte(change(t, string(r.in.Body))) }
}

func text(change func(string) string) func(*testing.T, string) string {
	return func(_ *testing.T, s string) string { return change(s) }
}

// onMember makes an accident of a change to a string member of the body, as a program that unpacks and packs it.
func onMember(name string, change func(*testing.T, string) string) accident {
	return func(t *testing.T, r *request) {
		var members map[string]json.RawMessage
		must(t, json.Unmarshal(r.in.Body, &members))
		var value string
		must(t, json.Unmarshal(members[name], &value))
		members[name] = dialect.Quote(change(t, value))
		out, err := json.Marshal(members)
		must(t, err)
		r.in.Body = out
	}
}

// onParam makes an accident of a change to a decoded parameter of the form.
func onParam(name string, change func(*testing.T, string) string) accident {
	return func(t *testing.T, r *request) {
		form := parsed(t, r.in.Body)
		form.Set(name, change(t, form.Get(name)))
		r.in.Body = []byte(form.Encode())
	}
}

func onForm(change func(url.Values)) accident {
	return func(t *testing.T, r *request) {
		form := parsed(t, r.in.Body)
		change(form)
		r.in.Body = []byte(form.Encode())
	}
}

func onEveryParam(change func(string) string) accident {
	return onForm(func(form url.Values) {
		for name := range form {
			form.Set(name, change(form.Get(name)))
		}
	})
}

func parsed(t *testing.T, body []byte) url.Values {
	form, err := url.ParseQuery(string(body))
	must(t, err)
	return form
}

func onHeader(name string, change func(*testing.T, string) string) accident {
	return func(t *testing.T, r *request) {
		r.in.Header = r.in.Header.Clone()
		r.in.Header.Set(name, change(t, r.in.Header.Get(name)))
	}
}

func renameHeader(from, to string) accident {
	return func(_ *testing.T, r *request) {
		r.in.Header = r.in.Header.Clone()
		r.in.Header.Set(to, r.in.Header.Get(from))
		r.in.Header.Del(from)
	}
}

func onSetting(name string, change func(string) string) accident {
	return func(_ *testing.T, r *request) {
		r.settings = r.settings.With(name, change(r.settings.Get(name)))
	}
}

func setting(name string, values ...string) accident {
	return func(_ *testing.T, r *request) { r.settings = r.settings.With(name, values...) }
}

// then makes two accidents, one after the other.
func then(all ...accident) accident {
	return func(t *testing.T, r *request) {
		for _, a := range all {
			a(t, r)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asGoMap reads JSON into a map and writes it: sorted, with <, > and & escaped, numbers kept.
func asGoMap(t *testing.T, s string) string {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	must(t, d.Decode(&v))
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

// asSortedRaw is asGoMap without the escapes.
func asSortedRaw(t *testing.T, s string) string {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	must(t, d.Decode(&v))
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(t, e.Encode(v))
	return strings.TrimSuffix(b.String(), "\n")
}

func indented(prefix string) func(*testing.T, string) string {
	return func(t *testing.T, s string) string {
		var b bytes.Buffer
		must(t, json.Indent(&b, []byte(s), "", prefix))
		return b.String()
	}
}

func compacted(t *testing.T, s string) string {
	var b bytes.Buffer
	must(t, json.Compact(&b, []byte(s)))
	return b.String()
}

// likePython writes as json.dumps does: a blank behind commas and colons; escaped beyond ASCII when ascii is set.
func likePython(ascii bool) func(*testing.T, string) string {
	return func(t *testing.T, s string) string {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		var b strings.Builder
		pythonValue(t, d, &b, ascii)
		return b.String()
	}
}

func pythonValue(t *testing.T, d *json.Decoder, b *strings.Builder, ascii bool) {
	token, err := d.Token()
	must(t, err)
	switch v := token.(type) {
	case json.Delim:
		b.WriteString(v.String())
		for first := true; d.More(); first = false {
			if !first {
				b.WriteString(", ")
			}
			if v == '{' {
				name, err := d.Token()
				must(t, err)
				b.WriteString(pythonString(name.(string), ascii) + ": ")
			}
			pythonValue(t, d, b, ascii)
		}
		end, err := d.Token()
		must(t, err)
		b.WriteString(end.(json.Delim).String())
	case string:
		b.WriteString(pythonString(v, ascii))
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, v)
	}
}

func pythonString(s string, ascii bool) string {
	quoted := string(dialect.Quote(s))
	if !ascii {
		return quoted
	}
	return asciiOnly(quoted)
}

// asciiOnly writes every character beyond ASCII as \uXXXX.
func asciiOnly(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return b.String()
}

func upperEscapes(s string) string {
	parts := strings.Split(asciiOnly(s), `\u`)
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:4]) + parts[i][4:]
	}
	return strings.Join(parts, `\u`)
}

func phpSlashes(s string) string { return strings.ReplaceAll(s, "/", `\/`) }

func goHTML(s string) string {
	return strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(s)
}

func toGBK(s string) string {
	b, err := simplifiedchinese.GBK.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func asLatin1(s string) string {
	b, err := charmap.ISO8859_1.NewDecoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func gzipped(t *testing.T, s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(s))
	must(t, err)
	must(t, z.Close())
	return b.String()
}

func readLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "")
}

func addSlashes(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(s)
}

func hexToBase64(e *base64.Encoding) func(*testing.T, string) string {
	return func(t *testing.T, s string) string {
		b, err := hex.DecodeString(s)
		must(t, err)
		return e.EncodeToString(b)
	}
}

func base64ToHex(t *testing.T, s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	must(t, err)
	return hex.EncodeToString(b)
}

func base64URL(t *testing.T, s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	must(t, err)
	return base64.RawURLEncoding.EncodeToString(b)
}

func before(p string) func(*testing.T, string) string {
	return text(func(s string) string { return p + s })
}
func after(p string) func(*testing.T, string) string {
	return text(func(s string) string { return s + p })
}

func chunked(s string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s) }

func wrapped64(s string) string {
	var lines []string
	for line := range slices.Chunk([]byte(s), 64) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}

func asJSONParams(t *testing.T, r *request) {
	out := map[string][]string{}
	for name, values := range parsed(t, r.in.Body) {
		out[name] = values
	}
	b, err := json.Marshal(out)
	must(t, err)
	r.in.Body = b
}

func decodedWhole(t *testing.T, r *request) {
	s, err := url.QueryUnescape(string(r.in.Body))
	must(t, err)
	r.in.Body = []byte(s)
}

func toQuery(_ *testing.T, r *request) { r.in.Query, r.in.Body = string(r.in.Body), []byte("") }

// asMultipart sends the parameters of the form as a multipart form.
func asMultipart(t *testing.T, r *request) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, values := range parsed(t, r.in.Body) {
		must(t, w.WriteField(name, values[0]))
	}
	must(t, w.Close())
	r.in.Body = b.Bytes()
	r.in.Header = canonicalHeader(map[string]string{"Content-Type": w.FormDataContentType()})
}

func method(name string) accident { return func(_ *testing.T, r *request) { r.in.Method = name } }

func canonicalHeader(h map[string]string) http.Header {
	out := http.Header{}
	for k, v := range h {
		out.Set(k, v)
	}
	return out
}

func gbkDecoder(s string) (string, error) { return simplifiedchinese.GBK.NewDecoder().String(s) }

// publicOf is the public half of a private key, as the console shows it.
func publicOf(t *testing.T, private string) string {
	t.Helper()
	k, err := alipay.ParsePrivateKey(private)
	must(t, err)
	out, err := k.Public().SPKI()
	must(t, err)
	return out
}
