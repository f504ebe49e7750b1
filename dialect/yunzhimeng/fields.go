package yunzhimeng

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

const (
	maxTrial  = 64       // fields that Receive tries to open: one costs up to a millisecond, and the platform waits
	maxSealed = 32 << 10 // bytes of a text to be encrypted: these are id-card numbers and passwords
)

// A field is a string that is the value of a listed member, somewhere in a JSON text.
type field struct {
	name       string
	value      string
	err        error // the value has no UTF-8 form
	start, end int   // of the value's token in the text, quotes included
}

// eachField calls visit for every string that is the value of a member with one of the names, at any depth and in the
// order of the text, until visit returns false. The text is JSON that was found valid; of any other text it reads some
// prefix. Numbers, nulls, objects and lists under a listed name are not visited; the members within them are.
func eachField(text []byte, names []string, visit func(field) bool) {
	for i := bytes.IndexByte(text, '"'); i >= 0; {
		end := stringEnd(text, i)
		// In valid JSON a string before a colon is a name, and any other is a value.
		if colon := skipBlanks(text, end); colon < len(text) && text[colon] == ':' {
			start := skipBlanks(text, colon+1)
			if start < len(text) && text[start] == '"' {
				token := text[i:end]
				end = stringEnd(text, start)
				if name, ok := listed(token, names); ok {
					value, err := dialect.Unquote(text[start:end])
					if !visit(field{name, string(value), err, start, end}) {
						return
					}
				}
			}
		}
		next := bytes.IndexByte(text[end:], '"')
		if next < 0 {
			return
		}
		i = end + next
	}
}

// listed says which of the names a token spells, escapes or not.
func listed(token []byte, names []string) (string, bool) {
	plain, err := dialect.Unquote(token)
	if err != nil {
		return "", false
	}
	for _, name := range names {
		if string(plain) == name {
			return name, true
		}
	}
	return "", false
}

// stringEnd returns the place behind the string token that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func skipBlanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// rewrite puts other strings in the place of listed ones. All other bytes of the text stay as they are; without a
// change the text itself is returned.
func rewrite(text []byte, names []string, edit func(field) (value string, change bool, err error)) ([]byte, error) {
	var out []byte
	var failed error
	last := 0
	eachField(text, names, func(f field) bool {
		value, change, err := edit(f)
		if err != nil || !change {
			failed = err
			return err == nil
		}
		out = dialect.AppendQuote(append(out, text[last:f.start]...), value)
		last = f.end
		return true
	})
	if failed != nil || last == 0 {
		return text, failed
	}
	return append(out, text[last:]...), nil
}

// A codec is the text form of a ciphertext.
type codec struct {
	encode func([]byte) string
	decode func(string) ([]byte, error)
}

// The codecs, by the names of the setting field_encoding. Base64 with line ends in it is read too: old Java encoders
// break lines.
var codecs = map[string]codec{
	"base64": {base64.StdEncoding.EncodeToString, base64.StdEncoding.DecodeString},
	"hex":    {hex.EncodeToString, hex.DecodeString},
}

// An opener decrypts the fields of a message.
type opener struct {
	names     []string
	codec     codec
	keys      []openingKey
	flagPlain bool // a listed field in clear is worth a word
}

type openingKey struct {
	privateKey
	fieldCipher
}

// A sight is what a field's value turned out to be.
type sight int

const (
	inClear sight = iota // nothing that this cipher makes: left alone
	opened
	sealedShut // has the shape of a ciphertext, but no key opens it
)

func (o *opener) open(value string) (plain string, s sight) {
	sealed, err := o.codec.decode(value)
	if err != nil || len(sealed) == 0 {
		return "", inClear
	}
	for _, k := range o.keys {
		if !k.looks(k.privateKey, sealed) {
			continue
		}
		s = sealedShut
		if b, ok := k.open(k.privateKey, sealed); ok && utf8.Valid(b) {
			return string(b), opened
		}
	}
	return "", s
}

// trial opens the first fields of a payload and says what could not be read, "" when all could.
func (o *opener) trial(payload []byte) (unreadable string) {
	left := maxTrial
	eachField(payload, o.names, func(f field) bool {
		left--
		switch _, s := o.open(f.value); {
		case s == sealedShut:
			unreadable = shut(f.name)
		case s == inClear && o.flagPlain && (f.value != "" || f.err != nil):
			unreadable = fmt.Sprintf("member %q came in clear, though plain_fields says that it is encrypted", f.name)
		}
		return unreadable == "" && left > 0
	})
	return unreadable
}

func shut(name string) string {
	return fmt.Sprintf("member %q looks encrypted but does not open with sign_secret_key: it is encrypted to another key, or field_cipher differs", name)
}

// payload opens every field that is encrypted and leaves the others alone.
func (o *opener) payload(text []byte) ([]byte, error) {
	return rewrite(text, o.names, func(f field) (string, bool, error) {
		plain, s := o.open(f.value)
		if s == sealedShut {
			return "", false, fmt.Errorf("decrypting: %s", shut(f.name))
		}
		return plain, s == opened, nil
	})
}

// A sealer encrypts the fields of a message.
type sealer struct {
	names  []string
	codec  codec
	key    publicKey
	cipher fieldCipher
}

// payload encrypts every listed field but empty ones. The same seed gives the same bytes.
func (o *sealer) payload(text []byte, seed [32]byte) ([]byte, error) {
	occurrence := 0
	return rewrite(text, o.names, func(f field) (string, bool, error) {
		if f.value == "" && f.err == nil {
			return "", false, nil
		}
		if f.err != nil {
			return "", false, fmt.Errorf("encrypting member %q: it %w", f.name, f.err)
		}
		if len(f.value) > maxSealed {
			return "", false, fmt.Errorf("encrypting member %q: it is longer than %d bytes", f.name, maxSealed)
		}
		occurrence++
		plain := []byte(f.value)
		sealed, err := o.cipher.seal(o.key, drawFor(seed, o.key, occurrence, plain), plain)
		if err != nil {
			return "", false, fmt.Errorf("encrypting member %q: %w", f.name, err)
		}
		return o.codec.encode(sealed), true, nil
	})
}
