package douyin

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

const (
	verifyEvent  = "verify_webhook"
	maxChallenge = 64 // characters that are echoed
)

func isChallenge(members []dialect.Member) bool {
	event, _ := dialect.MemberText(dialect.FindMember(members, "event"))
	return event == verifyEvent
}

// challengeOf makes the answer to a verify_webhook: the challenge as it came, digit for digit, a string with its quotes.
// What is neither a number nor a string of at most 64 characters is not echoed.
func challengeOf(members []dialect.Member) (*dialect.Reply, bool) {
	if !isChallenge(members) {
		return nil, false
	}
	content := dialect.FindMember(members, "content")
	if text, err := dialect.Unquote(content); err == nil {
		content = text // business events have a string here, so a challenge in one is answered too
	}
	inner, err := dialect.ReadObject(content)
	if err != nil {
		return nil, false
	}
	challenge := dialect.FindMember(inner, "challenge")
	text, ok := dialect.MemberText(challenge)
	if !ok || text == "" || utf8.RuneCountInString(text) > maxChallenge || !scalar(challenge[0]) {
		return nil, false
	}
	return &dialect.Reply{Status: http.StatusOK, ContentType: contentType, Body: answerTo(challenge)}, true
}

// scalar says whether a JSON value that begins with c is a string or a number.
func scalar(c byte) bool { return c == '"' || c == '-' || '0' <= c && c <= '9' }

func answerTo(challenge []byte) []byte {
	b := make([]byte, 0, len(challenge)+16)
	b = append(append(b, `{"challenge":`...), challenge...)
	return append(b, '}')
}

// handshake makes the verify_webhook that the console sends when a callback URL is saved, and passes who answers the
// same number. As in the documented sample client_key is empty and the challenge a number.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	secret, err := signingSecret(s)
	if err != nil {
		return dialect.Request{}, nil, err
	}
	random := dialect.Derive(n.Seed, "douyin/challenge", 20)
	number := binary.BigEndian.Uint32(random) >> 1
	challenge := strconv.FormatUint(uint64(number), 10)
	body := []byte(`{"event":"` + verifyEvent + `","client_key":"","content":{"challenge":` + challenge + `}}`)
	return request(secret, hex.EncodeToString(random[4:]), body), func(r dialect.Response) dialect.Verdict {
		return judgeChallenge(r, challenge)
	}, nil
}

func judgeChallenge(r dialect.Response, challenge string) dialect.Verdict {
	if v := judge(nil, r); v.Kind != dialect.Accepted {
		return v
	}
	members, err := dialect.ReadObject(r.Body)
	if err != nil {
		return dialect.Verdict{Kind: dialect.Refused, Reason: "the answer " + err.Error() + `; it must be {"challenge":…} with the number that was sent`}
	}
	switch got := string(dialect.FindMember(members, "challenge")); got {
	case challenge:
		return dialect.Verdict{Kind: dialect.Accepted, Reason: "answered the challenge"}
	case "":
		return dialect.Verdict{Kind: dialect.Refused, Reason: "the answer has no member challenge"}
	case `"` + challenge + `"`:
		return dialect.Verdict{Kind: dialect.Refused, Reason: "the answer has the challenge as a string; it was sent as a number"}
	}
	return dialect.Verdict{Kind: dialect.Refused, Reason: fmt.Sprintf("the answer has another challenge than %s, which was sent", challenge)}
}
