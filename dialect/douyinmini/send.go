package douyinmini

import (
	"errors"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// sign makes a callback in the scheme of the settings. The nonce is the same over all attempts, the time is not.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) { return signer(s)(o) }

// signer is Dialect.Signer.
func signer(s dialect.Settings) func(dialect.Outbound) (dialect.Request, error) {
	scheme := func(o dialect.Outbound) (dialect.Request, error) { return signLegacy(s, o) }
	if !legacy(s) {
		key := readPrivateKey(s)
		scheme = func(o dialect.Outbound) (dialect.Request, error) { return signV3(key, o) }
	}
	return func(o dialect.Outbound) (dialect.Request, error) {
		if !dialect.Printable(o.EventType) {
			return dialect.Request{}, errors.New("douyinmini: signing: the event type must be a printable text of 1 to 256 bytes")
		}
		if !utf8.Valid(o.Payload) {
			return dialect.Request{}, errors.New("douyinmini: signing: the payload is not UTF-8")
		}
		return scheme(o)
	}
}
