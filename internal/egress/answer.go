package egress

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// answerHead is the head of a final answer.
type answerHead struct {
	status int
	header http.Header
	length int64 // of the body; -1 = it tells by itself where it ends
	body   io.Reader
	close  bool // the connection ends behind it
}

// commonAnswer reads the head of an answer that is like nearly all are: it has come whole, is HTTP/1.1 to the letter, and a
// Content-Length or its status tells how long the body is. That takes a quarter of the time of http.ReadResponse. Of any other
// answer, right or wrong, it reads nothing and returns false: that is for http.ReadResponse to judge. A test holds the two to
// the same results.
func commonAnswer(br *bufio.Reader, method string) (a answerHead, ok bool) {
	come, _ := br.Peek(br.Buffered())
	end := bytes.Index(come, []byte("\r\n\r\n"))
	if end < 0 || method == http.MethodHead {
		return a, false
	}
	text := string(come[:end]) // all names and values are parts of it
	status, rest, _ := strings.Cut(text, "\r\n")
	if a.status, ok = commonStatus(status); !ok {
		return a, false
	}
	if ok = a.readFields(rest); !ok {
		return a, false
	}
	if a.length, ok = a.commonLength(); !ok {
		return a, false
	}
	_, _ = br.Discard(end + 4)
	return a, true
}

// commonStatus reads the status line of a final answer.
func commonStatus(line string) (status int, ok bool) {
	line, ok = strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(line) < 3 || len(line) > 3 && line[3] != ' ' || !fieldValue(line) {
		return 0, false
	}
	status, err := strconv.Atoi(line[:3])
	return status, err == nil && line[0] >= '2' && line[0] <= '9'
}

// readFields reads the lines of a head behind its status line.
func (a *answerHead) readFields(text string) bool {
	n := strings.Count(text, "\n") + 1
	a.header = make(http.Header, n)
	values := make([]string, 0, n) // those of each name are a part of it
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) || !fieldValue(value) {
			return false
		}
		name = http.CanonicalHeaderKey(name)
		value = strings.Trim(value, " \t")
		if before, again := a.header[name]; again {
			a.header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		a.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return true
}

// commonLength says how long the body is, when no header but Content-Length has a say in it.
func (a *answerHead) commonLength() (n int64, ok bool) {
	for _, name := range []string{"Transfer-Encoding", "Trailer", "Pragma"} {
		if a.header[name] != nil {
			return 0, false
		}
	}
	if c := a.header["Connection"]; c != nil && (len(c) != 1 || !strings.EqualFold(c[0], "keep-alive")) {
		return 0, false
	}
	if given := a.header["Content-Length"]; len(given) == 1 && len(given[0]) <= 18 && strings.Trim(given[0], "0123456789") == "" {
		var err error
		n, err = strconv.ParseInt(given[0], 10, 64)
		ok = err == nil
	} else if given != nil {
		return 0, false
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return 0, true
	}
	return n, ok
}

// counted is a body of known length.
type counted struct {
	br   *bufio.Reader
	left int64
}

// Read is for io.Reader.
func (b *counted) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.br.Read(p[:min(int64(len(p)), b.left)])
	switch b.left -= int64(n); {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
