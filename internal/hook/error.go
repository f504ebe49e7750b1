package hook

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what the caller can do about them. The API maps each kind to one status.
type Kind int

// The kinds of error.
const (
	KindInternal    Kind = iota // our fault or the disk's; the text stays in our log
	KindInvalid                 // the request is wrong: 422, or 400 where it cannot be read at all
	KindNotFound                // no such thing, or not yours: 404
	KindConflict                // exists already: 409
	KindForbidden               // the token may not do this: 403
	KindUnavailable             // try again later: 503, with Retry-After
	KindTooLarge                // 413
	KindGone                    // content was removed by retention or expunged: 410
)

// Error is an error that may be shown to the caller: Text names what is wrong and what to do, and holds no secret.
type Error struct {
	Kind  Kind
	Field string // where in the request, as "body.url"; "" when it is not about one field
	Text  string
	Err   error // the cause, for our log only
}

// Error returns the text and, for the log, the cause.
func (e *Error) Error() string {
	s := e.Text
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// FieldErrorf makes a KindInvalid error about one field of a request, such as "url" or "settings.secret".
func FieldErrorf(field, format string, args ...any) *Error {
	return &Error{Kind: KindInvalid, Field: field, Text: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of an error; anything that is not an Error is KindInternal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
