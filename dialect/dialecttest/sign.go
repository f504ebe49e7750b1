package dialecttest

import (
	"bytes"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// sign runs a sign vector.
func (c *vcase) sign() {
	req, err := c.d.Sign(c.settings, c.outbound)
	c.leaks("an error of Sign", err, c.settings, c.outbound.Payload)
	if c.v.Request != nil || err != nil { // else it is signed anew each time
		c.again("Sign", c.d.Signer != nil, err, req, func() func() (any, error) {
			sign := c.d.SignWith(c.settings)
			return func() (any, error) { return sign(c.outbound) }
		})
	}
	if c.v.Refuse != "" {
		if err == nil {
			c.addf("the message was signed; it must be refused as %s", c.v.Refuse)
		} else if refusal, ok := err.(*dialect.Error); ok {
			c.refused(refusal)
		}
		return
	}
	if err != nil {
		c.addf("signing: %v", err)
		return
	}
	c.validates("the settings", c.settings, dialect.Sending)
	c.sendable(req)
	if c.v.Request != nil {
		c.compareRequest(req)
	}
	if c.v.RoundTrip != nil {
		c.roundTrip(req)
	}
	if s, ok := blanked(c.d, c.settings); ok {
		if _, err := c.d.Sign(s, c.outbound); err == nil {
			c.addf("a message is signed although every secret and key is empty")
		}
	}
}

// sendable reports what could not be sent, or would break the request apart.
func (c *vcase) sendable(req dialect.Request) {
	for name, values := range req.Header {
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n\x00") || name == "" {
				c.addf("header %q cannot be sent", name)
			}
		}
	}
	if req.Method == "" {
		c.addf("the request has no method")
	}
}

// compareRequest compares byte for byte; header names in the very spelling that is sent.
func (c *vcase) compareRequest(got dialect.Request) {
	want := c.v.Request
	body, _ := want.body() // read before, in newCase
	if got.Method != want.method() {
		c.addf("the method is %q; the vector wants %q", got.Method, want.method())
	}
	if got.Query != want.Query {
		c.addf("the query is %q; the vector wants %q", got.Query, want.Query)
	}
	if !bytes.Equal(got.Body, body) {
		c.addf("the body is %q; the vector wants %q", got.Body, body)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Header)) {
		if v, ok := got.Header[name]; !ok {
			c.addf("there is no header %s in this spelling; the request has %v", name, sortedKeys(got.Header))
		} else if !slices.Equal(v, []string{want.Header[name]}) {
			c.addf("header %s is %q; the vector wants %q", name, v, want.Header[name])
		}
	}
	for _, name := range sortedKeys(got.Header) {
		if _, ok := want.Header[name]; !ok {
			c.addf("there is a header %s that the vector does not have", name)
		}
	}
	if again, err := c.d.Sign(c.settings, c.outbound); err != nil || !reflect.DeepEqual(again, got) {
		c.addf("the same message was signed differently the second time")
	}
}

// roundTrip receives what was signed, now and in a later attempt.
func (c *vcase) roundTrip(req dialect.Request) {
	s := dialect.Settings(c.v.RoundTrip)
	c.validates("the settings of roundTrip", s, dialect.Receiving)
	first, err := c.d.Receive(s, arriving(req, c.outbound.Now))
	c.leaks("an error of Receive", err, s, req.Body)
	if err != nil || first.Reply != nil {
		c.addf("what was signed is not received: %v", err)
		return
	}
	if first.EventType != c.outbound.EventType || !samePayload(c.d, s, first, c.outbound.Payload) {
		c.addf("the message came back as event %q with payload %q", first.EventType, first.Payload)
	}
	later := c.outbound
	later.Now = later.Now.Add(time.Minute)
	if req, err = c.d.Sign(c.settings, later); err != nil {
		c.addf("signing a later attempt: %v", err)
		return
	}
	repeat, err := c.d.Receive(s, arriving(req, later.Now))
	if err != nil {
		c.addf("a later attempt is not received: %v", err)
	} else if repeat.DedupKey != first.DedupKey {
		c.addf("a later attempt of the same message has another dedup key, so a repeat would be delivered twice")
	}
}

// samePayload compares a payload as received, or as decrypted, with the one that was sent.
func samePayload(d *dialect.Dialect, s dialect.Settings, got dialect.Received, sent []byte) bool {
	if bytes.Equal(got.Payload, sent) {
		return true
	}
	if d.Decrypt == nil {
		return false
	}
	plain, err := d.Decrypt(s, got.Payload, got.Platform)
	return err == nil && bytes.Equal(plain, sent)
}

// arriving is a signed request as the other side's server hands it over.
func arriving(req dialect.Request, now time.Time) dialect.Inbound {
	h := http.Header{}
	for name, values := range req.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	return dialect.Inbound{Method: req.Method, Query: req.Query, Header: h, Body: req.Body, Now: now}
}

// reply runs a reply vector. With a request, the reply is to the message that Receive reads in it.
func (c *vcase) reply() {
	out := dialect.Outcome{Result: results[c.v.Result]}
	if out.Result == dialect.Stored || out.Result == dialect.Duplicate {
		out.Received = &dialect.Received{}
		if c.v.Request != nil {
			got, err := c.try(c.settings, c.inbound)
			if err != nil {
				c.addf("the request was refused: %v", err)
				return
			}
			out.Received = &got
		}
	}
	got := c.d.Reply(c.settings, out)
	c.compareReply("the result "+c.v.Result, &got, c.v.Reply)
	c.leaksText("a reply", string(got.Body), c.settings, nil)
}

// judge runs a judge vector.
func (c *vcase) judge() {
	r := dialect.Response{Status: c.v.Response.Status, Header: http.Header{}, Body: []byte(c.v.Response.Body)}
	for name, v := range c.v.Response.Header {
		r.Header.Add(name, v)
	}
	got := c.d.Judge(c.settings, r)
	if got.Kind != verdicts[c.v.Verdict] {
		c.addf("the verdict is %s (%s); the vector wants %s", kindName(got.Kind), got.Reason, c.v.Verdict)
	}
	if got.Reason == "" {
		c.addf("the verdict has no reason")
	}
	c.leaksText("a verdict", got.Reason, c.settings, nil)
}

func kindName(k dialect.Kind) string {
	for name, kind := range verdicts {
		if kind == k {
			return name
		}
	}
	return "unknown"
}
