// Package capture reads a request as people have it when something is wrong: as raw HTTP, as a curl or PowerShell command
// line, as a HAR of a browser or proxy, or as JSON. What counts are the bytes that were signed: a form that has lost them
// is refused or gets a note, never mended in silence.
package capture

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// Format is a form in which a request was captured.
type Format string

// The formats.
const (
	Auto       Format = "auto"       // found from the text
	HTTP       Format = "http"       // request line, headers, empty line, body
	Curl       Format = "curl"       // a curl command line of a POSIX shell
	Cmd        Format = "cmd"        // a curl command line of the Windows command prompt
	PowerShell Format = "powershell" // curl.exe, Invoke-WebRequest or Invoke-RestMethod of PowerShell
	HAR        Format = "har"        // an HTTP archive, or one entry of it
	JSON       Format = "json"       // {"method", "url" or "query", "headers", "body" or "bodyBase64"}
)

// Formats lists the formats by name.
var Formats = []Format{Auto, HTTP, Curl, Cmd, PowerShell, HAR, JSON}

// Choice says which request is meant where a capture holds several.
type Choice struct {
	Index int    // 1 = the first; 0 = any
	URL   string // a part of its URL; "" = any
}

// Request is a captured request. Its Now is not set.
type Request struct {
	dialect.Inbound
	Format Format
	// Notes say what was done to the text, or what the text has lost.
	Notes []dialect.Text
}

func (r *Request) note(en, zh string, args ...any) {
	n := dialect.Text{En: fmt.Sprintf(en, args...), Zh: fmt.Sprintf(zh, args...)}
	if !slices.Contains(r.Notes, n) {
		r.Notes = append(r.Notes, n)
	}
}

// The bounds of a capture.
const (
	MaxText   = 16 << 20
	maxHeader = 1000 // header lines
)

// Read reads a capture. "" as a format is Auto. Its errors say what to do and never repeat a header or a body.
func Read(text []byte, format Format, choice Choice) (Request, error) {
	if format == "" {
		format = Auto
	}
	if !slices.Contains(Formats, format) {
		return Request{}, fmt.Errorf("%q is not a format of captured requests: there are %s", clip(string(format)), formatNames())
	}
	if len(text) > MaxText {
		return Request{}, fmt.Errorf("the capture has %d bytes; at most %d are read", len(text), MaxText)
	}
	if choice.Index < 0 {
		return Request{}, errors.New("the index of a request is 1 or more")
	}
	text, recoded := asUTF8(text)
	if len(bytes.TrimSpace(text)) == 0 {
		return Request{}, errors.New("the capture is empty: give a request as raw HTTP, curl command line, HAR or JSON")
	}
	if format == Auto {
		format = detect(text)
	}
	if choice != (Choice{}) && format != HAR && format != JSON {
		return Request{}, fmt.Errorf("only a HAR or a JSON list holds several requests to choose from; this is read as %s", format)
	}
	r, err := read(text, format, choice)
	if err != nil {
		return Request{}, err
	}
	r.Format = format
	if recoded != "" {
		r.note("the file was %s and was read as text: if the body was not UTF-8, its bytes are lost",
			"文件是 %s 编码，已按文本读取；如果正文原本不是 UTF-8，原始字节已丢失", recoded)
	}
	if note, ok := LengthNote(r.Inbound); ok {
		r.Notes = append(r.Notes, note)
	}
	return r, nil
}

func read(text []byte, format Format, choice Choice) (Request, error) {
	switch format {
	case Curl, Cmd, PowerShell:
		return readCommand(string(text), format)
	case HAR:
		return readHAR(text, choice)
	case JSON:
		return readJSON(text, choice)
	}
	return readHTTP(text)
}

func formatNames() string {
	names := make([]string, len(Formats))
	for i, f := range Formats {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// asUTF8 takes the mark off the beginning that editors and PowerShell's > leave there, and decodes UTF-16, which the mark
// gives away. recoded names the encoding then.
func asUTF8(text []byte) (out []byte, recoded string) {
	if rest, ok := bytes.CutPrefix(text, []byte("\xEF\xBB\xBF")); ok {
		return rest, ""
	}
	little := bytes.HasPrefix(text, []byte("\xFF\xFE"))
	if !little && !bytes.HasPrefix(text, []byte("\xFE\xFF")) {
		return text, ""
	}
	units := make([]uint16, 0, len(text)/2)
	for i := 2; i+1 < len(text); i += 2 {
		low, high := text[i], text[i+1]
		if !little {
			low, high = high, low
		}
		units = append(units, uint16(high)<<8|uint16(low))
	}
	return []byte(string(utf16.Decode(units))), "UTF-16"
}

// detect finds the format from how the text begins. What is nothing else is raw HTTP, whose reader says what it misses.
func detect(text []byte) Format {
	text = bytes.TrimLeft(text, " \t\r\n")
	if text[0] == '{' || text[0] == '[' {
		if isHAR(text) {
			return HAR
		}
		return JSON
	}
	if f, ok := detectCommand(string(text)); ok {
		return f
	}
	return HTTP
}

// LengthNote compares a body with what its header said of it; ok is false when they agree, or nothing was said.
func LengthNote(in dialect.Inbound) (note dialect.Text, ok bool) {
	n, said := contentLength(in.Header)
	var r Request
	switch {
	case !said || n == len(in.Body) || in.Header.Get("Transfer-Encoding") != "":
		return note, false
	case n > len(in.Body):
		r.note("the body has %d bytes, but Content-Length says %d: the capture is cut off or was edited",
			"正文有 %d 字节，但 Content-Length 是 %d：抓包不完整或被编辑过", len(in.Body), n)
	default:
		r.note("the body has %d bytes, but Content-Length says %d: bytes were added, as by an editor or by pretty printing",
			"正文有 %d 字节，但 Content-Length 是 %d：多出了字节，可能是编辑器或格式化造成的", len(in.Body), n)
	}
	return r.Notes[0], true
}

// lossy notes a body that went through a form which has text only.
func (r *Request) lossy() {
	if bytes.ContainsRune(r.Body, utf8.RuneError) {
		r.note("the body holds replacement characters (U+FFFD): its bytes were not UTF-8 and this form has lost them; capture raw HTTP, or give bodyBase64",
			"正文含有替换字符（U+FFFD）：原始字节不是 UTF-8，在这种格式里已丢失；请抓取原始 HTTP，或用 bodyBase64 给出正文")
	}
}

var errManyHeaders = fmt.Errorf("there are more than %d headers", maxHeader)

// addHeader adds a header, if it can be one. where says which one in the caller's form.
func addHeader(h http.Header, where, name, value string) error {
	if !isToken(name) {
		return fmt.Errorf("%s has no header name: a header is of the form Name: value", where)
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("%s holds a line end inside of its value", where)
	}
	if len(h) >= maxHeader {
		return errManyHeaders
	}
	h.Add(name, strings.Trim(value, " \t"))
	return nil
}

// isToken says whether a text can be a header's name or a method.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// queryOf is the raw query of a URL or a path.
func queryOf(target string) string {
	target, _, _ = strings.Cut(target, "#")
	_, query, _ := strings.Cut(target, "?")
	return query
}

// clip shortens a text for an error.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
