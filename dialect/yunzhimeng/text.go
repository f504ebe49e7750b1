package yunzhimeng

import (
	"encoding/binary"
	"io"
	"strconv"
)

// An envelope is what the signature may cover.
type envelope struct {
	stamp, nonce decimal
	body         []byte
}

// A decimal is a header that is a number: its text as sent, and its value as signed in binary forms.
type decimal struct {
	text  string
	value int64
}

// parseNumber takes decimal digits in their one spelling, no sign and no leading zero: a second spelling of the same
// value would pass under a binary form with the same signature, and would not be recognised as a repeat.
func parseNumber(text string) (decimal, bool) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || strconv.FormatInt(v, 10) != text {
		return decimal{}, false
	}
	return decimal{text, v}, true
}

// number writes one of ours.
func number(v int64) decimal { return decimal{strconv.FormatInt(v, 10), v} }

// A piece is a part of the signed text.
type piece int

const (
	body piece = iota
	stampText
	nonceText
	stampLE
	nonceLE
	stampBE
	nonceBE
	lineFeed
)

// A textForm is a way to lay out the signed text.
type textForm struct {
	pieces []piece
	// joined: decimal digits stand beside each other, so that some of one number could be taken for some of the next.
	// Only numbers of fixed length tell them apart.
	joined bool
}

// The forms, by the names of the setting signed_text. None is confirmed; the first is the likeliest, because the
// platform's own signing demo imports a class that writes numbers as bytes, little endian unless told otherwise, and its
// manual calls the nonce a long.
var textForms = map[string]textForm{
	"body_le64ts_le64nonce": {pieces: []piece{body, stampLE, nonceLE}},
	"le64ts_le64nonce_body": {pieces: []piece{stampLE, nonceLE, body}},
	"body_be64ts_be64nonce": {pieces: []piece{body, stampBE, nonceBE}},
	"ts_nonce_body":         {pieces: []piece{stampText, nonceText, body}, joined: true},
	"body_ts_nonce":         {pieces: []piece{body, stampText, nonceText}, joined: true},
	"lines":                 {pieces: []piece{stampText, lineFeed, nonceText, lineFeed, body, lineFeed}},
	"body":                  {pieces: []piece{body}},
}

// write writes the signed text of an envelope to a hash, which returns no errors.
func (f textForm) write(w io.Writer, e envelope) {
	var b [8]byte
	for _, p := range f.pieces {
		switch p {
		case body:
			_, _ = w.Write(e.body)
		case stampText:
			_, _ = io.WriteString(w, e.stamp.text)
		case nonceText:
			_, _ = io.WriteString(w, e.nonce.text)
		case stampLE:
			binary.LittleEndian.PutUint64(b[:], uint64(e.stamp.value))
			_, _ = w.Write(b[:])
		case nonceLE:
			binary.LittleEndian.PutUint64(b[:], uint64(e.nonce.value))
			_, _ = w.Write(b[:])
		case stampBE:
			binary.BigEndian.PutUint64(b[:], uint64(e.stamp.value))
			_, _ = w.Write(b[:])
		case nonceBE:
			binary.BigEndian.PutUint64(b[:], uint64(e.nonce.value))
			_, _ = w.Write(b[:])
		case lineFeed:
			_, _ = w.Write([]byte{'\n'})
		}
	}
}

// nonceDigits is how many digits a nonce has by the manual.
const nonceDigits = 18

// unambiguous says whether the signed text can be cut into these three parts in one way only. Where digits stand beside
// digits, the time must have 10 or 13, the nonce 18, and the body none at its ends.
func (f textForm) unambiguous(e envelope) bool {
	if !f.joined {
		return true
	}
	if n := len(e.stamp.text); n != 10 && n != 13 || len(e.nonce.text) != nonceDigits {
		return false
	}
	return len(e.body) == 0 || !digit(e.body[0]) && !digit(e.body[len(e.body)-1])
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
