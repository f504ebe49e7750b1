package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// parseCapture reads a request as it was captured: request line, headers, an empty line, the body. Line ends may be LF
// or CRLF; the body is taken as it is, but cut to Content-Length when an editor has added a line end to it. note says so.
func parseCapture(text []byte) (in dialect.Inbound, note string, err error) {
	head, body, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if h, b, lf := bytes.Cut(text, []byte("\n\n")); lf && (!ok || len(h) < len(head)) {
		head, body, ok = h, b, true
	}
	if !ok {
		return in, "", fmt.Errorf("no empty line between headers and body: a captured request has a request line, headers, an empty line, and the body")
	}
	lines := strings.Split(strings.ReplaceAll(string(head), "\r\n", "\n"), "\n")
	fields := strings.Fields(lines[0])
	if len(fields) < 2 || strings.ToUpper(fields[0]) != fields[0] {
		return in, "", fmt.Errorf("the first line must be a request line such as `POST /callback HTTP/1.1`")
	}
	in = dialect.Inbound{Method: fields[0], Header: http.Header{}, Body: body}
	_, in.Query, _ = strings.Cut(fields[1], "?")
	for i, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return in, "", fmt.Errorf("line %d is not a header of the form Name: value", i+2)
		}
		in.Header.Add(name, strings.TrimSpace(value))
	}
	if n, err := strconv.Atoi(in.Header.Get("Content-Length")); err == nil {
		switch {
		case n < len(body) && len(bytes.Trim(body[n:], "\r\n")) == 0:
			in.Body = body[:n]
			note = fmt.Sprintf("cut %d line-end bytes behind the body: Content-Length says %d", len(body)-n, n)
		case n != len(body):
			note = fmt.Sprintf("the body has %d bytes, but Content-Length says %d: the capture may be incomplete or was edited", len(body), n)
		}
	}
	return in, note, nil
}
