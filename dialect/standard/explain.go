package standard

import (
	"encoding/base64"
	"iter"
	"strings"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: signaturePlace,
	Write:     func(mac []byte) string { return versionShared + base64.StdEncoding.EncodeToString(mac) },
	Signed:    []dialect.Place{dialect.BodyPlace()},
	Names:     []string{"type", "timestamp", "data"},
	Keys:      []string{"secret"},
	MAC:       &dialect.MAC{Key: secretBytes, Hash: "hmac-sha256", Texts: signedTexts},
	Own:       []dialect.Repair{headersAllowed, missingVersion, timeUnit},
}

// signaturePlace is the signature header of the set that the request uses.
var signaturePlace = dialect.Place{
	Name: "header webhook-signature",
	Get:  func(in dialect.Inbound) ([]byte, bool) { return dialect.HeaderPlace(setOf(in).signature).Get(in) },
	Put: func(in dialect.Inbound, text []byte) (dialect.Inbound, bool) {
		return dialect.HeaderPlace(setOf(in).signature).Put(in, text)
	},
}

func setOf(in dialect.Inbound) *headerSet {
	if !webhookSet.in(in.Header) && svixSet.in(in.Header) {
		return &svixSet
	}
	return &webhookSet
}

func metadataOf(in dialect.Inbound) metadata {
	set := setOf(in)
	return metadata{
		names: set, id: dialect.Header(in.Header, set.id), timestamp: dialect.Header(in.Header, set.timestamp),
		signature: dialect.Header(in.Header, set.signature),
	}
}

// secretBytes are the bytes of a shared secret, nil for what is none.
func secretBytes(secret string) []byte {
	k, err := parseSecret(secret)
	if err != nil {
		return nil
	}
	return k.shared
}

// signedTexts are id, time and body, and what senders written by hand sign instead.
func signedTexts(_ dialect.Settings, in dialect.Inbound) []dialect.SignedText {
	m := metadataOf(in)
	join := func(parts ...string) []byte { return append([]byte(strings.Join(parts, ".")), in.Body...) }
	return []dialect.SignedText{
		{Text: signedContent(m.id, m.timestamp, in.Body)},
		{Code: "text_body", Text: in.Body},
		{Code: "text_less", Text: join(m.timestamp, "")},
		{Code: "text_less", Text: join(m.id, "")},
		{Code: "text_order", Text: join(m.timestamp, m.id, "")},
		{Code: "text_order", Text: append(append([]byte{}, in.Body...), "."+m.id+"."+m.timestamp...)},
		{Code: "text_joint", Text: append([]byte(m.id+m.timestamp), in.Body...)},
	}
}

// headersAllowed undoes a setting that allows only the other spelling of the headers.
func headersAllowed(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if c.Settings.Get("headers") == "" {
			return
		}
		c.Settings = c.Settings.With("headers")
		yield(dialect.Candidate{Case: c, Codes: []string{"setting_choice"}, Where: "setting headers"})
	}
}

// missingVersion undoes a signature that came without the version before it.
func missingVersion(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		text, ok := signaturePlace.Get(c.Inbound)
		if !ok || strings.HasPrefix(string(text), "v1") {
			return
		}
		for _, version := range []string{versionShared, versionPrivate} {
			out := c
			out.Inbound, _ = signaturePlace.Put(c.Inbound, []byte(version+strings.TrimSpace(string(text))))
			if !yield(dialect.Candidate{Case: out, Codes: []string{"signature_prefix"}, Where: signaturePlace.Name}) {
				return
			}
		}
	}
}

// timeUnit undoes a time in milliseconds, beside a signature over seconds or over the milliseconds themselves.
func timeUnit(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		m := metadataOf(c.Inbound)
		if len(m.timestamp) != 13 || !dialect.Digits(m.timestamp, 13) {
			return
		}
		place := dialect.HeaderPlace(m.names.timestamp)
		c.Inbound, _ = place.Put(c.Inbound, []byte(m.timestamp[:10]))
		out := dialect.Candidate{Case: c, Codes: []string{"time_unit"}, Where: place.Name}
		if !yield(out) {
			return
		}
		secrets := c.Settings.All("secret")
		for _, secret := range secrets[:min(len(secrets), dialect.MaxLiveSecrets)] {
			k := secretBytes(secret)
			if k == nil || m.signature != versionShared+string(mac(k, m.id, m.timestamp, c.Inbound.Body)) {
				continue
			}
			right := versionShared + string(mac(k, m.id, m.timestamp[:10], c.Inbound.Body))
			out.Inbound, _ = signaturePlace.Put(c.Inbound, []byte(right))
			yield(out)
			return
		}
	}
}
