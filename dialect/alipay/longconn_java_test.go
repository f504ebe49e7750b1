package alipay

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// What the Java client makes of a register answer.
type javaAnswer struct {
	signed, token string
	err           error
}

// readAnswerAsJava reads a register answer as the Java SDK's scanner does, by positions and not as JSON. ownSN is the
// serial of the client's platform certificate, "" in key mode, in which the client has no answer to alipay_cert_sn.
func readAnswerAsJava(key *PublicKey, signType, ownSN string, body []byte) (a javaAnswer) {
	fail := func(text string) javaAnswer { a.err = errors.New(text); return a }
	s := strings.TrimSpace(string(body))
	if !strings.HasPrefix(s, "{") {
		return fail("it does not begin with a brace")
	}
	at := strings.Index(s, `"response"`)
	if at < 0 {
		return fail("there is no response")
	}
	for _, next := range []string{":", "{"} {
		skip := strings.Index(s[at:], next)
		if skip < 0 {
			return fail("there is no " + next + " behind response")
		}
		at += skip
	}
	start, end, sign := at, len(s), ""
	if i := strings.LastIndex(s, `"sign"`); i >= 0 {
		m := regexp.MustCompile(`^"sign"\s*:\s*"([^"]*)"`).FindStringSubmatchIndex(s[i:])
		if m == nil {
			return fail("sign is no string")
		}
		sign = s[i+m[2] : i+m[3]]
		end = strings.LastIndex(s[:i+m[2]], "}") + 1
	}
	if end <= start {
		return fail("the response does not end before the sign")
	}
	a.signed = s[start:end]
	flat := strings.NewReplacer(" ", "", "\t", "", "\n", "").Replace(a.signed)
	text := func(name string) string {
		_, rest, _ := strings.Cut(flat, `"`+name+`":"`)
		value, _, ok := strings.Cut(rest, `"`)
		if !ok {
			return ""
		}
		return value
	}
	if code := text("code"); code != "10000" && code != "100000000" {
		return fail("the code means fail")
	}
	if sign == "" {
		return fail("there is no sign")
	}
	if err := key.Verify(signType, []byte(a.signed), sign); err != nil {
		return fail(err.Error())
	}
	if i := strings.Index(s, `"alipay_cert_sn"`); i >= 0 {
		from, to := i+len(`"alipay_cert_sn"`)+2, strings.LastIndex(s, "}")-1
		if ownSN == "" || from > to || s[from:to] != ownSN {
			return fail("the serial is not the client's own")
		}
	}
	if a.token = text("link_token"); a.token == "" {
		return fail("there is no link_token")
	}
	return a
}

var javaData = regexp.MustCompile(`"data" *: *\{`)

// readFrameAsJava reads a frame as the Java SDK's client does; an error is a frame that it drops without a word.
func readFrameAsJava(text []byte) (Frame, error) {
	var f Frame
	head, doc, ok := strings.Cut(string(text), "\r\n\r\n")
	if !ok {
		return f, errors.New("there is no blank line")
	}
	for line := range strings.SplitSeq(head, "\r\n") {
		pieces := strings.Split(line, ":")
		for _, h := range f.headers() {
			if h.name != pieces[0] {
				continue
			}
			for len(pieces) > 0 && pieces[len(pieces)-1] == "" { // String.split drops empty pieces at the end
				pieces = pieces[:len(pieces)-1]
			}
			if len(pieces) < 2 {
				return f, errors.New("index out of range")
			}
			*h.field = pieces[1]
		}
	}
	var v struct {
		Protocol map[string]any  `json:"protocol"`
		Data     json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(doc))).Decode(&v); err != nil {
		return f, err
	}
	kind := ""
	members := f.members()
	for _, m := range append(members[:], member{name: "x-type", field: &kind}) {
		value, is := v.Protocol[m.name].(string)
		if v.Protocol[m.name] != nil && !is {
			return f, errors.New(m.name + " cannot be cast to String")
		}
		*m.field = value
	}
	if kind == "" {
		return f, errors.New("there is no x-type")
	}
	if at := javaData.FindStringIndex(doc); at != nil {
		end, err := javaBrace(doc, at[1]-1)
		if err != nil {
			return f, err
		}
		f.Data = []byte(doc[at[1]-1 : end])
	}
	return f, nil
}

// javaBrace returns the index behind the brace that closes the one at start. Strings are passed over, and a quote
// behind an odd run of backslashes does not end one.
func javaBrace(s string, start int) (int, error) {
	depth, inText, run := 0, false, 0
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			run++
			continue
		case c == '"' && run%2 == 0:
			inText = !inText
		case c == '{' && !inText:
			depth++
		case c == '}' && !inText:
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
		run = 0
	}
	return 0, errors.New("the data does not end")
}
