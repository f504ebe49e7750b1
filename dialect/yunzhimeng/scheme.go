package yunzhimeng

import (
	"fmt"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	maxFieldNames = 1000
	maxCalls      = 100
)

// A scheme is how an envelope is signed.
type scheme struct {
	text   textForm
	format sigFormat
}

func bad(field, format string, args ...any) error {
	return dialect.Problem{Field: field, Text: fmt.Sprintf(format, args...)}
}

// choose looks a choice up. The text of the error names what there is, never what was given.
func choose[V any](s dialect.Settings, name, def string, table map[string]V) (V, error) {
	v, known := table[s.Or(name, def)]
	if !known {
		return v, bad(name, "must be one of %s", strings.Join(sortedNames(table), ", "))
	}
	return v, nil
}

func readScheme(s dialect.Settings) (scheme, error) {
	text, err := choose(s, setSignedText, defaultSignedText, textForms)
	if err != nil {
		return scheme{}, err
	}
	format, err := choose(s, setSigEncoding, defaultSigEncoding, sigFormats)
	return scheme{text, format}, err
}

// live returns the values of a key field, of which there must be at least one and at most MaxLiveSecrets.
func live(s dialect.Settings, name string) ([]string, error) {
	values := s.All(name)
	switch {
	case len(values) == 0:
		return nil, bad(name, "is not set")
	case len(values) > dialect.MaxLiveSecrets:
		return nil, bad(name, "holds %d keys; at most %d are allowed", len(values), dialect.MaxLiveSecrets)
	}
	return values, nil
}

// readVerifiers reads the keys that check signatures.
func readVerifiers(s dialect.Settings) ([]verifier, error) {
	values, err := live(s, setIVSPublic)
	if err != nil {
		return nil, err
	}
	out := make([]verifier, 0, len(values))
	for _, v := range values {
		k, err := parsePublic(v)
		if err != nil {
			return nil, bad(setIVSPublic, "%v", err)
		}
		algorithm, err := algorithmFor(s.Or(setAlgorithm, algorithmAuto), k.curve)
		if err != nil {
			return nil, bad(setIVSPublic, "%v", err)
		}
		out = append(out, verifier{k, algorithm})
	}
	return out, nil
}

// readSigner reads the key that signs: the first.
func readSigner(s dialect.Settings) (signer, error) {
	values, err := live(s, setIVSPrivate)
	if err != nil {
		return signer{}, err
	}
	return parseSigner(s, values[0])
}

func parseSigner(s dialect.Settings, text string) (signer, error) {
	k, err := parsePrivate(text)
	if err != nil {
		return signer{}, bad(setIVSPrivate, "%v", err)
	}
	algorithm, err := algorithmFor(s.Or(setAlgorithm, algorithmAuto), k.curve)
	if err != nil {
		return signer{}, bad(setIVSPrivate, "%v", err)
	}
	return signer{k, algorithm}, nil
}

// readOpener reads what opens encrypted fields; nil when no key is set.
func readOpener(s dialect.Settings) (*opener, error) {
	if len(s.All(setSignSecret)) == 0 {
		return nil, nil
	}
	values, err := live(s, setSignSecret)
	if err != nil {
		return nil, err
	}
	o := &opener{names: fieldNames(s), flagPlain: s.Get(setPlainFields) == plainFlag}
	if o.codec, err = choose(s, setFieldEncoding, defaultCodec, codecs); err != nil {
		return nil, err
	}
	for _, v := range values {
		k, err := parsePrivate(v)
		if err != nil {
			return nil, bad(setSignSecret, "%v", err)
		}
		f, err := cipherFor(s.Or(setCipher, cipherAuto), k.curve)
		if err != nil {
			return nil, bad(setSignSecret, "%v", err)
		}
		o.keys = append(o.keys, openingKey{k, f})
	}
	return o, nil
}

// readSealer reads what encrypts fields; nil when no key is set.
func readSealer(s dialect.Settings) (*sealer, error) {
	text := s.Get(setSignPublic)
	if text == "" {
		return nil, nil
	}
	k, err := parsePublic(text)
	if err != nil {
		return nil, bad(setSignPublic, "%v", err)
	}
	f, err := cipherFor(s.Or(setCipher, cipherAuto), k.curve)
	if err != nil {
		return nil, bad(setSignPublic, "%v", err)
	}
	c, err := choose(s, setFieldEncoding, defaultCodec, codecs)
	if err != nil {
		return nil, err
	}
	return &sealer{names: fieldNames(s), codec: c, key: k, cipher: f}, nil
}

// fieldNames returns the list of encrypted fields, given as several values or as one with commas.
func fieldNames(s dialect.Settings) []string {
	var out []string
	for _, v := range s[setFields] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" && len(out) < maxFieldNames {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return defaultFields
	}
	return out
}

// usableEventType says whether a text can be an event code: it travels in a header, which loses blanks at its ends.
func usableEventType(s string) bool { return dialect.Printable(s) && strings.TrimSpace(s) == s }

// single returns a length of time that is set and is one value; ok is also true when it is not set.
func single(s dialect.Settings, name string, def time.Duration) (d time.Duration, ok bool) {
	values := s.All(name)
	if len(values) == 0 {
		return def, true
	}
	d = s.Duration(name, -1) // a list with commas is none
	return d, len(values) == 1 && d >= 0
}

// check looks at settings as a whole.
func check(s dialect.Settings, use dialect.Use) error {
	if _, err := readScheme(s); err != nil {
		return err
	}
	if use == dialect.Sending {
		return checkSending(s)
	}
	if _, err := readVerifiers(s); err != nil {
		return err
	}
	if _, err := readOpener(s); err != nil {
		return err
	}
	if d, ok := single(s, setDedupFor, defaultMemory); !ok || d < time.Minute {
		return bad(setDedupFor, "must be one length of time of at least 1m, longer than the platform goes on repeating")
	}
	if d, ok := single(s, setMaxSkew, memory(s)/2); !ok || d == 0 || d > memory(s)/2 {
		return bad(setMaxSkew, "must be one length of time above zero and at most half of %s", setDedupFor)
	}
	return nil
}

func checkSending(s dialect.Settings) error {
	values, err := live(s, setIVSPrivate)
	if err != nil {
		return err
	}
	for _, v := range values {
		if _, err := parseSigner(s, v); err != nil {
			return err
		}
	}
	if _, err := readSealer(s); err != nil {
		return err
	}
	if !usableEventType(s.Or(setTestCode, defaultTestCode)) {
		return bad(setTestCode, "must be 1 to 256 bytes of printable text without blanks at its ends")
	}
	if d, ok := single(s, setDeadline, defaultDeadline); !ok || d == 0 {
		return bad(setDeadline, "must be one length of time above zero")
	}
	if s.Get(setSchedule) != "" {
		if n := len(s.Durations(setSchedule)); n == 0 || n > maxCalls {
			return bad(setSchedule, "must be 1 to %d lengths of time with commas, such as 5s,30s", maxCalls)
		}
	}
	return nil
}
