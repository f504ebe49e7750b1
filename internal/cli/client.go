package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client speaks to a server's API.
type client struct {
	base  string // as http://127.0.0.1:8071
	token string
	http  *http.Client
}

func newClient(base, token string) *client {
	return &client{base, token, &http.Client{Timeout: 30 * time.Second}}
}

// refusal is an answer that says no.
type refusal struct {
	request string // as "GET /app"
	status  int
	text    string // the body
}

func (e *refusal) Error() string {
	var body struct{ Detail json.RawMessage }
	text := strings.TrimSpace(e.text)
	if json.Unmarshal([]byte(e.text), &body) == nil && len(body.Detail) > 0 {
		if text = string(body.Detail); text[0] == '"' {
			_ = json.Unmarshal(body.Detail, &text)
		}
	}
	return fmt.Sprintf("%s: the server answered %d %s: %s", e.request, e.status, http.StatusText(e.status), text)
}

// call sends in as JSON (nil = no body) and decodes the answer into out (nil = not wanted). A refusal is an error that
// says what the server said.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	status, text, err := c.request(ctx, method, path, body, nil)
	if err != nil {
		return err
	}
	if status >= 300 {
		request, _, _ := strings.Cut(method+" "+path, "?")
		return &refusal{request, status, string(text)}
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

// request makes one request of the API and returns what was answered.
func (c *client) request(ctx context.Context, method, path string, body []byte, header http.Header) (status int, answer []byte, err error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, r)
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxInput))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return resp.StatusCode, answer, nil
}

// advised gives an error of a call its hint. unknown is the hint for what the server does not know; "" = a general one.
func (c *client) advised(err error, unknown string) error {
	var known *exitError
	var said *refusal
	var lost *url.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		return failed(errors.New("interrupted"), "")
	case errors.As(err, &said):
		return failed(err, hintFor(said.status, unknown))
	case errors.As(err, &lost):
		return failed(err, "is the server running? --server or WAYPOST_SERVER names its admin address; now it is "+c.base)
	}
	return failed(err, "")
}

func hintFor(status int, unknown string) string {
	switch status {
	case http.StatusUnauthorized:
		return "WAYPOST_TOKEN or --token-file must hold a live token of this server; `waypost token create --data FOLDER` makes one while the server is stopped"
	case http.StatusForbidden:
		return "this needs the organisation's token, or one with that capability"
	case http.StatusNotFound:
		if unknown == "" {
			return "is this address the API of a Waypost server, and as new as this command?"
		}
		return unknown
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "try again in a moment"
	}
	return ""
}

// passing says whether an error of a call may be gone when it is made again: no answer, or one of a server that is busy or
// starting.
func passing(err error) bool {
	var said *refusal
	if errors.As(err, &said) {
		return said.status >= 500 || said.status == http.StatusTooManyRequests
	}
	var lost *url.Error
	return !errors.Is(err, context.Canceled) && (errors.As(err, &lost) || errors.Is(err, io.ErrUnexpectedEOF))
}

// page is a part of a list.
type page[T any] struct {
	Data     []T
	Iterator string
	Done     bool
}

// listAll reads a whole list. path may have a query.
func listAll[T any](ctx context.Context, c *client, path string) ([]T, error) {
	var all []T
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for iterator := ""; ; {
		var p page[T]
		if err := c.call(ctx, http.MethodGet, path+sep+"limit=250&order=ascending&iterator="+url.QueryEscape(iterator), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.Done || p.Iterator == "" {
			return all, nil
		}
		iterator = p.Iterator
	}
}
