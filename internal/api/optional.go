package api

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// optional is a member of a body that may be missing, null, or there.
type optional[T any] struct {
	Set   bool // it was there, perhaps as null
	Null  bool
	Value T
}

// UnmarshalJSON reads the member.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	if bytes.Equal(b, []byte("null")) {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// Schema is the value's own, or null.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = s.Type != "" // one that is made of others says so itself
	return &s
}

// given says whether there is a value.
func (o optional[T]) given() bool { return o.Set && !o.Null }

// into puts the value into a place; null, and with replace also a missing member, puts the default there.
func (o optional[T]) into(place *T, replace bool) {
	var zero T
	switch {
	case o.given():
		*place = o.Value
	case o.Set || replace:
		*place = zero
	}
}

// param is a query parameter that may be missing, where zero is a value too.
type param[T any] struct {
	Set   bool
	Value T
}

// Schema is the value's own.
func (param[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver is where the value is parsed into.
func (p *param[T]) Receiver() reflect.Value { return reflect.ValueOf(p).Elem().FieldByName("Value") }

// OnParamSet notes that the parameter was there.
func (p *param[T]) OnParamSet(set bool, _ any) { p.Set = set }

// pointer returns nil for the zero value, so that it is shown as null.
func pointer[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// isHTTP says whether a text is a plain http or https address, and what is wrong if not.
func isHTTP(text string) (u *url.URL, problem string) {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, "must not hold blanks or control characters: write them as %20 and the like"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, "is not an address such as https://example.com/hook"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "must begin with https:// or http://"
	case u.User != nil:
		return nil, "must not hold a user or password: every answer shows the address. Send them as a header instead, as `authorization`"
	case u.Fragment != "":
		return nil, "must not hold a fragment (#…): it is never sent"
	case u.Port() != "" && !isPort(u.Port()):
		return nil, "has a port that does not exist"
	}
	return u, ""
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
