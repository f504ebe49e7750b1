package dialecttest

import (
	"regexp"
	"strings"

	"github.com/waypost/waypost/dialect"
)

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// checkShape says what a dialect lacks before any vector is looked at.
func checkShape(d *dialect.Dialect) []string {
	var out findings
	if d.Name == "" || d.Name != strings.ToLower(d.Name) {
		out.addf("the name %q is empty or not in lower case", d.Name)
	}
	bilingual := func(what string, t dialect.Text) {
		if t.En == "" || t.Zh == "" {
			out.addf("%s is not given in both languages", what)
		}
	}
	bilingual("the title", d.Title)
	seen := map[string]bool{}
	for _, f := range d.Fields {
		if !snakeCase.MatchString(f.Name) || seen[f.Name] {
			out.addf("the field name %q is not in snake_case or used twice", f.Name)
		}
		seen[f.Name] = true
		bilingual("the help of field "+f.Name, f.Help)
		if f.Kind == dialect.KindChoice && len(f.Choices) == 0 {
			out.addf("field %s is a choice without choices", f.Name)
		}
		if f.Receiving == dialect.Unused && f.Sending == dialect.Unused {
			out.addf("field %s is used in no direction", f.Name)
		}
	}
	if (d.Receive == nil) != (d.Reply == nil) || (d.Sign == nil) != (d.Judge == nil) {
		out.addf("Receive and Reply belong together, and so do Sign and Judge")
	}
	for _, h := range d.SignatureHeaders {
		if h != strings.ToLower(h) {
			out.addf("signature header %s is not in lower case", h)
		}
	}
	for _, e := range d.Examples {
		bilingual("the title of example "+e.EventType, e.Title)
		if e.EventType == "" || len(e.EventType) > 256 || !isObject(e.Payload) {
			out.addf("example %q has no usable event type, or its payload is not a JSON object", e.EventType)
		}
	}
	return append(out, checkPolicy(d)...)
}

func checkPolicy(d *dialect.Dialect) []string {
	var out findings
	if d.Policy == nil {
		return []string{"there is no Policy"}
	}
	p := d.Policy(nil)
	if p.Deadline <= 0 {
		out.addf("the policy without settings has no deadline")
	}
	if d.Receive != nil && p.DedupFor < p.Total() {
		out.addf("a message is forgotten after %s, before its sender stops repeating it after %s", p.DedupFor, p.Total())
	}
	for _, w := range p.Schedule {
		if w < 0 {
			out.addf("the schedule has a negative wait")
		}
	}
	return out
}

// checkExamples wants every example to be signed with the settings of some sign vector and, where a vector makes the
// round trip, to come back as the event that it is an example of.
func checkExamples(d *dialect.Dialect, f File) []string {
	var out findings
	for _, e := range d.Examples {
		why := ""
		for _, v := range f.Vectors {
			if v.Do != "sign" || v.Refuse != "" {
				continue
			}
			if why = exampleFails(d, v, e); why == "" {
				break
			}
		}
		if why != "" {
			out.addf("example %s: %s", e.EventType, why)
		}
	}
	return out
}

func exampleFails(d *dialect.Dialect, v Vector, e dialect.Example) string {
	o := dialect.Outbound{
		ID: "msg_0000000000000", EventType: e.EventType, Payload: e.Payload, Platform: e.Platform, Created: defaultNow, Now: defaultNow,
	}
	req, err := d.Sign(dialect.Settings(v.Settings), o)
	if err != nil {
		return "it cannot be signed: " + err.Error()
	}
	if v.RoundTrip == nil {
		return ""
	}
	s := dialect.Settings(v.RoundTrip)
	got, err := d.Receive(s, arriving(req, defaultNow))
	switch {
	case err != nil:
		return "what was signed is not received: " + err.Error()
	case got.EventType != e.EventType:
		return "it is received as " + got.EventType
	case !samePayload(d, s, got, e.Payload):
		return "its payload does not come back"
	}
	return ""
}

// checkHandshake wants the console's check to be made with the settings of some sign vector, and a failure to fail it.
func checkHandshake(d *dialect.Dialect, f File) []string {
	if d.Handshake == nil {
		return nil
	}
	var out findings
	for _, v := range f.Vectors {
		if v.Do != "sign" || v.Refuse != "" {
			continue
		}
		_, judge, err := d.Handshake(dialect.Settings(v.Settings), dialect.Nonce{Now: defaultNow})
		if err != nil {
			continue
		}
		if judge == nil {
			out.addf("the handshake has no judge")
		} else if judge(dialect.Response{Status: 500}).Kind == dialect.Accepted {
			out.addf("the handshake is passed by an answer of 500")
		}
		return out
	}
	out.addf("the handshake works with the settings of no sign vector")
	return out
}
