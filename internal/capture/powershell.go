package capture

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

var webRequests = []string{"invoke-webrequest", "invoke-restmethod", "iwr", "irm"}

func isWebRequest(word string) bool {
	for _, name := range webRequests {
		if strings.EqualFold(word, name) {
			return true
		}
	}
	return false
}

// webRequest finds where PowerShell's own web request begins: lines that make its session may stand before it. -1 = nowhere.
func webRequest(text string) int {
	at := 0
	for line := range strings.Lines(text) {
		trimmed := strings.TrimLeft(line, " \t")
		if i := strings.IndexByte(trimmed, '='); i > 0 && trimmed[0] == '$' { // $answer = Invoke-RestMethod …
			trimmed = strings.TrimLeft(trimmed[i+1:], " \t")
		}
		first, _, _ := strings.Cut(strings.TrimRight(trimmed, "\r\n"), " ")
		if isWebRequest(first) {
			return at + len(line) - len(trimmed)
		}
		at += len(line)
	}
	return -1
}

var (
	errPowerVariable = errors.New("the command holds a variable ($…), whose value is not known here: put the value in its place, or the text into single quotes")
	errPower         = errors.New("the command has a part that is not read here: texts, @{ } of headers and [System.Text.Encoding]::UTF8.GetBytes(\"…\") are")
)

// power reads PowerShell's text.
type power struct {
	text string
	at   int
}

func (p *power) rest() string { return p.text[p.at:] }

func (p *power) has(prefix string) bool {
	if rest := p.rest(); len(rest) >= len(prefix) && strings.EqualFold(rest[:len(prefix)], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

// blanks skips blanks and continued lines. lines says whether ends of lines are blanks too.
func (p *power) blanks(lines bool) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == ' ' || c == '\t' || c == '\r' || lines && c == '\n':
			p.at++
		case c == '`' && strings.HasPrefix(strings.TrimLeft(p.rest()[1:], " \t\r"), "\n"):
			p.at += strings.IndexByte(p.rest(), '\n') + 1
		default:
			return
		}
	}
}

var powerEscapes = map[byte]byte{'0': 0, 'a': 7, 'b': 8, 'e': 27, 'f': 12, 'n': '\n', 'r': '\r', 't': '\t', 'v': 11}

// quoted reads a text in quotes, at its opening quote.
func (p *power) quoted() ([]byte, error) {
	quote := p.text[p.at]
	p.at++
	var out []byte
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == quote && strings.HasPrefix(p.rest(), string(quote)):
			p.at++
			out = append(out, quote)
		case c == quote:
			return out, nil
		case quote == '\'':
			out = append(out, c)
		case c == '`' && p.at < len(p.text):
			c = p.text[p.at]
			p.at++
			if plain, ok := powerEscapes[c]; ok {
				c = plain
			}
			out = append(out, c)
		case c == '$':
			char, err := p.dollar()
			if err != nil {
				return nil, err
			}
			out = append(out, char...)
		default:
			out = append(out, c)
		}
	}
	return nil, errQuote
}

// dollar reads what stands behind a dollar sign within double quotes: a character by its number, as browsers write it.
func (p *power) dollar() ([]byte, error) {
	if p.at == len(p.text) || !isWord(p.text[p.at]) && strings.IndexByte("{(", p.text[p.at]) < 0 {
		return []byte{'$'}, nil
	}
	if !p.has("([char]") {
		return nil, errPowerVariable
	}
	number, _, ok := strings.Cut(p.rest(), ")")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 0, 16)
	if !ok || err != nil {
		return nil, errPowerVariable
	}
	p.at += len(number) + 1
	if n >= 0xD800 && n < 0xDC00 && p.has("$([char]") { // the second half of a character
		number, _, ok := strings.Cut(p.rest(), ")")
		low, err := strconv.ParseUint(strings.TrimSpace(number), 0, 16)
		if !ok || err != nil || low < 0xDC00 || low > 0xDFFF {
			return nil, errPowerVariable
		}
		p.at += len(number) + 1
		n = 0x10000 + (n-0xD800)<<10 + (low - 0xDC00)
	}
	return utf8.AppendRune(nil, rune(n)), nil
}

// word reads a word or a text in quotes; ok is false at the end of the command.
func (p *power) word(stop string) (out []byte, ok bool, err error) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"' || c == '\'':
			text, err := p.quoted()
			if err != nil {
				return nil, false, err
			}
			out, ok = append(out, text...), true
		case strings.IndexByte(" \t\r\n", c) >= 0 || strings.IndexByte(stop, c) >= 0:
			return out, ok, nil
		case c == '`' && p.at+1 < len(p.text):
			if next := p.text[p.at+1]; next == '\r' || next == '\n' {
				return out, ok, nil
			}
			out, ok = append(out, p.text[p.at+1]), true
			p.at += 2
		case c == '$':
			return nil, false, errPowerVariable
		default:
			out, ok = append(out, c), true
			p.at++
		}
	}
	return out, ok, nil
}

// powerWords cuts a command line of curl.exe in PowerShell.
func (r *Request) powerWords(text string) ([]string, error) {
	p := power{text: text}
	var words []string
	for {
		p.blanks(false)
		if p.at == len(p.text) || strings.IndexByte("|;>", p.text[p.at]) >= 0 {
			return words, nil
		}
		if p.text[p.at] == '\n' {
			p.blanks(true)
			if p.at == len(p.text) {
				return words, nil
			}
			if p.text[p.at] != '-' {
				return nil, errMore
			}
		}
		if p.text[p.at] == '&' {
			return nil, errAmpersand
		}
		word, ok, err := p.word("|;>&")
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errPower
		}
		words = append(words, r.passed(string(word)))
	}
}

// passed is an argument as curl.exe gets it from PowerShell. Up to 7.2 the shell drops quotes within an argument unless a
// backslash stands before each; later ones keep them. Both are read as they were meant.
func (r *Request) passed(word string) string {
	quotes := strings.Count(word, `"`)
	if quotes == 0 {
		return word
	}
	if strings.Count(word, `\"`) == quotes {
		return strings.ReplaceAll(word, `\"`, `"`)
	}
	r.note("quotes stand within an argument: Windows PowerShell (up to 7.2) drops them when it calls curl.exe, and the receiver gets another body",
		"参数里含有引号：Windows PowerShell（7.2 及以前）调用 curl.exe 时会去掉它们，接收方收到的正文会不同")
	return word
}

// webParts are the parameters of Invoke-WebRequest that shape the request; the others have a value, or none.
type webParts struct {
	uri, method, contentType string
	agent                    string
	headers                  [][2]string
	body                     []byte
	hasBody                  bool
}

var webFlags = set("usebasicparsing skipcertificatecheck skipheadervalidation disablekeepalive allowunencryptedauthentication " +
	"usedefaultcredentials passthru skiphttperrorcheck noproxy allowinsecureredirect preserveauthorizationonredirect verbose")

func readWebRequest(text string) (Request, error) {
	p := power{text: text}
	if _, _, err := p.word(""); err != nil { // the command's own name
		return Request{}, err
	}
	var w webParts
	for {
		p.blanks(false)
		if p.at == len(p.text) || strings.IndexByte("|;>)\n", p.text[p.at]) >= 0 {
			break
		}
		if p.text[p.at] != '-' {
			uri, ok, err := p.word("")
			if err != nil || !ok || w.uri != "" {
				return Request{}, errors.Join(err, errPower)
			}
			w.uri = string(uri)
			continue
		}
		p.at++
		name, _, err := p.word(":")
		if err != nil {
			return Request{}, err
		}
		p.has(":")
		if err := w.parameter(&p, strings.ToLower(string(name))); err != nil {
			return Request{}, err
		}
	}
	if p.blanks(true); p.at < len(p.text) && p.text[p.at] == '-' {
		return Request{}, errMore
	}
	return w.request()
}

// parameter reads one parameter and its value.
func (w *webParts) parameter(p *power, name string) error {
	if webFlags[name] {
		return nil
	}
	p.blanks(false)
	var err error
	switch name {
	case "uri":
		w.uri, err = p.value()
	case "method", "custommethod":
		w.method, err = p.value()
	case "contenttype":
		w.contentType, err = p.value()
	case "useragent":
		w.agent, err = p.value()
	case "headers":
		w.headers, err = p.table()
	case "body":
		w.hasBody = true
		w.body, err = p.body()
	case "infile", "form":
		return errFile
	default:
		return p.skip(name)
	}
	return err
}

// skip passes over the value of a parameter that shapes nothing.
func (p *power) skip(name string) error {
	if strings.HasPrefix(p.rest(), "$") {
		for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) < 0 {
			p.at++
		}
		return nil
	}
	if strings.HasPrefix(p.rest(), "-") || p.at == len(p.text) {
		return fmt.Errorf("the parameter -%s is not known here, nor whether a value follows it: leave it out", clip(name))
	}
	_, err := p.value()
	return err
}

func (p *power) value() (string, error) {
	text, ok, err := p.word("|;>")
	if err == nil && !ok {
		err = errPower
	}
	return string(text), err
}

// body reads a text, or the bytes of one.
func (p *power) body() ([]byte, error) {
	const bytesOf = "([System.Text.Encoding]::UTF8.GetBytes("
	if p.has("@'") || p.has(`@"`) {
		return p.hereText()
	}
	if p.has(bytesOf) {
		p.blanks(true)
		text, ok, err := p.word(")")
		if err != nil {
			return nil, err
		}
		p.blanks(true)
		if !ok || !p.has("))") {
			return nil, errPower
		}
		return text, nil
	}
	if strings.HasPrefix(p.rest(), "(") || strings.HasPrefix(p.rest(), "@") {
		return nil, errPower
	}
	text, err := p.value()
	return []byte(text), err
}

// hereText reads @' … '@: the lines between, as they are.
func (p *power) hereText() ([]byte, error) {
	quote := p.text[p.at-1]
	line, _, ok := strings.Cut(p.rest(), "\n")
	if !ok || strings.Trim(line, " \t\r") != "" {
		return nil, errPower
	}
	p.at += len(line)
	text, _, ok := strings.Cut(p.rest(), "\n"+string(quote)+"@")
	if !ok {
		return nil, errQuote
	}
	p.at += len(text) + len("\n'@")
	if text = strings.TrimPrefix(text, "\n"); quote == '"' && strings.ContainsAny(text, "$`") {
		return nil, errPowerVariable
	}
	return []byte(strings.TrimSuffix(text, "\r")), nil
}

// table reads @{ "name"="value" … }.
func (p *power) table() ([][2]string, error) {
	if !p.has("@{") {
		return nil, errPower
	}
	var pairs [][2]string
	for {
		for p.blanks(true); p.has(";"); p.blanks(true) {
		}
		if p.has("}") {
			return pairs, nil
		}
		name, ok, err := p.word("=;}")
		if err != nil {
			return nil, err
		}
		p.blanks(false)
		if !ok || !p.has("=") {
			return nil, errPower
		}
		p.blanks(false)
		value, ok, err := p.word(";}")
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errPower
		}
		pairs = append(pairs, [2]string{string(name), string(value)})
	}
}

func (w *webParts) request() (Request, error) {
	if w.uri == "" {
		return Request{}, errors.New("the command names no -Uri")
	}
	r := Request{Inbound: dialect.Inbound{Method: strings.ToUpper(w.method), Query: queryOf(w.uri), Header: http.Header{}, Body: w.body}}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if !isToken(r.Method) {
		return Request{}, errors.New("the command's -Method is no method of HTTP")
	}
	for i, pair := range w.headers {
		if err := addHeader(r.Header, fmt.Sprintf("-Headers number %d", i+1), strings.TrimPrefix(pair[0], ":"), pair[1]); err != nil {
			return Request{}, err
		}
	}
	if w.contentType != "" {
		if err := addHeader(r.Header, "-ContentType", "Content-Type", w.contentType); err != nil {
			return Request{}, err
		}
	}
	if w.agent != "" {
		if err := addHeader(r.Header, "-UserAgent", "User-Agent", w.agent); err != nil {
			return Request{}, err
		}
	}
	if w.hasBody && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.lossy()
	return r, nil
}
