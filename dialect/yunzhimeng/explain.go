package yunzhimeng

import (
	"encoding/base64"
	"iter"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.HeaderPlace(headerSignature),
	Write:     base64.StdEncoding.EncodeToString,
	Signed:    []dialect.Place{dialect.BodyPlace()},
	Keys:      []string{setIVSPublic},
	Cost:      costOf,
	Profile:   []string{setSignedText, setAlgorithm, setSigEncoding},
	Own:       []dialect.Repair{timeUnit},
}

// costOf is what one verification takes, as measured, where 128 KiB of body are read in a millisecond.
func costOf(key string) int {
	k, err := parsePublic(key)
	switch {
	case err != nil:
		return 0
	case k.rsa != nil:
		return 4 * k.rsa.N.BitLen() * k.rsa.N.BitLen() / 4096 // grows with the square: 4 KiB at 2048 bits
	case k.curve.name == "prime239v1":
		return 256 << 10
	}
	return 16 << 10
}

// timeUnit undoes a time that was rewritten in the other unit: in milliseconds only the whole seconds can be told.
func timeUnit(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		place := dialect.HeaderPlace(headerTimestamp)
		text, _ := place.Get(c.Inbound)
		var other string
		switch given := string(text); {
		case !dialect.Digits(given, 13):
			return
		case len(given) == 13:
			other = given[:10]
		case len(given) == 10:
			other = given + "000"
		default:
			return
		}
		c.Inbound, _ = place.Put(c.Inbound, []byte(other))
		yield(dialect.Candidate{Case: c, Codes: []string{"time_unit"}, Where: place.Name})
	}
}
