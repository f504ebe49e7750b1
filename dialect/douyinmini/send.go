package douyinmini

import (
	"errors"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// sign makes a callback in the scheme of the settings. The nonce is the same over all attempts, the time is not.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	if !dialect.Printable(o.EventType) {
		return dialect.Request{}, errors.New("douyinmini: signing: the event type must be a printable text of 1 to 256 bytes")
	}
	if !utf8.Valid(o.Payload) {
		return dialect.Request{}, errors.New("douyinmini: signing: the payload is not UTF-8")
	}
	if legacy(s) {
		return signLegacy(s, o)
	}
	return signV3(s, o)
}
