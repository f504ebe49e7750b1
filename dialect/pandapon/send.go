package pandapon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// sign makes a push. messageBody is the payload as posted; messagePlatform comes from the message's platform map, else
// from the settings; timestamp is the time of the attempt, as the platform pushes the same data again under another one.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) { return signer(s)(o) }

// signer is Dialect.Signer.
func signer(s dialect.Settings) func(dialect.Outbound) (dialect.Request, error) {
	secrets := s.All("access_secret")
	if len(secrets) == 0 {
		return func(dialect.Outbound) (dialect.Request, error) {
			return dialect.Request{}, errors.New("pandapon: signing: setting access_secret is empty; enter the AccessSecret")
		}
	}
	mac := dialect.NewHMAC(sha256.New, []byte(secrets[0]))
	return func(o dialect.Outbound) (dialect.Request, error) { return signWith(mac, s, o) }
}

func signWith(mac *dialect.HMAC, s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	if !utf8.Valid(o.Payload) {
		return dialect.Request{}, dialect.CannotSend("pandapon: signing: the payload is not UTF-8, so it has no signature that both sides agree on")
	}
	if !dialect.Printable(o.EventType) {
		return dialect.Request{}, dialect.CannotSend("pandapon: signing: the event type must be a printable text of 1 to 256 bytes")
	}
	platform, given := o.Platform["messagePlatform"]
	if !given {
		platform = platformOf(s)
	}
	if !dialect.Digits(platform, maxPlatform) {
		return dialect.Request{}, dialect.CannotSend("pandapon: signing: platform member messagePlatform must be a whole number such as 0 or 1")
	}
	var sum [sha256.Size]byte
	signature := hex.EncodeToString(mac.Append(sum[:0], o.Payload))
	if s.Get("hex_case") == "upper" {
		signature = strings.ToUpper(signature)
	}
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{"Content-Type": {s.Or("content_type", "application/json")}, signatureHeader: {signature}},
		Body:   body(o, trimZeros(platform)),
	}, nil
}

// body writes the envelope in the order and the types of the documentation's sample.
func body(o dialect.Outbound, platform string) []byte {
	b := make([]byte, 0, len(o.Payload)+len(o.Payload)/4+len(o.EventType)+128)
	b = dialect.AppendQuote(append(b, `{"messageType":`...), o.EventType)
	b = dialect.AppendQuote(append(b, `,"messageBody":`...), o.Payload)
	b = append(append(b, `,"messagePlatform":`...), platform...)
	b = strconv.AppendInt(append(b, `,"timestamp":"`...), o.Now.UnixMilli(), 10)
	return append(b, `"}`...)
}

// trimZeros makes digits a JSON number, which has no zeros in front.
func trimZeros(digits string) string {
	if t := strings.TrimLeft(digits, "0"); t != "" {
		return t
	}
	return "0"
}

// handshake makes the request of the console's Verify. Which one it is, the platform does not say; that any 200 passes,
// it does.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	r := dialect.Request{Method: http.MethodPost, Header: http.Header{}}
	switch s.Or("probe", "post-empty") {
	case "get":
		r.Method = http.MethodGet
	case "head":
		r.Method = http.MethodHead
	case "post-example":
		e := examples[0]
		signed, err := sign(s, dialect.Outbound{
			EventType: e.EventType, Payload: e.Payload, Platform: e.Platform, Created: n.Now, Now: n.Now, Seed: n.Seed,
		})
		if err != nil {
			return r, nil, fmt.Errorf("making the example: %w", err)
		}
		r = signed
	}
	passes := func(a dialect.Response) dialect.Verdict { return judge(nil, a) }
	return r, passes, nil
}
