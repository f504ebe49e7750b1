package alipay

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// What is signed is names and values joined by "=" and "&" without any escape, so one signed text can be cut into
// parameters in several ways: whoever may choose a piece of a message's content, and gets hold of its signature, could
// turn that piece into parameters of his own and hide the real ones in the value of an invented one. Nothing of a
// request that could be such a cut is believed. It is kept all the same, because the text may also be one in which a
// buyer wrote "&version=2".

// bare are the parameters whose values never hold an ampersand.
var bare = []string{
	pSignType, pAppID, pCharset, pEncryptType, pMsgMethod, pNotifyID, pNotifyType, pNotifyTime, pService, pUTCTimestamp,
	pVersion, pCertSN,
}

// maxPieces bounds the text between ampersands that is looked through for another reading.
const maxPieces = 512

const severalReadings = "a parameter holds the text of further parameters, so that the signature could stand for several messages"

// piece is what stands between two ampersands of the signed text.
type piece struct {
	name   string // "" when no parameter can begin here
	hidden bool   // a known parameter could begin here, and in this request does not
}

// ambiguous says whether the signed text has another reading that the platform could have meant: names in ascending
// order, all that it always sends among them, no ampersand in a bare one, and a known parameter where this request has
// a piece of a value. biz_content may hold anything; what follows from that is continued's.
func ambiguous(params []Param) bool {
	pieces, hides, broken := lookInside(params)
	return broken || hides && readsOtherwise(pieces)
}

// lookInside says whether a value hides the start of a known parameter, and whether a parameter is one that the
// platform does not send: an ampersand where none can be. pieces is the signed text, if either needs a closer look.
func lookInside(params []Param) (pieces []piece, hides, broken bool) {
	suspect := false
	for _, p := range params {
		if strings.ContainsAny(p.Name, "&=") {
			return nil, true, true
		}
		if p.Name == pBizContent || strings.IndexByte(p.Value, '&') < 0 {
			continue
		}
		if slices.Contains(bare, p.Name) {
			return nil, true, true
		}
		suspect = true
	}
	if !suspect {
		return nil, false, false
	}
	pieces, ok := piecesOf(params)
	return pieces, slices.ContainsFunc(pieces, func(p piece) bool { return p.hidden }), !ok
}

// piecesOf cuts the signed text at every ampersand. It gives up at more than maxPieces.
func piecesOf(params []Param) (pieces []piece, ok bool) {
	isKnown := func(name string) bool {
		return slices.Contains(public, name) || slices.ContainsFunc(params, func(q Param) bool { return q.Name == name })
	}
	for _, p := range params {
		if p.Name == pSign || p.Name == pSignType {
			continue
		}
		pieces = append(pieces, piece{name: p.Name})
		if strings.IndexByte(p.Value, '&') < 0 {
			continue
		}
		_, rest, _ := strings.Cut(p.Value, "&")
		for text := range strings.SplitSeq(rest, "&") {
			if len(pieces) >= maxPieces {
				return nil, false
			}
			name, _, starts := strings.Cut(text, "=")
			if !starts {
				name = ""
			}
			pieces = append(pieces, piece{name: name, hidden: p.Name != pBizContent && name != "" && isKnown(name)})
		}
	}
	return pieces, true
}

// readsOtherwise looks for a reading with a hidden parameter, piece by piece.
func readsOtherwise(pieces []piece) bool {
	needed := []string{pAppID, pCharset, pNotifyID}
	if slices.ContainsFunc(pieces, func(p piece) bool { return p.name == pService }) {
		needed = []string{pCharset} // such requests need not have the others
	}
	skips := func(after, before string) bool { // whether a needed name would have to stand between the two
		return slices.ContainsFunc(needed, func(n string) bool { return after < n && (before == "" || n < before) })
	}
	// plain and other say for each piece whether a parameter can begin there, without and with a hidden one up to it.
	plain, other := make([]bool, len(pieces)), make([]bool, len(pieces))
	plain[0] = !skips("", pieces[0].name)
	for i, from := range pieces {
		if !plain[i] && !other[i] {
			continue
		}
		end := len(pieces)
		isBare := slices.Contains(bare, from.name)
		if (!isBare || i == end-1) && other[i] && !skips(from.name, "") {
			return true
		}
		if isBare { // the next piece is the next parameter
			end = min(end, i+2)
		}
		for j := i + 1; j < end; j++ {
			to := pieces[j]
			if to.name == "" || to.name <= from.name || skips(from.name, to.name) {
				continue
			}
			plain[j] = plain[j] || plain[i] && !to.hidden
			other[j] = other[j] || other[i] || plain[i] && to.hidden
		}
	}
	return false
}

// distrusted is what is kept of a signed text with several readings: the text itself, and nothing out of it. All its
// cuts are one message, so cutting it anew makes no new one.
func distrusted(signed []byte, key int) dialect.Received {
	return dialect.Received{
		Payload:    dialect.WrapRaw(signed),
		DedupKey:   textKey("", signed),
		Unreadable: severalReadings,
		Key:        key,
	}
}

// textKey recognises a message by the text that was signed.
func textKey(appID string, signed []byte) string {
	sum := sha256.Sum256(signed)
	return DedupKey(appID, "sha256:"+hex.EncodeToString(sum[:]))
}
