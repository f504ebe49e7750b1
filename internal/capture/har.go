package capture

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// harRequest is the request of an entry of an HTTP archive.
type harRequest struct {
	Method   string
	URL      string
	Headers  json.RawMessage
	BodySize *int
	PostData *harBody
}

type harBody struct {
	MimeType string
	Text     *string
	Encoding string // base64 where the writer had bytes that are no text
	Params   []struct{ Name, Value, FileName string }
}

type harEntry struct{ Request *harRequest }

// harFile is an archive, one entry of it, or one request of it.
type harFile struct {
	Log *struct{ Entries []harEntry }
	harEntry
	harRequest
}

// isHAR tells an archive, an entry or a request of it from our JSON form by the members that only they have.
func isHAR(text []byte) bool {
	var top object
	if json.Unmarshal(text, &top) != nil {
		return false
	}
	if top["log"] != nil || top["postData"] != nil {
		return true
	}
	var entry object
	if json.Unmarshal(top["request"], &entry) != nil {
		return false
	}
	return entry["postData"] != nil || entry["headersSize"] != nil || entry["httpVersion"] != nil
}

func readHAR(text []byte, choice Choice) (Request, error) {
	var file harFile
	if err := json.Unmarshal(text, &file); err != nil {
		return Request{}, notJSON(err)
	}
	var all []harEntry
	switch {
	case file.Log != nil:
		all = file.Log.Entries
	case file.Request != nil:
		all = []harEntry{file.harEntry}
	case file.Headers != nil:
		all = []harEntry{{&file.harRequest}}
	default:
		return Request{}, errors.New("this is no HTTP archive: it has neither log.entries nor a request")
	}
	urls := make([]string, len(all))
	for i, e := range all {
		if e.Request != nil {
			urls[i] = e.Request.URL
		}
	}
	i, err := choose(urls, choice)
	if err != nil {
		return Request{}, err
	}
	if all[i].Request == nil {
		return Request{}, errors.New("this entry of the archive holds no request")
	}
	return all[i].Request.read()
}

func (h *harRequest) read() (Request, error) {
	if !isToken(h.Method) {
		return Request{}, errors.New("the request of the archive has no method")
	}
	if h.Headers == nil {
		return Request{}, errors.New("the request of the archive has no headers: export it again with headers")
	}
	r := Request{Inbound: dialect.Inbound{Method: h.Method, Query: queryOf(h.URL)}}
	var err error
	if r.Header, err = headersOf(h.Headers); err != nil {
		return Request{}, err
	}
	if h.PostData != nil {
		if err := r.postData(h.PostData); err != nil {
			return Request{}, err
		}
	}
	if h.PostData == nil && h.BodySize != nil && *h.BodySize > 0 {
		return Request{}, errors.New("the archive says that the request had a body, but does not hold it: export it again with contents")
	}
	r.lossy()
	return r, nil
}

func (r *Request) postData(b *harBody) error {
	switch {
	case b.Text != nil && strings.EqualFold(b.Encoding, "base64"):
		body, err := base64.StdEncoding.DecodeString(*b.Text)
		if err != nil {
			return errors.New("the archive says that the body is in base64, but it is not")
		}
		r.Body = body
	case b.Text != nil && (*b.Text != "" || len(b.Params) == 0):
		r.Body = []byte(*b.Text)
	case len(b.Params) > 0:
		return r.params(b)
	}
	return nil
}

// params writes a form anew from its fields, where the archive has kept nothing else.
func (r *Request) params(b *harBody) error {
	media, _, _ := strings.Cut(b.MimeType, ";")
	if strings.TrimSpace(media) != "" && !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return errors.New("the archive holds the fields of a " + clip(media) + " body, but not its bytes: capture raw HTTP")
	}
	pairs := make([]string, len(b.Params))
	for i, p := range b.Params {
		pairs[i] = url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value)
	}
	r.Body = []byte(strings.Join(pairs, "&"))
	if r.Header.Get("Content-Type") == "" {
		r.Header = r.Header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.note("the archive holds the fields of the form and not its bytes: the form was written anew, and may differ in its escapes",
		"HAR 里只有表单字段而没有原始字节：表单是重新拼出来的，转义可能与原文不同")
	return nil
}
