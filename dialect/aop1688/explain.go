package aop1688

import (
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.ParamPlace(signatureParam),
	Write:     func(mac []byte) string { return strings.ToUpper(hex.EncodeToString(mac)) },
	Signed:    []dialect.Place{dialect.ParamPlace(messageParam), dialect.BodyPlace()},
	Form:      true,
	Names:     []string{messageParam, signatureParam},
	Keys:      []string{"app_secret"},
	MAC:       &dialect.MAC{Hash: "hmac-sha1", Texts: signedTexts},
}

// signedTexts are the joined parameters, and what people join otherwise: as name=value with &, in the order of names, as
// they stand in the form, or the message alone.
func signedTexts(_ dialect.Settings, in dialect.Inbound) []dialect.SignedText {
	params, err := parseForm(in.Query, string(in.Body))
	if err != nil {
		return nil
	}
	texts := []dialect.SignedText{{Text: []byte(signedText(params))}}
	params = slices.DeleteFunc(params, func(p param) bool { return p.name == signatureParam })
	var asSent, escaped strings.Builder
	for _, p := range params {
		asSent.WriteString(p.name + p.value)
		escaped.WriteString(p.name + url.QueryEscape(p.value))
	}
	slices.SortFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	var pairs, byName []string
	for _, p := range params {
		pairs = append(pairs, p.name+"="+p.value)
		byName = append(byName, p.name+p.value)
	}
	message, _ := find(params, messageParam)
	return append(texts,
		dialect.SignedText{Code: "text_joint", Text: []byte(strings.Join(pairs, "&"))},
		dialect.SignedText{Code: "text_joint", Text: []byte(strings.Join(pairs, ""))},
		dialect.SignedText{Code: "text_order", Text: []byte(asSent.String())},
		dialect.SignedText{Code: "text_order", Text: []byte(strings.Join(byName, ""))},
		dialect.SignedText{Code: "text_escaped", Text: []byte(escaped.String())},
		dialect.SignedText{Code: "text_member", Text: []byte(message)},
		dialect.SignedText{Code: "text_body", Text: in.Body})
}
