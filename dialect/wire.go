package dialect

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WrapRaw returns a payload as it is stored: a JSON object stays as it is, byte for byte; any other JSON value becomes
// {"raw": value}; what is not JSON becomes {"raw": "text"}, in base64 with "encoding" beside it when it is not UTF-8.
func WrapRaw(payload []byte) []byte {
	trimmed := bytes.TrimLeft(payload, " \t\r\n")
	switch {
	case validJSON(payload) && utf8.Valid(payload):
		if len(trimmed) > 0 && trimmed[0] == '{' {
			return payload
		}
		return append(append([]byte(`{"raw":`), payload...), '}')
	case utf8.Valid(payload):
		return append(append([]byte(`{"raw":`), Quote(string(payload))...), '}')
	}
	return append(append([]byte(`{"raw":"`), base64.StdEncoding.EncodeToString(payload)...), `","encoding":"base64"}`...)
}

// Quote writes a JSON string without the HTML escapes of encoding/json: as other platforms' encoders do.
func Quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Derive draws n bytes from a seed for a purpose: the same for the same seed and purpose, unpredictable without it.
func Derive(seed [32]byte, purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, seed[:], nil, "waypost/"+purpose, n)
	if err != nil {
		panic("dialect: derive: " + err.Error()) // only for n over 8160: a fault of the caller's code
	}
	return b
}

// Header returns the first value of a header whatever the spelling of its name, dashes and case as given otherwise.
func Header(h http.Header, name string) string {
	if v := h.Values(name); len(v) > 0 {
		return v[0]
	}
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// JudgeStatus is the rule of most platforms: these statuses are an acknowledgement, any other answer is tried again.
func JudgeStatus(r Response, ok func(status int) bool) Verdict {
	v := Verdict{Retry, answered(r.Status)}
	if ok(r.Status) {
		v.Kind = Accepted
	}
	return v
}

// answered is a status as a reason.
func answered(code int) string {
	if code == http.StatusOK {
		return "answered 200 OK" // as nearly always
	}
	t := http.StatusText(code)
	if t != "" {
		t = " " + t
	}
	return "answered " + strconv.Itoa(code) + t
}
