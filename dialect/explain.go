package dialect

import (
	"bytes"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Explainer is what package explain must know of a dialect to find out why a signature does not match. It is data: the
// search itself is the same for all dialects, and Receive alone decides what matches.
type Explainer struct {
	// Signature is where the signature stands; Write is how the platform writes one.
	Signature Place
	Write     func(signature []byte) string

	// Signed are the texts that the signature covers and that accidents happen to, the likeliest first.
	Signed []Place

	// Form says that the body is a form of parameters.
	Form bool

	// Names are the names of members or parameters in the order in which the platform writes them.
	Names []string

	// Keys are the settings that hold what verifies; Account is the setting that refuses other accounts after the
	// signature was found right, "" = none.
	Keys    []string
	Account string

	// Answers are the settings that the answer to a request needs, not its verification: a request that is refused for one
	// of them has a right signature.
	Answers []string

	// MAC is set where a signature can be computed from a secret: then other algorithms and texts are recognised.
	MAC *MAC

	// Profile are the settings with choices that only a real request can tell. Probe tries all their combinations.
	Profile []string

	// Cost is what verifying under one of the keys costs beside reading the body, in bytes of body that could be read in
	// that time; nil = nothing to speak of.
	Cost func(key string) int

	// Own are the accidents that only this dialect knows. They are tried before the shared ones.
	Own []Repair
}

// Case is a request and the settings to judge it by.
type Case struct {
	Settings Settings
	Inbound  Inbound
}

// Candidate is a case after something was undone. Codes name what, in the words of package explain's catalogue; Where is
// the part of the request or the setting that it was undone in.
type Candidate struct {
	Case
	Codes []string
	Where string
}

// Repair yields what a case was before an accident, for every way in which that accident may have happened; nothing when
// it cannot have happened. It never changes the case that it is given.
type Repair func(Case) iter.Seq[Candidate]

// Place is a text in a request.
type Place struct {
	Name string // for people: "body", "header X-Signature"
	Get  func(Inbound) (text []byte, ok bool)
	// Put returns the request with another text; ok is false when the text cannot stand there.
	Put func(Inbound, []byte) (out Inbound, ok bool)
}

// BodyPlace is the whole body.
func BodyPlace() Place {
	return Place{
		Name: "body",
		Get:  func(in Inbound) ([]byte, bool) { return in.Body, len(in.Body) > 0 },
		Put:  func(in Inbound, text []byte) (Inbound, bool) { in.Body = text; return in, true },
	}
}

// HeaderPlace is the first value of a header.
func HeaderPlace(name string) Place {
	return Place{
		Name: "header " + name,
		Get: func(in Inbound) ([]byte, bool) {
			v := Header(in.Header, name)
			return []byte(v), v != ""
		},
		Put: func(in Inbound, text []byte) (Inbound, bool) {
			h := make(http.Header, len(in.Header)+1)
			for k, v := range in.Header {
				if !strings.EqualFold(k, name) {
					h[k] = v
				}
			}
			h.Set(name, string(text))
			in.Header = h
			return in, true
		},
	}
}

// MemberPlace is the text of a string member of the JSON object that is the body.
func MemberPlace(name string) Place {
	return Place{
		Name: "body member " + name,
		Get: func(in Inbound) ([]byte, bool) {
			value := memberOf(in.Body, name)
			text, err := Unquote(value)
			return text, err == nil
		},
		Put: func(in Inbound, text []byte) (Inbound, bool) {
			value := memberOf(in.Body, name)
			if value == nil {
				return in, false
			}
			at := cap(in.Body) - cap(value) // a value is a slice of the body
			b := make([]byte, 0, len(in.Body)+len(text)+2)
			b = AppendQuote(append(b, in.Body[:at]...), text)
			in.Body = append(b, in.Body[at+len(value):]...)
			return in, true
		},
	}
}

// Unpacked undoes that the text of a member was parsed, so that an object or a list stands where the platform sends a
// string.
func Unpacked(name string) Repair {
	return func(c Case) iter.Seq[Candidate] {
		return func(yield func(Candidate) bool) {
			value := memberOf(c.Inbound.Body, name)
			if len(value) == 0 || value[0] != '{' && value[0] != '[' {
				return
			}
			place := MemberPlace(name)
			c.Inbound, _ = place.Put(c.Inbound, value)
			yield(Candidate{Case: c, Codes: []string{"json_unpacked"}, Where: place.Name})
		}
	}
}

func memberOf(body []byte, name string) []byte {
	members, err := SplitObject(body)
	if err != nil {
		return nil
	}
	return FindMember(members, name)
}

// ParamPlace is the decoded value of a parameter of the form that is the body.
func ParamPlace(name string) Place {
	return Place{
		Name: "parameter " + name,
		Get: func(in Inbound) ([]byte, bool) {
			_, value, _, ok := cutParam(in.Body, name)
			text, err := url.QueryUnescape(string(value))
			return []byte(text), ok && err == nil
		},
		Put: func(in Inbound, text []byte) (Inbound, bool) {
			before, _, after, ok := cutParam(in.Body, name)
			if !ok {
				return in, false
			}
			b := append(bytes.Clone(before), url.QueryEscape(string(text))...)
			in.Body = append(b, after...)
			return in, true
		},
	}
}

// cutParam cuts a form around the raw value of its first parameter of a name.
func cutParam(body []byte, name string) (before, value, after []byte, ok bool) {
	for start := 0; start <= len(body); {
		end := len(body)
		if i := bytes.IndexByte(body[start:], '&'); i >= 0 {
			end = start + i
		}
		if n, v, found := bytes.Cut(body[start:end], []byte("=")); found && string(n) == name {
			return body[:end-len(v)], v, body[end:], true
		}
		start = end + 1
	}
	return nil, nil, nil, false
}

// MAC says how a dialect signs with a secret, for recognising who did it otherwise.
type MAC struct {
	Key  func(secret string) []byte // the bytes that a setting stands for; nil = the text itself
	Hash string                     // the right way, such as "hmac-sha256"; see package explain
	// Texts are the right signed text, and after it what is signed by mistake. A text without a code is the right one.
	Texts func(Settings, Inbound) []SignedText
}

// SignedText is a text to be signed, and the code of the mistake that it is.
type SignedText struct {
	Code string
	Text []byte
}

// With returns settings that hold these values of a name, none = the name is not set, and are otherwise the same.
func (s Settings) With(name string, values ...string) Settings {
	out := make(Settings, len(s)+1)
	for k, v := range s {
		out[k] = v
	}
	delete(out, name)
	if len(values) > 0 {
		out[name] = values
	}
	return out
}
