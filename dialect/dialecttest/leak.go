package dialecttest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

const (
	secretLength = 6  // a setting of fewer bytes may stand in a text by chance
	quoteLength  = 32 // how much of a request a text may repeat
)

// leaks reports a text for people that holds a setting or a good piece of the request.
func (c *vcase) leaks(what string, err error, s dialect.Settings, body []byte) {
	if err != nil {
		c.leaksText(what, err.Error(), s, body)
	}
}

func (c *vcase) leaksText(what, text string, s dialect.Settings, body []byte) {
	for _, f := range c.d.Fields {
		if slices.Contains([]dialect.FieldKind{dialect.KindChoice, dialect.KindBool, dialect.KindNumber, dialect.KindDuration}, f.Kind) {
			continue // words of the protocol, which texts may use
		}
		for _, v := range s[f.Name] {
			if v != f.Default && holds(text, v) {
				c.addf("%s holds the value of setting %s", what, f.Name)
			}
		}
	}
	for i := 0; i+quoteLength <= len(text); i++ {
		if bytes.Contains(body, []byte(text[i:i+quoteLength])) {
			c.addf("%s repeats %d bytes or more of the body", what, quoteLength)
			return
		}
	}
}

// holds says whether a text has a value in it, or one line of a value of several lines such as a PEM block.
func holds(text, value string) bool {
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if len(line) >= secretLength && !strings.HasPrefix(line, "-----") && strings.Contains(text, line) {
			return true
		}
	}
	return false
}
