package explain_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
)

// signedDouyin has the sender sign another text, or with another secret.
func signedDouyin(secret string, change func(string) string) accident {
	return resign(dySig, func(b string) string { return hex.EncodeToString(sum(sha1.New(), secret+change(b))) })
}

func same(s string) string { return s }

func toUTF16(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

// escapedValues has a sender of 1688 sign its parameters as they stand in the form.
func escapedValues(t *testing.T, r *request) {
	text := ""
	for name, values := range parsed(t, r.in.Body) {
		if name != "_aop_signature" {
			text += name + url.QueryEscape(values[0]) // order_pay has one parameter beside the signature
		}
	}
	signature := strings.ToUpper(hex.EncodeToString(mac(sha1.New, r.settings.Get("app_secret"), text)))
	onParam("_aop_signature", func(*testing.T, string) string { return signature })(t, r)
}

// restCorpus has what no other row breaks.
var restCorpus = []row{
	{"standard", "webhook", "signed with a byte order mark that was lost", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, keyOf(whsec), "msg_1.1767225600.\ufeff"+b))
	}), "bom_lost"},
	{"douyin", "business", "to UTF-16", onBody(text(toUTF16)), "charset_utf16"},
	{"douyin", "business", "HTML entities resolved", signedDouyin(secret, func(s string) string { return strings.ReplaceAll(s, "&", "&amp;") }), "html_unescaped"},
	{"douyin", "business", "sender's secret ends a line", signedDouyin(secret+"\n", same), "secret_line_end"},
	{"douyin", "business", "sender's secret ends a line of Windows", signedDouyin(secret+"\r\n", same), "secret_line_end"},
	{"douyin", "business", "sender's secret is the hex of ours", signedDouyin(hex.EncodeToString([]byte(secret)), same), "secret_decoded"},
	{"douyin", "business", "sender's secret is the base64 of ours", signedDouyin(base64.StdEncoding.EncodeToString([]byte(secret)), same), "secret_decoded"},
	{"standard", "webhook", "signed without full stops", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, keyOf(whsec), "msg_11767225600"+b))
	}), "text_joint"},
	{"aop1688", "receive order_pay", "percent-encoded values signed", escapedValues, "text_escaped|form_decoded"},
	{"alipay", "message seed-1", "each value in a list", onEveryParam(func(s string) string { return "[" + string(dialect.Quote(s)) + "]" }), "json_list"},
	{"alipay", "message seed-1", "parameters joined by semicolons", onBody(text(func(s string) string { return strings.ReplaceAll(s, "&", ";") })), "form_joint"},
}

// TestEveryCauseHasARow wants each cause of the catalogue in a row or in a test of its own, so that a rule that is lost makes a test fail.
func TestEveryCauseHasARow(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	var tests strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		tests.Write(b)
	}
	for code := range explain.Codes() {
		if !regexp.MustCompile(`\b` + code + `\b`).MatchString(tests.String()) {
			t.Errorf("nothing breaks a request by %s", code)
		}
	}
}
