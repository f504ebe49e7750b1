package explain_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

var douyinCorpus = []row{
	{"douyin", "business", "read into a Go map and written", onBody(asGoMap), "json_order+json_escapes"},
	{"douyin", "business", "sorted", onBody(asSortedRaw), "json_order"},
	{"douyin", "business", "json.dumps", onBody(likePython(true)), "json_spacing+json_escapes"},
	{"douyin", "business", "json.dumps without ensure_ascii", onBody(likePython(false)), "json_spacing"},
	{"douyin", "business", "pretty with two blanks", onBody(indented("  ")), "json_spacing"},
	{"douyin", "business", "pretty with four blanks", onBody(indented("    ")), "json_spacing"},
	{"douyin", "business", "pretty with tabs", onBody(indented("\t")), "json_spacing"},
	{"douyin", "business", "beyond ASCII escaped", onBody(text(asciiOnly)), "json_escapes"},
	{"douyin", "business", "escaped in capitals", onBody(text(upperEscapes)), "json_escapes"},
	{"douyin", "business", "Go's HTML escapes", onBody(text(goHTML)), "json_escapes"},
	{"douyin", "business", "slashes escaped", onBody(text(phpSlashes)), "json_slashes"},
	{"douyin", "escaped", "escapes resolved", onBody(text(unescapeAll)), "json_escapes"},
	{"douyin", "upper", "escapes resolved", onBody(text(unescapeAll)), "json_escapes"},
	{"douyin", "upper", "escapes in lower case", onBody(text(func(s string) string { return asciiOnly(unescapeAll(s)) })), "json_escapes"},
	{"douyin", "php", "escapes resolved", onBody(text(func(s string) string { return strings.ReplaceAll(unescapeAll(s), `\/`, "/") })), "json_escapes"},
	{"douyin", "go", "HTML escapes resolved", onBody(text(unescapeAll)), "json_escapes"},
	{"douyin", "pretty", "line ends dropped by readLine", onBody(text(readLine)), "json_spacing"},
	{"douyin", "pretty", "compact", onBody(compacted), "json_spacing"},
	{"douyin", "pretty", "LF to CRLF", onBody(text(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })), "line_ends_changed|json_spacing"},
	{"douyin", "receive trailing_lf", "line end lost", onBody(text(strings.TrimSpace)), "line_end_lost"},
	{"douyin", "receive trailing_crlf", "line end lost", onBody(text(strings.TrimSpace)), "line_end_lost"},
	{"douyin", "receive pretty_crlf", "CRLF to LF", onBody(text(func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") })), "line_ends_changed|json_spacing"},
	{"douyin", "business", "line end added", onBody(after("\n")), "line_end_added"},
	{"douyin", "business", "CRLF added", onBody(after("\r\n")), "line_end_added"},
	{"douyin", "business", "blanks around", onBody(text(func(s string) string { return "  " + s + " \n" })), "blanks_added"},
	{"douyin", "business", "byte order mark", onBody(before("\ufeff")), "bom_added"},
	{"douyin", "business", "NUL bytes of a buffer", onBody(after("\x00\x00\x00")), "nul_added"},
	{"douyin", "business", "to GBK", onBody(text(toGBK)), "charset_transcoded"},
	{"douyin", "business", "read as Latin-1", onBody(text(asLatin1)), "charset_mistaken"},
	{"douyin", "business", "HTML entities", onBody(text(html.EscapeString)), "html_escaped"},
	{"douyin", "business", "slashes added", onBody(text(addSlashes)), "slashes_added"},
	{"douyin", "business", "made a JSON string", onBody(text(func(s string) string { return string(dialect.Quote(s)) })), "json_twice"},
	{"douyin", "business", "percent-encoded", onBody(text(url.QueryEscape)), "url_encoded"},
	{"douyin", "business", "plus lost", onBody(text(func(s string) string { return strings.ReplaceAll(s, "+", " ") })), "plus_lost"},
	{"douyin", "business", "as the name of a parameter", onBody(text(func(s string) string { return url.QueryEscape(s) + "=" })), "form_wrapped"},
	{"douyin", "business", "base64 by a gateway", onBody(text(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })), "base64_body"},
	{"douyin", "business", "twice", onBody(text(func(s string) string { return s + s })), "body_twice|body_appended"},
	{"douyin", "business", "something appended", onBody(after(`{"ok":true}`)), "body_appended"},
	{"douyin", "business", "gzip", onBody(gzipped), "compressed"},
	{"douyin", "business", "chunks", onBody(text(chunked)), "chunked"},
	{"douyin", "business", "last brace cut", onBody(text(func(s string) string { return s[:len(s)-1] })), "body_truncated"},
	{"douyin", "business", "signature in base64", onHeader(dySig, hexToBase64(base64.StdEncoding)), "signature_encoding"},
	{"douyin", "business", "signature in base64url", onHeader(dySig, hexToBase64(base64.RawURLEncoding)), "signature_encoding"},
	{"douyin", "business", "signature in capitals", onHeader(dySig, text(strings.ToUpper)), "signature_case|signature_encoding"},
	{"douyin", "business", "signature with sha1=", onHeader(dySig, before("sha1=")), "signature_prefix"},
	{"douyin", "business", "signature quoted", onHeader(dySig, text(func(s string) string { return `"` + s + `"` })), "signature_quotes"},
	{"douyin", "business", "signature base64 of hex", onHeader(dySig, text(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })), "signature_twice"},
	{"douyin", "business", "signature cut", onHeader(dySig, text(func(s string) string { return s[:32] })), "signature_truncated"},
	{"douyin", "business", "signature under another name", renameHeader(dySig, "X-Signature"), "signature_name"},
	{"douyin", "business", "HMAC-SHA256", resign(dySig, func(b string) string { return hex.EncodeToString(mac(sha256.New, secret, b)) }), "algorithm_other"},
	{"douyin", "business", "HMAC-SHA1", resign(dySig, func(b string) string { return hex.EncodeToString(mac(sha1.New, secret, b)) }), "algorithm_other"},
	{"douyin", "business", "SHA-256", resign(dySig, func(b string) string { return hex.EncodeToString(sum(sha256.New(), secret+b)) }), "algorithm_other"},
	{"douyin", "business", "MD5", resign(dySig, func(b string) string { return hex.EncodeToString(sum(md5.New(), secret+b)) }), "algorithm_other"},
	{"douyin", "business", "secret behind the body", resign(dySig, func(b string) string { return hex.EncodeToString(sum(sha1.New(), b+secret)) }), "algorithm_other"},
	{"douyin", "business", "content alone signed", resign(dySig, func(string) string { return hex.EncodeToString(sum(sha1.New(), secret+business)) }), "text_member"},
	{"douyin", "pretty", "signed without line ends", resign(dySig, func(b string) string { return hex.EncodeToString(sum(sha1.New(), secret+readLine(b))) }), "text_no_line_ends"},
	{"douyin", "business", "secret with a line end", onSetting("client_secret", func(s string) string { return s + "\n" }), "secret_blanks"},
	{"douyin", "business", "secret in quotes", onSetting("client_secret", func(s string) string { return `"` + s + `"` }), "secret_quotes"},
	{"douyin", "business", "secret with a zero-width blank", onSetting("client_secret", func(s string) string { return s[:9] + "\u200b" + s[9:] }), "secret_invisible"},
	{"douyin", "business", "secret with a byte order mark", onSetting("client_secret", func(s string) string { return "\ufeff" + s }), "secret_invisible"},
	{"douyin", "business", "secret with its name", onSetting("client_secret", func(s string) string { return "CLIENT_SECRET=" + s }), "secret_named"},
	{"douyin", "business", "secret in capitals", onSetting("client_secret", strings.ToUpper), "secret_case"},
	{"douyin", "business", "secret in base64", onSetting("client_secret", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }), "secret_encoded"},
	{"douyin", "business", "two secrets in one value", onSetting("client_secret", func(s string) string { return another + "," + s }), "secret_several"},
	{"douyin", "business", "key and secret exchanged", then(setting("client_key", secret), setting("client_secret", "aw1234567890")), "secret_field+account_other"},
	{"douyin", "business", "another client_key set", setting("client_key", "aw2"), "account_other"},
	{"douyin", "business", "redirected to GET", method("GET"), "method"},
	{"douyin", "business", "secret with a line end, HMAC-SHA256", then(resign(dySig, func(b string) string { return hex.EncodeToString(mac(sha256.New, secret, b)) }), onSetting("client_secret", func(s string) string { return s + "\n" })), "secret_blanks+algorithm_other"},
	{"douyin", "business", "content parsed", unpackedMember("content"), "json_unpacked"},
	{"douyin", "business", "base64 signature, line end added", then(onHeader(dySig, hexToBase64(base64.StdEncoding)), onBody(after("\n"))), "signature_encoding+line_end_added"},
	{"douyin", "business", "sha1= and json.dumps", then(onHeader(dySig, before("sha1=")), onBody(likePython(true))), "signature_prefix+json_spacing+json_escapes"},
	{"douyin", "business", "secret with a line end, body with one", then(onSetting("client_secret", func(s string) string { return s + "\n" }), onBody(after("\n"))), "secret_blanks+line_end_added"},
	{"douyin", "business", "secret with a blank, body sorted", then(onSetting("client_secret", func(s string) string { return s + " " }), onBody(asSortedRaw)), "secret_blanks+json_order"},
	{"douyin", "business", "byte order mark and pretty", onBody(func(t *testing.T, s string) string { return "\ufeff" + indented("  ")(t, s) }), "bom_added+json_spacing"},
	{"douyin", "business", "read as Latin-1, line end added", onBody(text(func(s string) string { return asLatin1(s) + "\n" })), "line_end_added+charset_mistaken"},
}

func unescapeAll(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if strings.HasPrefix(s, `\\`) {
			b.WriteString(`\\`)
			s = s[2:]
			continue
		}
		if strings.HasPrefix(s, `\u`) {
			n := 6
			if strings.HasPrefix(strings.ToLower(s), `\ud8`) {
				n = 12
			}
			var r string
			if json.Unmarshal([]byte(`"`+s[:n]+`"`), &r) == nil {
				b.WriteString(r)
				s = s[n:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// signedPandaPon signs the inner text as a machine's charset writes it.
func signedPandaPon(charset func(string) string) accident {
	return onHeader("Authorization", func(*testing.T, string) string {
		return hex.EncodeToString(mac(sha256.New, secret, charset(business)))
	})
}

func questions(s string) string {
	return strings.Map(func(c rune) rune {
		if c > '~' {
			return '?'
		}
		return c
	}, s)
}

var pandaponCorpus = []row{
	{"pandapon", "business", "messageBody into a Go map", onMember("messageBody", asGoMap), "?json_sorted"},
	{"pandapon", "business", "messageBody by json.dumps", onMember("messageBody", likePython(true)), "json_spacing+json_escapes"},
	{"pandapon", "business", "signed by getBytes() on a machine with GBK", signedPandaPon(toGBK), "text_charset"},
	{"pandapon", "business", "signed by getBytes() on a machine with ASCII", signedPandaPon(questions), "text_charset"},
	{"pandapon", "business", "messageBody pretty", onMember("messageBody", indented("  ")), "json_spacing"},
	{"pandapon", "spaced", "messageBody compact", onMember("messageBody", compacted), "json_spacing"},
	{"pandapon", "escaped", "messageBody with escapes resolved", onMember("messageBody", text(unescapeAll)), "json_escapes"},
	{"pandapon", "business", "messageBody with slashes escaped", onMember("messageBody", text(phpSlashes)), "json_slashes"},
	{"pandapon", "newline", "messageBody trimmed", onMember("messageBody", text(strings.TrimSpace)), "line_end_lost"},
	{"pandapon", "business", "messageBody with a line end", onMember("messageBody", after("\n")), "line_end_added"},
	{"pandapon", "business", "messageBody as an object", unpackedMember("messageBody"), "json_unpacked"},
	{"pandapon", "business", "messageBody in HTML entities", onMember("messageBody", text(html.EscapeString)), "html_escaped"},
	{"pandapon", "business", "messageBody read as Latin-1", onMember("messageBody", text(asLatin1)), "charset_mistaken"},
	{"pandapon", "business", "body to GBK", onBody(text(toGBK)), "charset_transcoded"},
	{"pandapon", "business", "body with a byte order mark", onBody(before("\ufeff")), "bom_added"},
	{"pandapon", "business", "body made a JSON string", onBody(text(func(s string) string { return string(dialect.Quote(s)) })), "json_twice"},
	{"pandapon", "business", "plus lost", onMember("messageBody", text(func(s string) string { return strings.ReplaceAll(s, "+", " ") })), "plus_lost"},
	{"pandapon", "business", "signature in base64", onHeader(ppSig, hexToBase64(base64.StdEncoding)), "signature_encoding"},
	{"pandapon", "business", "signature with Bearer", onHeader(ppSig, before("Bearer ")), "signature_prefix"},
	{"pandapon", "business", "signature with HMAC-SHA256", onHeader(ppSig, before("HMAC-SHA256 ")), "signature_prefix"},
	{"pandapon", "business", "signature in quotes", onHeader(ppSig, text(func(s string) string { return `"` + s + `"` })), "signature_quotes"},
	{"pandapon", "business", "signature renamed by a proxy", renameHeader(ppSig, "X-Forwarded-Authorization"), "signature_name"},
	{"pandapon", "business", "whole body signed", resign(ppSig, func(b string) string { return hex.EncodeToString(mac(sha256.New, secret, b)) }), "text_body"},
	{"pandapon", "business", "HMAC-SHA1", resign(ppSig, func(string) string { return hex.EncodeToString(mac(sha1.New, secret, business)) }), "algorithm_other"},
	{"pandapon", "business", "HMAC-MD5", resign(ppSig, func(string) string { return hex.EncodeToString(mac(md5.New, secret, business)) }), "algorithm_other"},
	{"pandapon", "business", "plain SHA-256", resign(ppSig, func(string) string { return hex.EncodeToString(sum(sha256.New(), secret+business)) }), "algorithm_other"},
	{"pandapon", "business", "the JSON string signed with its quotes", resign(ppSig, func(string) string {
		return hex.EncodeToString(mac(sha256.New, secret, string(dialect.Quote(business))))
	}), "text_quoted"},
	{"pandapon", "business", "signed with the time before", resign(ppSig, func(string) string {
		return hex.EncodeToString(mac(sha256.New, secret, "1760000000000"+business))
	}), "text_more"},
	{"pandapon", "business", "secret read as hex", resign(ppSig, func(string) string {
		key, _ := hex.DecodeString(secret)
		return hex.EncodeToString(mac(sha256.New, string(key), business))
	}), "secret_raw|secret_encoded"},
	{"pandapon", "business", "secret empty at the sender", resign(ppSig, func(string) string { return hex.EncodeToString(mac(sha256.New, "", business)) }), "secret_empty"},
	{"pandapon", "business", "secret with blanks", onSetting("access_secret", func(s string) string { return " " + s + " " }), "secret_blanks"},
	{"pandapon", "business", "secret in hex", onSetting("access_secret", func(s string) string { return hex.EncodeToString([]byte(s)) }), "secret_encoded"},
	{"pandapon", "business", "secret with an escaped line end", onSetting("access_secret", func(s string) string { return s + `\n` }), "secret_escape"},
	{"pandapon", "business", "base64 signature, messageBody pretty", then(onHeader(ppSig, hexToBase64(base64.StdEncoding)), onMember("messageBody", indented("  "))), "signature_encoding+json_spacing"},
	{"pandapon", "business", "Bearer and a secret with a blank", then(onHeader(ppSig, before("Bearer ")), onSetting("access_secret", func(s string) string { return s + " " })), "secret_blanks+signature_prefix"},
	{"pandapon", "spaced", "messageBody as an object of another spacing", func(t *testing.T, r *request) {
		unpackedMember("messageBody")(t, r)
		onBody(compacted)(t, r)
	}, "json_unpacked+json_spacing"},
	{"pandapon", "business", "whole body signed in base64", func(t *testing.T, r *request) {
		resign(ppSig, func(b string) string { return base64.StdEncoding.EncodeToString(mac(sha256.New, secret, b)) })(t, r)
	}, "text_body|signature_encoding+text_body"},
}

// unpackedMember puts the object that a string holds in the place of the string.
func unpackedMember(name string) accident {
	return func(t *testing.T, r *request) {
		var members map[string]json.RawMessage
		must(t, json.Unmarshal(r.in.Body, &members))
		var value string
		must(t, json.Unmarshal(members[name], &value))
		r.in.Body = []byte(strings.Replace(string(r.in.Body), string(dialect.Quote(value)), value, 1))
	}
}

var standardCorpus = []row{
	{"standard", "webhook", "into a Go map", onBody(asGoMap), "?json_sorted"},
	{"standard", "webhook", "json.dumps", onBody(likePython(true)), "json_spacing+json_escapes"},
	{"standard", "webhook", "pretty", onBody(indented("    ")), "json_spacing"},
	{"standard", "spaced", "compact", onBody(compacted), "json_spacing"},
	{"standard", "python", "JSON.stringify", onBody(func(t *testing.T, s string) string { return unescapeAll(compacted(t, s)) }), "json_spacing+json_escapes"},
	{"standard", "pretty", "compact", onBody(compacted), "json_spacing"},
	{"standard", "newline", "trimmed", onBody(text(strings.TrimSpace)), "line_end_lost|json_spacing"},
	{"standard", "float", "12.0 became 12", onBody(text(func(s string) string { return strings.ReplaceAll(s, ".0", "") })), "json_numbers"},
	{"standard", "webhook", "12.50 became 12.5", onBody(text(func(s string) string { return strings.Replace(s, "12.50", "12.5", 1) })), "json_numbers"},
	{"standard", "webhook", "whole numbers became floats", onBody(text(func(s string) string {
		return strings.NewReplacer(`"z":1`, `"z":1.0`, `"a":2`, `"a":2.0`).Replace(s)
	})), "json_numbers"},
	{"standard", "webhook", "slashes escaped", onBody(text(phpSlashes)), "json_slashes"},
	{"standard", "webhook", "signature without its version", onHeader(stdSig, text(func(s string) string { return strings.TrimPrefix(s, "v1,") })), "signature_prefix"},
	{"standard", "webhook", "signature with v1=", onHeader(stdSig, text(func(s string) string { return strings.Replace(s, "v1,", "v1=", 1) })), "signature_prefix"},
	{"standard", "webhook", "signature in hex", onHeader(stdSig, func(t *testing.T, s string) string { return "v1," + base64ToHex(t, s[3:]) }), "signature_encoding"},
	{"standard", "webhook", "signature in base64url", onHeader(stdSig, func(t *testing.T, s string) string { return "v1," + base64URL(t, s[3:]) }), "signature_encoding"},
	{"standard", "webhook", "body alone signed", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, keyOf(whsec), b))
	}), "text_body"},
	{"standard", "webhook", "time and body signed", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, keyOf(whsec), "1767225600."+b))
	}), "text_less"},
	{"standard", "webhook", "secret not decoded", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, whsec, "msg_1.1767225600."+b))
	}), "secret_raw|secret_prefix"},
	{"standard", "webhook", "HMAC-SHA1", resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha1.New, keyOf(whsec), "msg_1.1767225600."+b))
	}), "algorithm_other"},
	{"standard", "webhook", "secret without whsec_", onSetting("secret", func(s string) string { return strings.TrimPrefix(s, "whsec_") }), "secret_prefix"},
	{"standard", "webhook", "secret with a line end", onSetting("secret", func(s string) string { return s + "\r\n" }), "secret_blanks"},
	{"standard", "webhook", "the other names of headers allowed", setting("headers", "svix"), "setting_choice"},
	{"standard", "webhook", "time in milliseconds", onHeader("Webhook-Timestamp", after("000")), "time_unit"},
	{"standard", "webhook", "time in milliseconds, signed so", then(onHeader("Webhook-Timestamp", after("000")), resign(stdSig, func(b string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, keyOf(whsec), "msg_1.1767225600000."+b))
	})), "time_unit"},
	{"standard", "webhook", "a day old", func(_ *testing.T, r *request) { r.in.Now = r.in.Now.Add(25*time.Hour + 7*time.Minute) }, "time_far"},
	{"standard", "webhook", "clock of another zone", func(_ *testing.T, r *request) { r.in.Now = r.in.Now.Add(8 * time.Hour) }, "time_far"},
	{"standard", "webhook", "old and rewritten", func(t *testing.T, r *request) {
		onBody(likePython(false))(t, r)
		r.in.Now = r.in.Now.Add(25*time.Hour + 7*time.Minute)
	}, "json_spacing+time_far"},
	{"standard", "webhook", "secret without whsec_, body with a line end", then(onSetting("secret", func(s string) string { return strings.TrimPrefix(s, "whsec_") }), onBody(after("\n"))), "secret_prefix+line_end_added|secret_prefix+json_spacing"},
	{"standard", "webhook", "hex and json.dumps", then(onHeader(stdSig, func(t *testing.T, s string) string { return "v1," + base64ToHex(t, s[3:]) }), onBody(likePython(false))), "signature_encoding+json_spacing"},
}

func keyOf(secret string) string {
	b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	return string(b)
}

var alipayCorpus = []row{
	{"alipay", "message seed-1", "plus of the signature not encoded", onBody(text(func(s string) string { return strings.ReplaceAll(s, "%2B", "+") })), "plus_lost"},
	{"alipay", "negative sign-plus-not-encoded", "as it is", nil, "plus_lost"},
	{"alipay", "negative double-decoded", "as it is", nil, "url_decoded"},
	{"alipay", "negative html-escaped", "as it is", nil, "html_escaped"},
	{"alipay", "negative backslash-escaped", "as it is", nil, "slashes_added"},
	{"alipay", "negative gbk-as-utf8", "as it is", nil, "charset_transcoded"},
	{"alipay", "negative sign-wrapped", "as it is", nil, "signature_blanks"},
	{"alipay", "negative duplicate-param", "as it is", nil, "param_twice|param_added"},
	{"alipay", "negative extra-query-param", "as it is", nil, "param_added"},
	{"alipay", "negative reserialised-json", "as it is", nil, "json_spacing+json_escapes"},
	{"alipay", "negative sign-truncated-padding", "as it is", nil, "signature_padding|signature_encoding"},
	{"alipay", "message specials", "the whole form decoded first", decodedWhole, "form_decoded"},
	{"alipay", "message seed-2", "the whole form decoded first", decodedWhole, "form_decoded|plus_lost|form_decoded+plus_lost"},
	{"alipay", "message seed-2", "kept as JSON", asJSONParams, "form_as_json"},
	{"alipay", "message seed-2", "encoded twice", onEveryParam(url.QueryEscape), "url_encoded"},
	{"alipay", "message specials", "encoded twice", onEveryParam(url.QueryEscape), "url_encoded"},
	{"alipay", "message seed-2", "biz_content in HTML entities", onParam("biz_content", text(html.EscapeString)), "html_escaped"},
	{"alipay", "message seed-2", "biz_content with slashes added", onParam("biz_content", text(addSlashes)), "slashes_added|json_twice"},
	{"alipay", "message seed-2", "biz_content by json.dumps", onParam("biz_content", likePython(false)), "json_spacing"},
	{"alipay", "message pretty-json", "biz_content compact", onParam("biz_content", compacted), "json_spacing"},
	{"alipay", "message seed-6", "biz_content read as Latin-1", onParam("biz_content", text(asLatin1)), "charset_mistaken"},
	{"alipay", "message gbk", "converted to UTF-8", onEveryParam(fromGBK), "charset_transcoded"},
	{"alipay", "message seed-2", "the framework adds a route", onForm(func(f url.Values) { f.Set("s", "/notify/index") }), "param_added"},
	{"alipay", "message seed-2", "the framework adds two", onForm(func(f url.Values) { f.Set("tenant", "1"); f.Set("page", "x") }), "param_added"},
	{"alipay", "message empty-value", "empty value dropped", onForm(dropEmpty), "param_empty"},
	{"alipay", "message seed-2", "an empty value that was not signed", onForm(func(f url.Values) { f.Set("msg_uid", "") }), "param_empty_added"},
	{"alipay", "message seed-2", "version dropped by a fixed struct", onForm(func(f url.Values) { f.Del("version") }), "param_lost"},
	{"alipay", "message seed-2", "sign_type dropped", onForm(func(f url.Values) { f.Del("sign_type") }), "param_lost|algorithm_other"},
	{"alipay", "message seed-2", "charset dropped", onForm(func(f url.Values) { f.Del("charset") }), "param_lost"},
	{"alipay", "message seed-2", "names in camelCase", onForm(camel), "param_name"},
	{"alipay", "message seed-2", "moved to the query", toQuery, "query_moved"},
	{"alipay", "message seed-2", "sign with line ends", onParam("sign", text(wrapped64)), "signature_blanks"},
	{"alipay", "message seed-2", "sign in hex", onParam("sign", base64ToHex), "signature_encoding"},
	{"alipay", "message seed-2", "sign in base64url", onParam("sign", base64URL), "signature_encoding"},
	{"alipay", "message seed-2", "sign encoded twice", onParam("sign", text(url.QueryEscape)), "signature_escaped"},
	{"alipay", "message seed-2", "RSA named instead of RSA2", onParam("sign_type", text(func(string) string { return "RSA" })), "algorithm_other"},
	{"alipay", "message rsa-sha1", "RSA2 named instead of RSA", onParam("sign_type", text(func(string) string { return "RSA2" })), "algorithm_other"},
	{"alipay", "message v2-signed-message", "judged by V1", setting("rule_overrides"), "alipay_rule"},
	{"alipay", "message seed-2", "judged by V2", func(_ *testing.T, r *request) {
		form, _ := url.ParseQuery(string(r.in.Body))
		r.settings = r.settings.With("rule_overrides", form.Get("msg_method")+"=V2")
	}, "alipay_rule"},
	{"alipay", "alipay_cert_sn not signed", "as it is", nil, "alipay_cert_sn|param_added"},
	{"alipay", "message seed-2", "another algorithm set", setting("sign_type", "RSA"), "algorithm_other"},
	{"alipay", "message seed-2", "another application set", setting("app_id", "2099000000000000"), "account_other"},
	{"alipay", "message seed-2", "charset rewritten", onParam("charset", text(strings.ToLower)), "charset_name"},
	{"alipay", "message seed-2", "a route added, biz_content by json.dumps", then(onForm(func(f url.Values) { f.Set("s", "/x") }), onParam("biz_content", likePython(false))), "param_added+json_spacing"},
	{"alipay", "message seed-2", "sign in hex, a route added", then(onParam("sign", base64ToHex), onForm(func(f url.Values) { f.Set("s", "/x") })), "signature_encoding+param_added"},
	{"alipay", "message seed-2", "RSA named, HTML entities", then(onParam("sign_type", text(func(string) string { return "RSA" })), onParam("biz_content", text(html.EscapeString))), "algorithm_other+html_escaped"},
	{"alipay", "message seed-2", "sent as multipart", asMultipart, "multipart"},
	{"alipay", "message seed-2", "opened in a browser", then(toQuery, func(_ *testing.T, r *request) { r.in.Method = "GET" }), "method+query_moved"},
	{"alipay", "message specials", "decodeURIComponent of the whole form", onBody(text(func(s string) string {
		out, _ := url.PathUnescape(s)
		return out
	})), "form_decoded|form_decoded+plus_lost"},
	{"alipay", "message seed-2", "every plus sign of the values lost", onEveryParam(func(s string) string { return strings.ReplaceAll(s, "+", " ") }), "plus_lost"},
	{"alipay", "gateway check without app_private_key", "as it is", nil, "setting_answer"},
	{"alipay", "gateway check answered", "judged by V1", setting("rule_overrides", "alipay.service.check=V1"), "alipay_rule"},
	{"alipay", "private key pasted as public", "as it is", nil, "?setting_problem"},
	{"alipay", "broken key", "as it is", nil, "?setting_problem"},
	{"alipay", "no key", "as it is", nil, "?setting_problem"},
	{"alipay", "message seed-2", "key with its end missing", onSetting("alipay_public_key", func(s string) string { return s[:len(s)/2] }), "?setting_problem"},
	{"alipay", "message seed-2", "key after its name", onSetting("alipay_public_key", func(s string) string { return "ALIPAY_PUBLIC_KEY=" + strings.TrimSpace(s) }), "secret_named"},
	{"alipay", "message seed-2", "a year old", func(_ *testing.T, r *request) { r.in.Now = r.in.Now.AddDate(1, 0, 0) }, "time_far"},
}

func fromGBK(s string) string {
	out, err := gbkDecoder(s)
	if err != nil {
		panic(err)
	}
	return out
}

func dropEmpty(f url.Values) {
	for name := range f {
		if f.Get(name) == "" {
			f.Del(name)
		}
	}
}

func camel(f url.Values) {
	for name, v := range f {
		parts := strings.Split(name, "_")
		for i, p := range parts[1:] {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
		f.Del(name)
		f[strings.Join(parts, "")] = v
	}
}

var yunzhimengCorpus = []row{
	{"yunzhimeng", yzmBody, "json.dumps", onBody(likePython(false)), "json_spacing"},
	{"yunzhimeng", yzmBody, "pretty", onBody(indented("  ")), "json_spacing"},
	{"yunzhimeng", yzmBody, "line end added", onBody(after("\n")), "line_end_added"},
	{"yunzhimeng", yzmBase, "beyond ASCII escaped", onBody(text(asciiOnly)), "json_escapes"},
	{"yunzhimeng", yzmBase, "to GBK", onBody(text(toGBK)), "charset_transcoded"},
	{"yunzhimeng", yzmBase, "read as Latin-1", onBody(text(asLatin1)), "charset_mistaken"},
	{"yunzhimeng", yzmBody, "byte order mark", onBody(before("\ufeff")), "bom_added"},
	{"yunzhimeng", yzmBody, "signature in hex", onHeader(yzmSig, base64ToHex), "signature_encoding|setting_choice"},
	{"yunzhimeng", yzmBody, "signature in base64url", onHeader(yzmSig, base64URL), "signature_encoding"},
	{"yunzhimeng", yzmBody, "signature with blanks", onHeader(yzmSig, text(func(s string) string { return s[:20] + " " + s[20:] })), "signature_blanks"},
	{"yunzhimeng", yzmBody, "signature percent-encoded", onHeader(yzmSig, text(url.QueryEscape)), "signature_escaped"},
	{"yunzhimeng", yzmBody, "plus of the signature lost", onHeader(yzmSig, text(func(s string) string { return strings.ReplaceAll(s, "+", " ") })), "plus_lost"},
	{"yunzhimeng", yzmBody, "another form of text set", setting("signed_text", "lines"), "setting_choice"},
	{"yunzhimeng", yzmBody, "another encoding set", setting("signature_encoding", "raw_hex"), "setting_choice"},
	{"yunzhimeng", yzmBody, "another algorithm set", setting("signature_algorithm", "SHA1withECDSA"), "setting_choice"},
	{"yunzhimeng", yzmBody, "a day late beyond the memory", func(_ *testing.T, r *request) { r.in.Now = r.in.Now.AddDate(0, 1, 0) }, "time_far"},
	{"yunzhimeng", yzmBody, "key in another setting", func(_ *testing.T, r *request) {
		r.settings = r.settings.With("sign_public_key", r.settings.Get("ivs_public_key")).With("ivs_public_key", otherKey)
	}, "secret_field"},
	{"yunzhimeng", yzmBody, "signature under another name", renameHeader(yzmSig, "X-Sign"), "signature_name"},
	{"yunzhimeng", yzmBody, "form of text and encoding set otherwise", then(setting("signed_text", "body"), setting("signature_encoding", "der_hex")), "setting_choice"},
	{"yunzhimeng", yzmBody, "hex and a line end", then(onHeader(yzmSig, base64ToHex), onBody(after("\n"))), "signature_encoding+line_end_added"},
}

// otherKey is a key on P-256 that signed nothing here.
const otherKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="

var otherCorpus = []row{
	{"aop1688", "receive order_pay", "message by json.dumps", onParam("message", likePython(false)), "json_spacing"},
	{"aop1688", "receive order_pay", "a parameter added", onForm(func(f url.Values) { f.Set("route", "x") }), "param_added"},
	{"aop1688", "receive order_pay", "signature in base64", onParam("_aop_signature", hexToBase64(base64.StdEncoding)), "signature_encoding"},
	{"aop1688", "receive order_pay", "joined in the order of the names", func(t *testing.T, r *request) {
		message := parsed(t, r.in.Body).Get("message")
		sig := hex.EncodeToString(mac(sha1.New, r.settings.Get("app_secret"), "abz"+"abc"+"message"+message))
		r.in.Body = []byte("message=" + url.QueryEscape(message) + "&ab=c&a=bz&_aop_signature=" + strings.ToUpper(sig))
	}, "text_order"},
	{"aop1688", "receive order_pay", "secret with a blank", onSetting("app_secret", func(s string) string { return s + " " }), "secret_blanks"},
	{"aop1688", "receive order_pay", "a parameter in the registered address", func(_ *testing.T, r *request) { r.in.Query = "tenant=1" }, "param_added"},
	{"aop1688", "receive order_pay", "secret in quotes, message by json.dumps", then(onSetting("app_secret", func(s string) string { return "'" + s + "'" }), onParam("message", likePython(false))), "secret_quotes+json_spacing"},
	{"douyinspi", "receive basic", "a parameter in the registered address", func(_ *testing.T, r *request) { r.in.Query += "&tenant=1" }, "param_added"},
	{"douyinspi", "receive basic", "line end added", onBody(after("\n")), "line_end_added"},
	{"douyinspi", "receive basic", "signature in capitals", onHeader("X-Life-Sign", text(strings.ToUpper)), "signature_case"},
	{"douyinspi", "receive encoded_param_value signed encoded", "judged decoded", setting("param_values"), "setting_choice"},
	{"douyinmini", "receive payment", "line end added", onBody(after("\n")), "line_end_added"},
	{"douyinmini", "receive payment", "json.dumps", onBody(likePython(false)), "json_spacing"},
	{"douyinmini", "receive payment", "signature in hex", onHeader("Byte-Signature", base64ToHex), "signature_encoding"},
	{"douyinmini", "receive payment", "the older scheme set", setting("scheme", "legacy"), "setting_choice"},
	{"douyinmini", "receive payment", "time in milliseconds", onHeader("Byte-Timestamp", after("000")), "time_unit"},
}
