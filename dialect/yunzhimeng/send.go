package yunzhimeng

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
)

// sign makes the callback that delivers a message.
func sign(s dialect.Settings, out dialect.Outbound) (dialect.Request, error) { return signing(s)(out) }

// signing is Dialect.Signer.
func signing(s dialect.Settings) func(dialect.Outbound) (dialect.Request, error) {
	c := sending{settings: s}
	if c.scheme, c.err = readScheme(s); c.err == nil {
		c.key, c.err = readSigner(s)
	}
	c.sealer, c.sealErr = readSealer(s)
	return c.sign
}

// sending is what settings say of callbacks that go out.
type sending struct {
	settings dialect.Settings
	scheme   scheme
	key      signer
	err      error // why scheme or key cannot be read
	sealer   *sealer
	sealErr  error
}

func (c *sending) sign(out dialect.Outbound) (dialect.Request, error) {
	if c.err != nil {
		return dialect.Request{}, fmt.Errorf("signing: %w", c.err)
	}
	sch := c.scheme
	code := eventCode(c.settings, out.EventType)
	if !usableEventType(code) {
		return dialect.Request{}, dialect.CannotSend("signing: the event type must be 1 to 256 bytes of printable text without blanks at its ends: it travels in the header %s", headerEventCode)
	}
	body, err := c.seal(out)
	if err != nil {
		return dialect.Request{}, fmt.Errorf("signing: %w", err)
	}
	e := envelope{stamp: stamp(c.settings, out.Now), nonce: nonce(out.Seed), body: body}
	if !sch.text.unambiguous(e) {
		return dialect.Request{}, dialect.CannotSend("signing: under this %s the body must not begin or end with a digit", setSignedText)
	}
	signature, err := c.key.sign(sch.format, sch.text, e)
	if err != nil {
		return dialect.Request{}, fmt.Errorf("signing: %w", err)
	}
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{
			"Content-Type":  {"application/json;charset=UTF-8"},
			headerTimestamp: {e.stamp.text},
			headerNonce:     {e.nonce.text},
			headerSignature: {signature},
			headerEventCode: {code}, // not net/http's spelling: the map is sent as it is
		},
		Body: body,
	}, nil
}

// eventCode is the code on the wire: of the recharge event, in the spelling that was chosen.
func eventCode(s dialect.Settings, eventType string) string {
	spelling := s.Or(setRecharge, rechargeAsGiven)
	if spelling != rechargeAsGiven && (eventType == rechargePrinted || eventType == rechargeWhole) {
		return spelling
	}
	return eventType
}

// seal returns the body: the payload as posted, with the listed fields encrypted where the receiver's key is known.
func (c *sending) seal(out dialect.Outbound) ([]byte, error) {
	if c.sealErr != nil || c.sealer == nil {
		return out.Payload, c.sealErr
	}
	if !json.Valid(out.Payload) {
		return nil, dialect.CannotSend("the payload is not JSON, so its fields cannot be encrypted")
	}
	return c.sealer.payload(out.Payload, out.Seed)
}

func stamp(s dialect.Settings, now time.Time) decimal {
	if s.Or(setTimeUnit, unitMilliseconds) == unitSeconds {
		return number(now.Unix())
	}
	return number(now.UnixMilli())
}

// nonce draws the number of 18 digits that a message keeps over all attempts.
func nonce(seed [32]byte) decimal {
	const least, span = 100_000_000_000_000_000, 900_000_000_000_000_000
	b := dialect.Derive(seed, Name+"/nonce", 16)
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	_, rest := bits.Div64(hi%span, lo, span)
	return number(int64(least + rest))
}

// handshake is a signed test callback with an empty object for a body. The platform has no check of its own that we
// know of; a receiver passes by acknowledging it like any other.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	req, err := sign(s, dialect.Outbound{
		EventType: s.Or(setTestCode, defaultTestCode), Payload: []byte("{}"), Created: n.Now, Now: n.Now, Seed: n.Seed,
	})
	if err != nil {
		return dialect.Request{}, nil, err
	}
	return req, func(r dialect.Response) dialect.Verdict { return judge(s, r) }, nil
}
