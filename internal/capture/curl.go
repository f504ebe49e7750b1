package capture

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// detectCommand tells whether a text begins as a command line, and of which shell.
func detectCommand(text string) (Format, bool) {
	text = withoutPrompt(text)
	first, _, _ := strings.Cut(strings.TrimLeft(text, " \t\r\n"), " ")
	first, _, _ = strings.Cut(first, "\n")
	first = strings.ToLower(strings.TrimRight(first, "\r\t"))
	switch {
	case webRequest(text) >= 0 && (strings.HasPrefix(first, "$") || isWebRequest(first)):
		return PowerShell, true
	case first != "curl" && first != "curl.exe" && !strings.HasSuffix(first, "/curl"):
		return "", false
	case strings.Contains(text, `^"`) || lineEnds(text, '^'):
		return Cmd, true
	case lineEnds(text, '`'):
		return PowerShell, true
	case first == "curl.exe" && strings.Contains(text, "'"):
		return PowerShell, true
	case first == "curl.exe" || doubledQuotes(text):
		return Cmd, true
	}
	return Curl, true
}

// doubledQuotes says whether the quotes of a JSON text are written twice, as older browsers write them for the Windows
// prompt. To other shells that would be JSON without its quotes.
func doubledQuotes(text string) bool {
	return strings.Contains(text, ` "{""`) || strings.Contains(text, ` "[{""`)
}

// lineEnds says whether a line of a text ends with a sign.
func lineEnds(text string, sign byte) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); len(line) > 0 && line[len(line)-1] == sign {
			return true
		}
	}
	return false
}

// withoutPrompt takes the prompt off that was copied with a command.
func withoutPrompt(text string) string {
	text = strings.TrimLeft(text, " \t\r\n")
	for _, prompt := range []string{"$ ", "% ", "# ", "> "} {
		if rest, ok := strings.CutPrefix(text, prompt); ok {
			return rest
		}
	}
	if i := strings.Index(text, ">"); i > 0 && i < 200 && (strings.HasPrefix(text, "PS ") || strings.HasPrefix(text[1:], ":\\")) {
		return strings.TrimLeft(text[i+1:], " ")
	}
	return text
}

func readCommand(text string, format Format) (Request, error) {
	text = withoutPrompt(text)
	if format == PowerShell {
		if i := webRequest(text); i >= 0 {
			return readWebRequest(text[i:])
		}
	}
	var r Request
	var words []string
	var err error
	switch format {
	case Cmd:
		words, err = cmdWords(text)
	case PowerShell:
		words, err = r.powerWords(text)
	default:
		words, err = posixWords(text)
	}
	if err != nil {
		return Request{}, err
	}
	if len(words) == 0 || !isCurl(words[0]) {
		return Request{}, errors.New("this is no curl command: it must begin with curl")
	}
	var c curl
	if err := c.parse(words[1:]); err != nil {
		return Request{}, err
	}
	return r, c.into(&r)
}

func isCurl(word string) bool {
	word = strings.ToLower(word)
	return word == "curl" || word == "curl.exe" || strings.HasSuffix(word, "/curl") || strings.HasSuffix(word, `\curl.exe`)
}

// curl is what a command line asks for, as far as it shapes the request.
type curl struct {
	method  string
	url     string
	headers []string
	data    []string
	json    bool // --json was given
	hasData bool
	get     bool
	head    bool
	queries []string
	agent   string
	referer string
	cookie  string
	user    string
}

// shortOptions are curl's one-letter options by the names of the long ones. Those that shape no request stand for themselves
// below.
var shortOptions = map[byte]string{
	'X': "request", 'H': "header", 'd': "data", 'G': "get", 'I': "head", 'A': "user-agent", 'e': "referer", 'b': "cookie",
	'u': "user", 'F': "form", 'T': "upload-file", 'K': "config", ':': "next", 'o': "output", 'm': "max-time", 'x': "proxy",
	'c': "cookie-jar", 'w': "write-out", 'D': "dump-header", 'E': "cert", 'U': "proxy-user", 'r': "range", 'y': "speed-time",
	'Y': "speed-limit", 'z': "time-cond", 'k': "insecure", 's': "silent", 'S': "show-error", 'L': "location", 'v': "verbose",
	'i': "include", 'f': "fail", 'g': "globoff", '4': "ipv4", '6': "ipv6", 'N': "no-buffer", 'O': "remote-name",
	'#': "progress-bar", 'q': "disable", '0': "http1.0", '1': "tlsv1", '2': "sslv2", '3': "sslv3", 'n': "netrc", 'p': "proxytunnel",
	'J': "remote-header-name", 'j': "junk-session-cookies", 'R': "remote-time", 'Z': "parallel", 'a': "append",
}

// withoutEffect are options that do not change what is signed; the words behind those of withValue belong to them.
var (
	withValue = set("output max-time connect-timeout proxy cookie-jar write-out dump-header cert cert-type key key-type pass cacert " +
		"capath proxy-user range speed-time speed-limit time-cond resolve connect-to retry retry-delay retry-max-time interface " +
		"limit-rate max-redirs max-filesize ciphers tls13-ciphers tls-max noproxy stderr trace trace-ascii keepalive-time " +
		"expect100-timeout dns-servers doh-url preproxy socks5 socks5-hostname socks4 socks4a unix-socket abstract-unix-socket " +
		"local-port pinnedpubkey crlfile curves engine proto proto-default proto-redir output-dir happy-eyeballs-timeout-ms alt-svc hsts")
	withoutValue = set("insecure silent show-error location location-trusted verbose include fail fail-with-body fail-early globoff " +
		"ipv4 ipv6 no-buffer remote-name remote-name-all progress-bar disable http0.9 http1.0 http1.1 http2 http2-prior-knowledge http3 " +
		"http3-only tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 sslv2 sslv3 netrc netrc-optional proxytunnel remote-header-name " +
		"junk-session-cookies remote-time parallel append compressed compressed-ssh no-keepalive no-progress-meter digest basic ntlm " +
		"negotiate anyauth ssl-no-revoke ssl-reqd ssl proxy-insecure create-dirs path-as-is raw tcp-nodelay tcp-fastopen tr-encoding " +
		"no-alpn no-npn no-sessionid post301 post302 post303 retry-all-errors retry-connrefused show-headers trace-time no-location " +
		"no-compressed no-insecure no-silent no-verbose false-start suppress-connect-headers no-clobber styled-output no-styled-output")
)

func set(words string) map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		all[word] = true
	}
	return all
}

func (c *curl) parse(words []string) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		next := func() (string, error) {
			if i++; i == len(words) {
				return "", fmt.Errorf("the option %s needs a value: the command is cut off", clip(word))
			}
			return words[i], nil
		}
		var err error
		switch {
		case word == "--" || word == "-" || word == "":
		case strings.HasPrefix(word, "--"):
			err = c.option(word[2:], next)
		case word[0] == '-':
			err = c.letters(word[1:], next)
		default:
			err = c.address(word)
		}
		if err != nil {
			return err
		}
	}
	if c.url == "" {
		return errors.New("the command names no URL")
	}
	return nil
}

// letters reads one-letter options, of which several may stand together and the last may have its value behind it.
func (c *curl) letters(letters string, next func() (string, error)) error {
	for i := range len(letters) {
		name, ok := shortOptions[letters[i]]
		if !ok {
			return unknownOption("-" + clip(letters[i:]))
		}
		attached, used := letters[i+1:], false
		err := c.option(name, func() (string, error) {
			if used = true; attached != "" {
				return attached, nil
			}
			return next()
		})
		if err != nil || used {
			return err
		}
	}
	return nil
}

func unknownOption(option string) error {
	return fmt.Errorf("curl's option %s is not known here, nor whether a value follows it: leave it out if it does not shape the request", option)
}

// option reads one option. next returns its value.
func (c *curl) option(name string, next func() (string, error)) error {
	switch name {
	case "get":
		c.get = true
		return nil
	case "head":
		c.head = true
		return nil
	case "form", "form-string", "upload-file", "config":
		return fmt.Errorf("curl's --%s sends what the command line does not show byte for byte: capture raw HTTP instead", name)
	case "next":
		return errors.New("the command makes several requests (--next): give one")
	}
	if withoutValue[name] {
		return nil
	}
	value, known := c.setter(name)
	if !known && !withValue[name] {
		return unknownOption("--" + clip(name))
	}
	text, err := next()
	if err != nil || !known {
		return err
	}
	return value(text)
}

// setter returns what takes the value of an option that shapes the request.
func (c *curl) setter(name string) (func(string) error, bool) {
	into := func(s *string) (func(string) error, bool) {
		return func(v string) error { *s = v; return nil }, true
	}
	switch name {
	case "request":
		return into(&c.method)
	case "user-agent":
		return into(&c.agent)
	case "referer":
		return into(&c.referer)
	case "cookie":
		return into(&c.cookie)
	case "user":
		return into(&c.user)
	case "url":
		return c.address, true
	case "url-query":
		return func(v string) error { return c.encoded(v, &c.queries) }, true
	case "header":
		return func(v string) error {
			if strings.HasPrefix(v, "@") {
				return errFile
			}
			c.headers = append(c.headers, v)
			return nil
		}, true
	case "data-raw":
		return func(v string) error { return c.body(v) }, true
	case "data", "data-ascii", "data-binary", "json":
		return func(v string) error {
			if strings.HasPrefix(v, "@") {
				return errFile
			}
			c.json = c.json || name == "json"
			return c.body(v)
		}, true
	case "data-urlencode":
		c.hasData = true
		return func(v string) error { return c.encoded(v, &c.data) }, true
	}
	return nil, false
}

func (c *curl) address(word string) error {
	if c.url != "" {
		return errors.New("the command names two URLs, or a word that belongs in quotes stands outside of them")
	}
	c.url = word
	return nil
}

func (c *curl) body(text string) error {
	c.data, c.hasData = append(c.data, text), true
	return nil
}

// encoded reads a value of --data-urlencode: content, =content, or name=content.
func (c *curl) encoded(v string, to *[]string) error {
	name, content, named := strings.Cut(v, "=")
	if at := strings.IndexByte(v, '@'); at >= 0 && (!named || at < len(name)) {
		return errFile
	}
	if !named {
		name, content = "", v
	}
	text := strings.ReplaceAll(url.QueryEscape(content), "+", "%20")
	if name != "" {
		text = name + "=" + text
	}
	*to = append(*to, text)
	return nil
}

// into makes the request.
func (c *curl) into(r *Request) error {
	r.Header = http.Header{}
	r.Query = queryOf(c.url)
	joint := "&"
	if c.json {
		joint = ""
	}
	data := strings.Join(c.data, joint)
	if c.get {
		c.queries, data = append(c.queries, data), ""
		c.hasData = false
	}
	queries := slices.DeleteFunc(append([]string{r.Query}, c.queries...), func(q string) bool { return q == "" })
	r.Query = strings.Join(queries, "&")
	r.Body = []byte(data)
	if r.Method = c.verb(); !isToken(r.Method) {
		return errors.New("the command's method (-X) is no method of HTTP")
	}
	if err := c.fillHeader(r.Header); err != nil {
		return err
	}
	r.lossy()
	return nil
}

func (c *curl) verb() string {
	switch {
	case c.method != "":
		return c.method
	case c.head:
		return http.MethodHead
	case c.hasData:
		return http.MethodPost
	}
	return http.MethodGet
}

// fillHeader sets the headers of the command line and those that curl adds by itself.
func (c *curl) fillHeader(h http.Header) error {
	gone := map[string]bool{}
	for i, line := range c.headers {
		where := fmt.Sprintf("-H number %d", i+1)
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			if name, ok = strings.CutSuffix(line, ";"); !ok { // curl's way to send an empty header
				return fmt.Errorf("%s is not of the form Name: value", where)
			}
		} else if strings.TrimSpace(value) == "" {
			gone[http.CanonicalHeaderKey(name)] = true // and its way to leave one out
			continue
		}
		if strings.HasPrefix(line, ":") {
			continue // HTTP/2's :method and the like
		}
		if err := addHeader(h, where, name, value); err != nil {
			return err
		}
	}
	own := map[string]string{"User-Agent": c.agent, "Referer": c.referer}
	if strings.Contains(c.cookie, "=") {
		own["Cookie"] = c.cookie
	}
	if c.user != "" {
		own["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.user))
	}
	if c.hasData {
		own["Content-Type"] = "application/x-www-form-urlencoded"
	}
	if c.json {
		own["Content-Type"] = "application/json"
	}
	for name, value := range own {
		if value == "" || gone[name] || h.Get(name) != "" {
			continue
		}
		if err := addHeader(h, "the header "+name, name, value); err != nil {
			return err
		}
	}
	return nil
}
