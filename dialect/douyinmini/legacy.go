package douyinmini

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// verifyLegacy reads the body, in which the signature stands, and checks it. The type is not covered by it.
func verifyLegacy(s dialect.Settings, in dialect.Inbound) (callback, *dialect.Error) {
	members, err := dialect.ReadObject(in.Body)
	if err != nil {
		return callback{}, noObject(err)
	}
	msg, given := dialect.FindMember(members, "msg"), dialect.FindMember(members, "msg_signature")
	if msg == nil && given == nil {
		return callback{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "has neither msg nor msg_signature")
	}
	if given == nil {
		return callback{}, dialect.Refuse(dialect.ReasonSignature, "body member msg_signature", "is missing")
	}
	text, err := dialect.Unquote(msg)
	if err != nil {
		return callback{}, dialect.Refuse(dialect.ReasonMalformed, "body member msg", "%v", err)
	}
	signature, _ := dialect.MemberText(given)
	stamp, _ := dialect.MemberText(dialect.FindMember(members, "timestamp"))
	nonce, _ := dialect.MemberText(dialect.FindMember(members, "nonce"))
	tokens := s.All("token")
	if len(tokens) == 0 {
		return callback{}, dialect.Refuse(dialect.ReasonSettings, "setting token", "is not set, so no signature can be judged")
	}
	for i, token := range tokens[:min(len(tokens), dialect.MaxLiveSecrets)] {
		want := signatureLegacy(token, stamp, nonce, string(text))
		if subtle.ConstantTimeCompare([]byte(signature), want[:]) != 1 {
			continue
		}
		if part := notAsSent(nonce, text); part != "" {
			return callback{}, dialect.Refuse(dialect.ReasonSignature, "body member "+part, "is not of its form; the signature is right, but such a callback counts as forged, because the signed text does not say which part is which")
		}
		at, ok := seconds(stamp)
		if !ok {
			return callback{}, dialect.Refuse(dialect.ReasonReplay, "body member timestamp", "is no time in seconds")
		}
		return callback{members: members, at: at, key: i, hole: true}, nil
	}
	return callback{}, dialect.Refuse(dialect.ReasonSignature, "body member msg_signature", "matches timestamp, nonce and msg under none of the live tokens")
}

// notAsSent names the member that is not what the platform sends, though it is signed. The sorted texts are joined with
// nothing between, so anyone can share out the characters of a captured callback among its members anew, or swap two of
// them. An object that is whole can be nothing but msg: no part of it fits into the other members.
func notAsSent(nonce string, msg []byte) string {
	switch {
	case !bytes.HasPrefix(bytes.TrimLeft(msg, " \t\r\n"), []byte("{")) || !json.Valid(msg):
		return "msg"
	case !usableNonce(nonce):
		return "nonce"
	}
	return ""
}

const maxNonce = 64

// usableNonce says whether a nonce is printable ASCII without what JSON and its strings are made of.
func usableNonce(nonce string) bool {
	return nonce != "" && len(nonce) <= maxNonce && !strings.ContainsFunc(nonce, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"\\[]{}", r)
	})
}

// signatureLegacy is the SHA-1 of the four texts, sorted by their bytes and joined with nothing between.
func signatureLegacy(texts ...string) (hexText [2 * sha1.Size]byte) {
	slices.Sort(texts)
	h := sha1.New()
	for _, t := range texts {
		_, _ = io.WriteString(h, t)
	}
	var sum [sha1.Size]byte
	hex.Encode(hexText[:], h.Sum(sum[:0]))
	return hexText
}

// signLegacy makes a callback of the older scheme.
func signLegacy(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	tokens := s.All("token")
	if len(tokens) == 0 {
		return dialect.Request{}, errors.New("douyinmini: signing: setting token is empty")
	}
	stamp, nonce := strconv.FormatInt(o.Now.Unix(), 10), nonceLegacy(o)
	if _, ok := seconds(stamp); !ok {
		return dialect.Request{}, errors.New("douyinmini: signing: the time is not one that ten digits can say: " + o.Now.Format(time.RFC3339))
	}
	number := s.Bool("number_members", false)
	if number && (!dialect.Digits(nonce, 18) || nonce[0] == '0') {
		return dialect.Request{}, errors.New("douyinmini: signing: platform member nonce is no number, which setting number_members asks for")
	}
	if part := notAsSent(nonce, o.Payload); part == "nonce" {
		return dialect.Request{}, dialect.CannotSend("platform member nonce: must be at most %d printable ASCII characters without blanks, quotes, brackets and backslashes", maxNonce)
	} else if part != "" {
		return dialect.Request{}, dialect.CannotSend("the payload must be a JSON object")
	}
	scalar := func(b []byte, text string) []byte {
		if number {
			return append(b, text...)
		}
		return dialect.AppendQuote(b, text)
	}
	signature := signatureLegacy(tokens[0], stamp, nonce, string(o.Payload))
	b := make([]byte, 0, len(o.Payload)+len(o.Payload)/4+192)
	b = scalar(append(b, `{"timestamp":`...), stamp)
	b = scalar(append(b, `,"nonce":`...), nonce)
	b = dialect.AppendQuote(append(b, `,"msg":`...), o.Payload)
	b = dialect.AppendQuote(append(b, `,"type":`...), o.EventType)
	b = append(dialect.AppendQuote(append(b, `,"msg_signature":`...), signature[:]), '}')
	return dialect.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}, Body: b}, nil
}

// nonceLegacy is the message's, else four digits drawn from its seed.
func nonceLegacy(o dialect.Outbound) string {
	if nonce, ok := o.Platform["nonce"]; ok {
		return nonce
	}
	n := binary.BigEndian.Uint32(dialect.Derive(o.Seed, "douyinmini/nonce", 4))
	return strconv.Itoa(1000 + int(n%9000))
}
