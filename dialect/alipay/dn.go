package alipay

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// The attribute types that RFC 2253 has keywords for. Java prints every other type as its dotted identifier.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
	"2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// The suffix tells encoding/asn1 that it is a SET.
type attributeSET []attribute

// javaName prints a name as Java's X500Principal.getName does (RFC 2253): the last part first, parts joined by commas
// and the attributes of one part by plus signs, known types by keyword, and values of other types as # and the hex of
// their DER. crypto/x509/pkix prints another text.
func javaName(der []byte) (string, error) {
	var parts []attributeSET
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 {
		return "", errors.New("is not readable")
	}
	texts := make([]string, 0, len(parts))
	for _, part := range slices.Backward(parts) {
		attrs := make([]string, 0, len(part))
		for _, a := range part {
			attrs = append(attrs, a.java())
		}
		texts = append(texts, strings.Join(attrs, "+"))
	}
	return strings.Join(texts, ","), nil
}

func (a attribute) java() string {
	keyword, known := keywords[a.Type.String()]
	if !known {
		return a.Type.String() + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	switch a.Value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString:
		// Java reads the bytes of every string type as UTF-8.
		return keyword + "=" + escapeName(strings.ToValidUTF8(string(a.Value.Bytes), "\ufffd"))
	}
	return keyword + "=#" + hex.EncodeToString(a.Value.FullBytes)
}

// escapeName puts a backslash before the special characters, and before each blank at either end.
func escapeName(s string) string {
	isBlank := func(c byte) bool { return c == ' ' || c == '\r' }
	lead, trail := 0, len(s)
	for lead < len(s) && isBlank(s[lead]) {
		lead++
	}
	for trail > lead && isBlank(s[trail-1]) {
		trail--
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(`,=+<>#;"\`, c) >= 0, i < lead, i >= trail:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == 0:
			b.WriteString(`\00`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
