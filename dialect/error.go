package dialect

import "fmt"

// Reason sorts refusals.
type Reason string

// The reasons for which Receive refuses a request.
const (
	ReasonSignature   Reason = "signature"    // wrong or missing
	ReasonReplay      Reason = "replay"       // signed, but its time is outside of what the receiver remembers
	ReasonMalformed   Reason = "malformed"    // an envelope of this dialect, but broken
	ReasonNotEnvelope Reason = "not_envelope" // nothing of this dialect: a probe, a stranger, a wrong URL
	ReasonSettings    Reason = "settings"     // our side is not configured to judge it
)

// Error is a refusal. Its text is for the operator and never holds a setting, a right signature or signed text.
type Error struct {
	Reason Reason
	Part   string // which part failed: "header X-Douyin-Signature", "body member messageBody"
	Text   string // one sentence
}

// Error returns part and text.
func (e *Error) Error() string {
	if e.Part == "" {
		return e.Text
	}
	return e.Part + ": " + e.Text
}

// Result returns what the platform is told.
func (e *Error) Result() Result {
	switch e.Reason {
	case ReasonSignature, ReasonReplay:
		return Forged
	case ReasonSettings:
		return Unavailable
	}
	return Malformed
}

// Refuse makes an Error.
func Refuse(r Reason, part, format string, args ...any) *Error {
	return &Error{Reason: r, Part: part, Text: fmt.Sprintf(format, args...)}
}

// CannotSend is what Sign returns for a message that no repeat and no change of settings can make sendable in this dialect.
// Any other error of Sign is taken for a fault of the settings, which may be mended before the next attempt.
func CannotSend(format string, args ...any) *Error {
	return &Error{Reason: ReasonMalformed, Text: fmt.Sprintf(format, args...)}
}
