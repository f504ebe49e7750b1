package dialecttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// receive runs a receive vector.
func (c *vcase) receive(short bool) {
	got, err := c.try(c.settings, c.inbound)
	switch {
	case c.v.Refuse != "":
		c.refused(err)
	case err != nil:
		c.addf("the request was refused: %v", err)
	case c.v.Want == nil:
		c.compareReply("the handshake", got.Reply, c.v.Reply)
	case got.Reply != nil:
		c.addf("the request was answered as a handshake, though it is a message")
	default:
		c.accepted(got)
		if len(c.findings) == 0 { // flips of a request that is read wrongly would only repeat it
			c.flips(got, short)
			c.keys(got)
		}
	}
}

// try calls Receive with copies, and reports what a pure function would not do.
func (c *vcase) try(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	body, header := slices.Clone(in.Body), in.Header.Clone()
	got, err := c.d.Receive(s, in)
	if !bytes.Equal(body, in.Body) || !reflect.DeepEqual(header, in.Header) {
		c.addf("Receive changed the request that it was given")
	}
	if err == nil {
		again, err := c.d.Receive(s, in)
		if err != nil || !reflect.DeepEqual(again, got) {
			c.addf("the same request under the same settings came out differently the second time")
		}
	}
	c.leaks("an error of Receive", err, s, in.Body)
	c.again("Receive", c.d.Receiver != nil, err, got, func() func() (any, error) {
		receive := c.d.ReceiveWith(s)
		return func() (any, error) { return receive(in) }
	})
	return got, err
}

// again compares what Receive or Sign returned with what comes of the same settings read once, used twice at once and then again.
func (c *vcase) again(what string, reads bool, wantErr error, want any, with func() func() (any, error)) {
	if !reads {
		return
	}
	call := with()
	same := func() bool {
		got, err := call()
		return reflect.DeepEqual(err, wantErr) && (err != nil || reflect.DeepEqual(got, want))
	}
	beside := make(chan bool, 1)
	go func() { beside <- same() }()
	if at := same(); !<-beside || !at || !same() {
		c.addf("%s comes out differently under settings that are read once", what)
	}
}

func (c *vcase) refused(err error) {
	var refusal *dialect.Error
	switch {
	case err == nil:
		c.addf("the request was accepted; it must be refused as %s", c.v.Refuse)
	case !errors.As(err, &refusal):
		c.addf("the refusal is not a *dialect.Error but a %T: %v", err, err)
	case string(refusal.Reason) != c.v.Refuse:
		c.addf("the request was refused as %s, not as %s: %v", refusal.Reason, c.v.Refuse, err)
	case refusal.Text == "":
		c.addf("the refusal has no text")
	}
}

// accepted compares a message with what the vector wants and with what holds for every message.
func (c *vcase) accepted(got dialect.Received) {
	w := c.v.Want
	same := func(what, got, want string, always bool) {
		if got != want && (always || want != "") {
			c.addf("%s is %q; the vector wants %q", what, got, want)
		}
	}
	same("the event type", got.EventType, w.EventType, true)
	same("the payload", string(got.Payload), w.Payload, true)
	same("the event id", got.EventID, w.EventID, false)
	same("the account", got.Account, w.Account, false)
	same("the dedup key", got.DedupKey, w.DedupKey, false)
	for name, want := range w.Platform {
		if have, ok := got.Platform[name]; !ok || have != want {
			c.addf("platform member %s is %q; the vector wants %q", name, have, want)
		}
	}
	if w.Unreadable != (got.Unreadable != "") {
		c.addf("unreadable is %q; the vector wants it %s", got.Unreadable, map[bool]string{true: "set", false: "empty"}[w.Unreadable])
	}
	if w.Key != 0 && got.Key != w.Key {
		c.addf("key %d verified; the vector wants key %d", got.Key, w.Key)
	}
	if w.Decrypted != "" {
		c.decrypted(got)
	}
	c.wellFormed(got)
	c.validates("the settings", c.settings, dialect.Receiving)
	if c.v.Reply != nil {
		c.acknowledged(got)
	}
}

func (c *vcase) decrypted(got dialect.Received) {
	if c.d.Decrypt == nil {
		c.addf("the vector wants a decrypted payload of a dialect that does not decrypt")
		return
	}
	plain, err := c.d.Decrypt(c.settings, got.Payload, got.Platform)
	c.leaks("an error of Decrypt", err, c.settings, nil)
	if err != nil {
		c.addf("decrypting: %v", err)
	} else if string(plain) != c.v.Want.Decrypted {
		c.addf("the decrypted payload is %q; the vector wants %q", plain, c.v.Want.Decrypted)
	}
}

// wellFormed holds for the messages of every dialect.
func (c *vcase) wellFormed(got dialect.Received) {
	if got.EventType == "" && got.Unreadable == "" {
		c.addf("the event type is empty, though the message is readable")
	}
	if len(got.EventType) > 256 || !printable(got.EventType) {
		c.addf("the event type %q is over 256 bytes or not printable", got.EventType)
	}
	if !isObject(got.Payload) {
		c.addf("the payload is not a JSON object in UTF-8: %q", got.Payload)
	}
	for _, name := range c.d.SignatureHeaders {
		sig := c.inbound.Header.Get(name)
		for member, value := range got.Platform {
			if len(sig) >= secretLength && strings.Contains(value, sig) {
				c.addf("platform member %s holds the signature of header %s", member, name)
			}
		}
	}
}

func isObject(b []byte) bool {
	t := bytes.TrimLeft(b, " \t\r\n")
	return json.Valid(b) && utf8.Valid(b) && len(t) > 0 && t[0] == '{'
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// acknowledged compares the answer, which must be the same for a repeat.
func (c *vcase) acknowledged(got dialect.Received) {
	if c.d.Reply == nil {
		c.addf("the vector wants a reply of a dialect that does not reply")
		return
	}
	for _, r := range []dialect.Result{dialect.Stored, dialect.Duplicate} {
		reply := c.d.Reply(c.settings, dialect.Outcome{Result: r, Received: &got})
		c.compareReply(map[dialect.Result]string{dialect.Stored: "the stored message", dialect.Duplicate: "its repeat"}[r], &reply, c.v.Reply)
	}
}

func (c *vcase) compareReply(what string, got *dialect.Reply, want *Reply) {
	if got == nil {
		c.addf("%s has no answer of its own; the vector wants one", what)
		return
	}
	if got.Status != want.Status || got.ContentType != want.ContentType || string(got.Body) != want.Body {
		c.addf("%s is answered with %d, content type %q and body %q; the vector wants %d, %q and %q", what,
			got.Status, got.ContentType, got.Body, want.Status, want.ContentType, want.Body)
	}
}

// validates says when a vector uses settings that a form would refuse.
func (c *vcase) validates(what string, s dialect.Settings, use dialect.Use) {
	for _, p := range c.d.Validate(s, use, false) {
		c.addf("%s work but do not validate: %v", what, p)
	}
}

// keys checks what an accepted request becomes when its keys are blank or badly pasted.
func (c *vcase) keys(good dialect.Received) {
	if s, ok := blanked(c.d, c.settings); ok {
		if got, err := c.try(s, c.inbound); err == nil && got.Reply == nil {
			c.addf("the request is accepted although every secret and key is empty")
		}
	}
	for _, f := range c.d.Fields {
		if !isKey(f) || f.Receiving == dialect.Unused || len(c.settings[f.Name]) == 0 {
			continue
		}
		for _, stray := range []string{"\n", " ", "\u200b"} {
			c.pasted(f, stray, good)
		}
	}
}

// pasted adds to each value of a key what a clipboard adds: it is stripped, or named by Validate, but never used.
func (c *vcase) pasted(f dialect.Field, stray string, good dialect.Received) {
	s := maps.Clone(c.settings)
	s[f.Name] = slices.Clone(s[f.Name])
	for i := range s[f.Name] {
		s[f.Name][i] += stray
	}
	if len(c.d.Validate(s, dialect.Receiving, false)) > 0 {
		return
	}
	got, err := c.try(s, c.inbound)
	if err != nil || differs(good, got) != "" {
		c.addf("setting %s with %q behind it validates, and yet verifies nothing: strip it or refuse it in Check", f.Name, stray)
	}
}

func isKey(f dialect.Field) bool { return f.Secret || f.Kind == dialect.KindKey }

// blanked empties every secret and key; ok says whether there was one.
func blanked(d *dialect.Dialect, s dialect.Settings) (out dialect.Settings, ok bool) {
	out = maps.Clone(s)
	for _, f := range d.Fields {
		if isKey(f) && len(s[f.Name]) > 0 {
			out[f.Name], ok = []string{""}, true
		}
	}
	return out, ok
}
