package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// object is a JSON object whose members are read by name.
type object map[string]json.RawMessage

// text returns the first of some members that is there as a text; "" when none is. null counts as missing.
func (o object) text(names ...string) (string, error) {
	for _, name := range names {
		raw, ok := o[name]
		if !ok || string(raw) == "null" {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "", fmt.Errorf("%q must be a text in quotes", name)
		}
		return s, nil
	}
	return "", nil
}

// members are what the JSON form knows, with the spellings of the answers of this server's API and of common gateways.
var members = []string{
	"method", "httpMethod", "url", "path", "query", "rawQueryString", "headers", "body", "bodyBase64", "base64", "isBase64Encoded",
}

// readJSON reads one request, or one of a list.
func readJSON(text []byte, choice Choice) (Request, error) {
	if bytes.TrimSpace(text)[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return Request{}, notJSON(err)
		}
		urls := make([]string, len(list))
		for i, one := range list {
			var o object
			if json.Unmarshal(one, &o) == nil {
				urls[i], _ = o.text("url", "path")
			}
		}
		i, err := choose(urls, choice)
		if err != nil {
			return Request{}, err
		}
		text = list[i]
	} else if choice.Index > 1 {
		return Request{}, errors.New("there is one request, not a list: leave the index out")
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return Request{}, notJSON(err)
	}
	return fromObject(o)
}

func notJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("this begins as JSON but is not: near byte %d: %s", syntax.Offset, clip(syntax.Error()))
	}
	return errors.New("a captured request in JSON is an object: {\"method\", \"url\", \"headers\", \"body\" or \"bodyBase64\"}")
}

func fromObject(o object) (Request, error) {
	if _, inner := o["request"]; inner && o["headers"] == nil { // as the API lists refused requests
		var request object
		if json.Unmarshal(o["request"], &request) == nil {
			o = request
		}
	}
	if o["headers"] == nil {
		return Request{}, errors.New("\"headers\" is missing: if this is the body alone, give the whole request, as {\"method\":\"POST\",\"url\":…,\"headers\":{…},\"body\":\"…\"}")
	}
	r := Request{}
	var err error
	if r.Method, err = o.text("method", "httpMethod"); err != nil {
		return Request{}, err
	}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if !isToken(r.Method) {
		return Request{}, errors.New("\"method\" is no method of HTTP")
	}
	target, err := o.text("url", "path")
	if err != nil {
		return Request{}, err
	}
	query, err := o.text("query", "rawQueryString")
	if err != nil {
		return Request{}, err
	}
	if r.Query = strings.TrimPrefix(query, "?"); query == "" {
		r.Query = queryOf(target)
	}
	if r.Header, err = headersOf(o["headers"]); err != nil {
		return Request{}, err
	}
	if r.Body, err = bodyOf(o); err != nil {
		return Request{}, err
	}
	r.lossy()
	for name := range o {
		if !slices.Contains(members, name) {
			r.Notes = append(r.Notes, unread(o))
			break
		}
	}
	return r, nil
}

// unread names the members that were not read: a misspelt one would be lost in silence otherwise.
func unread(o object) dialect.Text {
	var names []string
	for name := range o {
		if !slices.Contains(members, name) {
			names = append(names, clip(name))
		}
	}
	slices.Sort(names)
	list := clip(strings.Join(names, ", "))
	return dialect.Text{En: "these members were not read: " + list, Zh: "以下成员未被读取：" + list}
}

// bodyOf reads body, bodyBase64, or body with a mark that it is in base64.
func bodyOf(o object) ([]byte, error) {
	marked := string(o["base64"]) == "true" || string(o["isBase64Encoded"]) == "true"
	coded, err := o.text("bodyBase64")
	if err != nil {
		return nil, err
	}
	if o["body"] != nil && coded != "" {
		return nil, errors.New("\"body\" and \"bodyBase64\" are both there: give one")
	}
	text, err := o.text("body")
	if err != nil {
		return nil, errors.New("\"body\" must be a text that holds the exact bytes: as an object it has lost its spacing and its order, which are signed. Give it in quotes, or as \"bodyBase64\"")
	}
	if marked {
		coded = text
	}
	if coded == "" {
		return []byte(text), nil
	}
	body, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		return nil, errors.New("the body is not base64 (the standard alphabet, padded)")
	}
	return body, nil
}

// headersOf reads {name: value or [values]}, [{name, value}], or ["Name: value"].
func headersOf(raw json.RawMessage) (http.Header, error) {
	h := http.Header{}
	var byName map[string]json.RawMessage
	if json.Unmarshal(raw, &byName) == nil {
		return h, headersByName(h, byName)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("\"headers\" must be an object, or a list of {\"name\", \"value\"}")
	}
	for i, one := range list {
		var pair struct {
			Name, Value *string
		}
		var line string
		where := fmt.Sprintf("headers[%d]", i)
		switch {
		case json.Unmarshal(one, &line) == nil:
			name, value, _ := strings.Cut(line, ":")
			pair.Name, pair.Value = &name, &value
		case json.Unmarshal(one, &pair) != nil || pair.Name == nil || pair.Value == nil:
			return nil, fmt.Errorf("%s must be {\"name\", \"value\"}", where)
		}
		if strings.HasPrefix(*pair.Name, ":") {
			continue // HTTP/2's :method and the like
		}
		if err := addHeader(h, where, *pair.Name, *pair.Value); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func headersByName(h http.Header, byName map[string]json.RawMessage) error {
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		raw := byName[name]
		var values []string
		var one string
		var number json.Number
		switch {
		case strings.HasPrefix(name, ":"):
			continue
		case json.Unmarshal(raw, &one) == nil:
			values = []string{one}
		case json.Unmarshal(raw, &values) == nil:
		case json.Unmarshal(raw, &number) == nil:
			values = []string{number.String()}
		default:
			return fmt.Errorf("headers.%s must be a text, or a list of texts", clip(name))
		}
		for _, v := range values {
			if err := addHeader(h, "headers."+clip(name), name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose picks one of several requests by what was asked for. The error lists them, without their queries, which may hold
// secrets.
func choose(urls []string, c Choice) (int, error) {
	if c.Index > len(urls) {
		return 0, fmt.Errorf("there is no request %d: the capture holds %d", c.Index, len(urls))
	}
	var fit []int
	for i, u := range urls {
		if (c.Index == 0 || c.Index == i+1) && strings.Contains(u, c.URL) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	if len(urls) == 0 {
		return 0, errors.New("the capture holds no request")
	}
	listed := fit
	text := "several requests fit: choose one by its index, or by a longer part of its URL:"
	if c == (Choice{}) {
		text = "the capture holds several requests: choose one by its index, or by a part of its URL:"
	}
	if len(fit) == 0 {
		text = "no request fits what was asked for; there are:"
		for i := range urls {
			listed = append(listed, i)
		}
	}
	const most = 20
	for n, i := range listed {
		if n == most {
			text += fmt.Sprintf("\n  … and %d more", len(listed)-most)
			break
		}
		path, _, _ := strings.Cut(urls[i], "?")
		if len(path) > 120 || !utf8.ValidString(path) {
			path = clip(path)
		}
		text += fmt.Sprintf("\n  %d  %s", i+1, path)
	}
	return 0, errors.New(text)
}
