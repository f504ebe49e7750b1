package capture

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	errQuote     = errors.New("a quote is opened and never closed: the command is cut off")
	errAmpersand = errors.New("an & stands outside of quotes, where it ends the command: put the URL in quotes")
	errMore      = errors.New("there is more behind the command: give one command, its lines joined by the shell's own sign at the line's end")
	errFile      = errors.New("the command takes what it sends from a file, which is not read here: put the content into the command, or capture raw HTTP")
)

// splitter cuts a command line into words.
type splitter struct {
	text  string
	at    int
	words []string
	word  []byte
	open  bool // a word has begun, though it may be empty
}

func (s *splitter) end() {
	if s.open {
		s.words = append(s.words, string(s.word))
	}
	s.word, s.open = nil, false
}

func (s *splitter) add(b ...byte) {
	s.word = append(s.word, b...)
	s.open = true
}

// newline ends a word at a line's end. It is the end of the command too, unless options follow on the next line: their sign
// of continuation is lost easily when text is copied.
func (s *splitter) newline() (over bool, err error) {
	s.end()
	rest := strings.TrimLeft(s.text[s.at:], " \t\r\n")
	s.at = len(s.text) - len(rest)
	switch {
	case rest == "":
		return true, nil
	case strings.HasPrefix(rest, "-"):
		return false, nil
	}
	return true, errMore
}

// posixWords cuts a command line as sh, bash and zsh do, up to its end or a pipe.
func posixWords(text string) ([]string, error) {
	s := splitter{text: text}
	for s.at < len(text) {
		c := text[s.at]
		s.at++
		switch c {
		case ' ', '\t', '\r':
			s.end()
		case '\n':
			if over, err := s.newline(); over || err != nil {
				return s.words, err
			}
		case '|', ';', '>', '<':
			if strings.HasPrefix(text[s.at-1:], "<<<") || strings.HasPrefix(text[s.at-1:], "<") {
				return nil, errFile
			}
			s.redirected()
			return s.last()
		case '&':
			if strings.HasPrefix(text[s.at:], "&") {
				return s.last()
			}
			return nil, errAmpersand
		case '\\':
			s.backslash()
		case '\'':
			i := strings.IndexByte(text[s.at:], '\'')
			if i < 0 {
				return nil, errQuote
			}
			s.add([]byte(text[s.at : s.at+i])...)
			s.at += i + 1
		case '"':
			if err := s.double(); err != nil {
				return nil, err
			}
		case '$':
			if strings.HasPrefix(text[s.at:], "'") {
				s.at++
				if err := s.ansi(); err != nil {
					return nil, err
				}
				continue
			}
			if err := s.variable(); err != nil {
				return nil, err
			}
		default:
			s.add(c)
		}
	}
	s.end()
	return s.words, nil
}

var errTwo = errors.New("there are two commands: give the one that is to be checked")

// last ends the command at a sign of the shell. What stands behind it is of no interest, unless it is a request too.
func (s *splitter) last() ([]string, error) {
	s.end()
	if rest := strings.TrimLeft(s.text[s.at:], "&|; \t\r\n"); rest == "curl" || strings.HasPrefix(rest, "curl ") {
		return nil, errTwo
	}
	return s.words, nil
}

// redirected takes back the number of a stream that stood before > (as in 2>&1).
func (s *splitter) redirected() {
	if s.text[s.at-1] == '>' && len(s.word) == 1 && s.word[0] >= '0' && s.word[0] <= '9' {
		s.word, s.open = nil, false
	}
}

// backslash reads what stands behind one outside of quotes. Blanks between it and the line's end are an accident of copying.
func (s *splitter) backslash() {
	rest := s.text[s.at:]
	blank := strings.TrimLeft(rest, " \t\r")
	switch {
	case rest == "" || blank == "":
		s.at = len(s.text)
	case blank[0] == '\n':
		s.at += len(rest) - len(blank) + 1
	default:
		s.add(rest[0])
		s.at++
	}
}

// variable refuses what a shell would have replaced, and takes a lone dollar sign as it is.
func (s *splitter) variable() error {
	if s.at < len(s.text) && (isWord(s.text[s.at]) || strings.IndexByte("{(", s.text[s.at]) >= 0) {
		return errVariable
	}
	s.add('$')
	return nil
}

var errVariable = errors.New("the command holds a variable or another command ($… or backquotes), whose value is not known here: put the value in its place, or the text into single quotes")

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// double reads a text in double quotes.
func (s *splitter) double() error {
	s.open = true
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch c {
		case '"':
			return nil
		case '`':
			return errVariable
		case '$':
			if err := s.variable(); err != nil {
				return err
			}
		case '\\':
			if s.at < len(s.text) && strings.IndexByte("\"\\$`", s.text[s.at]) >= 0 {
				s.add(s.text[s.at])
				s.at++
			} else if strings.HasPrefix(s.text[s.at:], "\n") {
				s.at++
			} else if strings.HasPrefix(s.text[s.at:], "\r\n") {
				s.at += 2
			} else {
				s.add('\\')
			}
		default:
			s.add(c)
		}
	}
	return errQuote
}

var ansiEscapes = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': '\n', 'r': '\r', 't': '\t', 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

// ansi reads a text in $'…', as browsers write what single quotes cannot hold.
func (s *splitter) ansi() error {
	s.open = true
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '\'':
			return nil
		case c != '\\' || s.at == len(s.text):
			s.add(c)
			continue
		}
		c = s.text[s.at]
		s.at++
		plain, known := ansiEscapes[c]
		switch {
		case known:
			s.add(plain)
		case c == 'x':
			s.number(16, 2, c)
		case c == 'u':
			s.number(16, 4, c)
		case c == 'U':
			s.number(16, 8, c)
		case c >= '0' && c <= '7':
			s.at--
			s.number(8, 3, c)
		default:
			s.add('\\', c)
		}
	}
	return errQuote
}

// number reads an escape in digits: of a byte, or of a character. Two escapes of UTF-16 surrogates become their character, as
// the writers that make them mean it.
func (s *splitter) number(base, most int, kind byte) {
	n, size := s.digits(base, most)
	if size == 0 {
		s.add('\\', kind)
		return
	}
	s.at += size
	if kind != 'u' && kind != 'U' {
		s.add(byte(n))
		return
	}
	if n >= 0xD800 && n < 0xDC00 && strings.HasPrefix(s.text[s.at:], `\u`) {
		s.at += 2
		if low, size := s.digits(base, 4); low >= 0xDC00 && low < 0xE000 {
			s.at += size
			n = 0x10000 + (n-0xD800)<<10 + (low - 0xDC00)
		} else {
			s.at -= 2
		}
	}
	if n > utf8.MaxRune {
		n = utf8.RuneError
	}
	s.add(utf8.AppendRune(nil, rune(n))...)
}

func (s *splitter) digits(base, most int) (n uint64, size int) {
	for size < most && s.at+size < len(s.text) {
		if _, err := strconv.ParseUint(s.text[s.at+size:s.at+size+1], base, 8); err != nil {
			break
		}
		size++
	}
	n, _ = strconv.ParseUint(s.text[s.at:s.at+size], base, 64)
	return n, size
}

// cmdWords cuts a command line of the Windows command prompt: first as the prompt reads it (its ^), then as a program does.
func cmdWords(text string) ([]string, error) {
	var line []byte
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\r':
			continue
		case c == '\n':
			rest := strings.TrimLeft(text[i:], " \t\r\n")
			switch {
			case quoted:
				return nil, errQuote
			case rest == "":
				return programWords(line)
			case !strings.HasPrefix(rest, "-"):
				return nil, errMore
			}
			c, i = ' ', len(text)-len(rest)-1
		case quoted:
		case c == '^':
			i++
			if i < len(text) && text[i] == '\r' {
				i++
			}
			if i < len(text) && text[i] == '\n' { // the line goes on, and its first character is taken as it is
				i++
			}
			if i < len(text) {
				line = append(line, text[i])
			}
			continue
		case c == '&':
			return nil, errAmpersand
		case c == '<':
			return nil, errFile
		case c == '|' || c == '>':
			return programWords(line)
		}
		line = append(line, c)
	}
	return programWords(line)
}

// programWords cuts a line as programs of Windows do: backslashes count only before a quote, and a doubled quote within
// quotes is one.
func programWords(line []byte) ([]string, error) {
	s := splitter{text: string(line)}
	quoted := false
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '\\':
			n := 1
			for s.at < len(s.text) && s.text[s.at] == '\\' {
				n++
				s.at++
			}
			if s.at == len(s.text) || s.text[s.at] != '"' {
				s.add([]byte(strings.Repeat(`\`, n))...)
				continue
			}
			s.add([]byte(strings.Repeat(`\`, n/2))...)
			if n%2 == 1 {
				s.add('"')
				s.at++
			}
		case c == '"' && quoted && strings.HasPrefix(s.text[s.at:], `"`):
			s.add('"')
			s.at++
		case c == '"':
			quoted = !quoted
			s.open = true
		case !quoted && (c == ' ' || c == '\t'):
			s.end()
		default:
			s.add(c)
		}
	}
	if quoted {
		return nil, errQuote
	}
	s.end()
	return s.words, nil
}
