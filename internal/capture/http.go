package capture

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/waypost/waypost/dialect"
)

var errNoBlank = errors.New("no empty line between headers and body: a captured request has a request line, headers, an empty line, and the body")

// readHTTP reads a request as it stands on the wire. Line ends of the head may be LF or CRLF; the body is taken as it is, but
// for what stands behind it in the capture (line ends of an editor, the answer) when Content-Length tells where it ends.
func readHTTP(text []byte) (Request, error) {
	text = bytes.TrimLeft(text, "\r\n")
	head, body, ok := cutHead(text)
	if !ok {
		return Request{}, notHTTP(text)
	}
	lines := strings.Split(strings.ReplaceAll(string(head), "\r\n", "\n"), "\n")
	if len(lines) > maxHeader {
		return Request{}, errManyHeaders
	}
	lines = unfold(lines)
	r := Request{Inbound: dialect.Inbound{Header: http.Header{}, Body: body}}
	rest := lines
	if !strings.HasPrefix(lines[0], ":") { // HTTP/2 has :method and :path instead of a request line
		var err error
		if r.Method, r.Query, err = requestLine(lines[0]); err != nil {
			return Request{}, err
		}
		rest = lines[1:]
	}
	for i, line := range rest {
		where := fmt.Sprintf("line %d", i+1+len(lines)-len(rest))
		if pseudo, ok := strings.CutPrefix(line, ":"); ok {
			r.pseudo(pseudo)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return Request{}, fmt.Errorf("%s is not a header of the form Name: value", where)
		}
		if err := addHeader(r.Header, where, name, value); err != nil {
			return Request{}, err
		}
	}
	if r.Method == "" {
		return Request{}, errors.New("the headers begin with a colon as those of HTTP/2 do, but there is no :method among them")
	}
	if err := r.unchunk(); err != nil {
		return Request{}, err
	}
	r.cutBehind()
	return r, nil
}

// cutHead cuts at the first empty line, whatever its line ends.
func cutHead(text []byte) (head, body []byte, ok bool) {
	for rest := text; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return nil, nil, false
		}
		rest = rest[i+1:]
		for _, blank := range []string{"\n", "\r\n"} {
			if body, ok := bytes.CutPrefix(rest, []byte(blank)); ok {
				return bytes.TrimRight(text[:len(text)-len(rest)], "\r\n"), body, true
			}
		}
	}
}

func notHTTP(text []byte) error {
	if bytes.HasPrefix(text, []byte("<")) {
		return errors.New("this is a document, not a captured request: a request has a request line, headers, an empty line, and the body")
	}
	if !bytes.ContainsAny(text, "\n") && bytes.IndexByte(text, '=') > 0 && !bytes.ContainsRune(text, ' ') {
		return errors.New("this is a body alone: the request line and the headers are needed too (request line, headers, an empty line, and the body)")
	}
	return errNoBlank
}

// requestLine reads POST /path?query HTTP/1.1.
func requestLine(line string) (method, query string, err error) {
	fields := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "HTTP/"):
		return "", "", errors.New("this is an answer, not a request: its first line names a status. Capture what the platform sent")
	case len(fields) < 2 || len(fields) > 3 || !isToken(fields[0]) || strings.ToUpper(fields[0]) != fields[0],
		len(fields) == 3 && !strings.HasPrefix(fields[2], "HTTP/"):
		return "", "", errors.New("the first line must be a request line such as `POST /callback HTTP/1.1`")
	}
	return fields[0], queryOf(fields[1]), nil
}

// pseudo takes a header of HTTP/2 whose name began with a colon.
func (r *Request) pseudo(line string) {
	name, value, _ := strings.Cut(line, ":")
	switch value = strings.TrimSpace(value); name {
	case "method":
		if isToken(value) {
			r.Method = value
		}
	case "path":
		r.Query = queryOf(value)
	}
}

// unfold joins header lines that begin with a blank to the line before, as old software writes them.
func unfold(lines []string) []string {
	out := lines[:1]
	for _, line := range lines[1:] {
		if len(out) > 1 && strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			out[len(out)-1] += " " + strings.TrimLeft(line, " \t")
			continue
		}
		out = append(out, line)
	}
	return out
}

// contentLength reads the header, if it is there once and is a number.
func contentLength(h http.Header) (int, bool) {
	values := h.Values("Content-Length")
	if len(values) != 1 {
		return 0, false
	}
	n, err := strconv.Atoi(values[0])
	return n, err == nil && n >= 0
}

// cutBehind takes off what a capture holds behind the body.
func (r *Request) cutBehind() {
	n, ok := contentLength(r.Header)
	if !ok || n >= len(r.Body) {
		return
	}
	behind := r.Body[n:]
	trimmed := bytes.Trim(behind, "\r\n")
	switch {
	case len(trimmed) == 0:
		r.note("cut %d line-end bytes behind the body: Content-Length says %d",
			"已去掉正文后面的 %d 个换行字节：Content-Length 是 %d", len(behind), n)
	case bytes.HasPrefix(trimmed, []byte("HTTP/1.")):
		r.note("cut the answer that stands behind the body", "已去掉正文后面的应答")
	default:
		return
	}
	r.Body = r.Body[:n]
}

// unchunk joins a body that was captured in the chunks of HTTP/1.1. A body that is not in chunks although the header says so
// was joined by the tool that captured it.
func (r *Request) unchunk() error {
	if !strings.EqualFold(r.Header.Get("Transfer-Encoding"), "chunked") {
		return nil
	}
	body, ok, whole := chunks(r.Body)
	switch {
	case !ok:
		return nil
	case !whole:
		return errors.New("the body is in chunks and the last one is missing: the capture is cut off")
	}
	r.Body = body
	r.note("joined the chunks of the body", "已合并分块传输的正文")
	return nil
}

// chunks joins chunks. ok is false when the text does not begin with one, whole when the last one is there.
func chunks(text []byte) (body []byte, ok, whole bool) {
	for {
		line, rest, found := bytes.Cut(text, []byte("\n"))
		digits, _, _ := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if !found && err == nil && n == 0 { // 0 at the very end, its line end lost
			return body, ok, true
		}
		if !found || err != nil {
			return body, ok, false
		}
		if n == 0 {
			return body, true, true
		}
		if int(n) > len(rest) {
			return body, ok, false
		}
		ok = true
		body = append(body, rest[:n]...)
		text = bytes.TrimPrefix(bytes.TrimPrefix(rest[n:], []byte("\r")), []byte("\n"))
	}
}
