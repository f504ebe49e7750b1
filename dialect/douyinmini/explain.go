package douyinmini

import (
	"encoding/base64"
	"iter"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: signaturePlace,
	Write:     base64.StdEncoding.EncodeToString,
	Signed:    []dialect.Place{dialect.BodyPlace(), dialect.MemberPlace("msg")},
	Names:     []string{"version", "type", "msg", "timestamp", "nonce", "msg_signature"},
	Keys:      []string{"platform_public_key", "token"},
	Cost:      func(string) int { return 16 << 10 },
	Own:       []dialect.Repair{otherScheme, timeUnit},
}

// signaturePlace is the header of v3, or the member of the older scheme where there is no such header.
var signaturePlace = dialect.Place{
	Name: "header " + signatureHeader + " or body member msg_signature",
	Get:  func(in dialect.Inbound) ([]byte, bool) { return placeOf(in).Get(in) },
	Put: func(in dialect.Inbound, text []byte) (dialect.Inbound, bool) {
		return placeOf(in).Put(in, text)
	},
}

func placeOf(in dialect.Inbound) dialect.Place {
	member := dialect.MemberPlace("msg_signature")
	if _, ok := member.Get(in); ok && dialect.Header(in.Header, signatureHeader) == "" {
		return member
	}
	return dialect.HeaderPlace(signatureHeader)
}

// otherScheme undoes a setting that names the other one of the two schemes.
func otherScheme(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		other := schemeLegacy
		if legacy(c.Settings) {
			other = schemeV3
		}
		c.Settings = c.Settings.With("scheme", other)
		yield(dialect.Candidate{Case: c, Codes: []string{"setting_choice"}, Where: "setting scheme"})
	}
}

// timeUnit undoes a time in milliseconds beside a signature over seconds.
func timeUnit(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		place := dialect.HeaderPlace(timeHeader)
		text, _ := place.Get(c.Inbound)
		if len(text) != 13 || !dialect.Digits(string(text), 13) {
			return
		}
		c.Inbound, _ = place.Put(c.Inbound, text[:10])
		yield(dialect.Candidate{Case: c, Codes: []string{"time_unit"}, Where: place.Name})
	}
}
