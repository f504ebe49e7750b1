package bench

import (
	"bytes"
	"fmt"
)

// A mark is in every message: the job that it belongs to and its number in it. It is plain letters, so that it comes
// through every dialect's encoding as it is, and the sink finds it without parsing.
const (
	markPrefix = "wpb-"
	markLength = len(markPrefix) + 8 + 1 + 8
)

func mark(job uint32, n int) string { return fmt.Sprintf("%s%08x-%08d", markPrefix, job, n) }

// findMark returns the job and the number of the message in a body; ok is false when there is none.
func findMark(body []byte) (job uint32, n int, ok bool) {
	at := bytes.Index(body, []byte(markPrefix))
	if at < 0 || len(body)-at < markLength {
		return 0, 0, false
	}
	text := body[at+len(markPrefix) : at+markLength]
	for i, c := range text {
		switch {
		case i < 8 && c >= '0' && c <= '9':
			job = job<<4 | uint32(c-'0')
		case i < 8 && c >= 'a' && c <= 'f':
			job = job<<4 | uint32(c-'a'+10)
		case i == 8 && c == '-':
		case i > 8 && c >= '0' && c <= '9':
			n = n*10 + int(c-'0')
		default:
			return 0, 0, false
		}
	}
	return job, n, true
}
