package douyinspi

import (
	"encoding/hex"
	"net/url"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.HeaderPlace(signatureHeader),
	Write:     hex.EncodeToString,
	Signed:    []dialect.Place{dialect.BodyPlace(), queryPlace},
	Keys:      []string{"client_secret"},
	Account:   "client_key",
	MAC:       &dialect.MAC{Hash: "secret-sha256", Texts: signedTexts},
	Profile:   []string{"param_values", "empty_body"},
}

var queryPlace = dialect.Place{
	Name: "query",
	Get:  func(in dialect.Inbound) ([]byte, bool) { return []byte(in.Query), in.Query != "" },
	Put: func(in dialect.Inbound, text []byte) (dialect.Inbound, bool) {
		in.Query = string(text)
		return in, true
	},
}

// signedTexts are parameters and body as they are signed, and what people leave out of them.
func signedTexts(s dialect.Settings, in dialect.Inbound) []dialect.SignedText {
	params, err := parseQuery(s, in.Query)
	if err != nil {
		return nil
	}
	var joined, asSent string
	for _, p := range params {
		joined += "&" + p.name + "=" + p.value
	}
	if in.Query != "" {
		asSent = "&" + in.Query
		if text, err := url.QueryUnescape(in.Query); err == nil {
			asSent = "&" + text
		}
	}
	with := func(before string) []byte { return append([]byte(before), in.Body...) }
	right := []byte(joined)
	if len(in.Body) > 0 || s.Get("empty_body") != "without_http_body" {
		right = with(joined + "&http_body=")
	}
	return []dialect.SignedText{
		{Text: right},
		{Code: "text_order", Text: with(asSent + "&http_body=")},
		{Code: "text_body", Text: in.Body},
		{Code: "text_less", Text: with("&http_body=")},
		{Code: "text_less", Text: []byte(joined)},
		{Code: "text_joint", Text: with(joined + "&")},
		{Code: "text_joint", Text: with(joined)},
	}
}
