package cli

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/diagnose"
)

const unknownSource = "the application, the source, the message or the refused request is not there: ids and uids are case-sensitive, " +
	"and only the last refused requests of each source are kept"

// ask has a server judge: by the settings of its source, which it does not give away.
func (v *verification) ask(ctx context.Context, s Streams, args []string) error {
	app, source, ok := strings.Cut(v.source, "/")
	if v.source != "" && (!ok || app == "" || source == "") {
		return misused("--source is APP/SOURCE, the ids or uids of an application and of its source")
	}
	if app == "" {
		app = v.app
	}
	body := map[string]any{"application": app}
	var notes []dialect.Text
	if len(args) == 1 {
		r, err := v.read(s, args[0])
		if err != nil {
			return err
		}
		body["request"] = map[string]any{"method": r.Method, "query": r.Query, "headers": r.Header, "bodyBase64": r.Body}
		notes = r.Notes
	}
	c, err := v.client(s)
	if err != nil {
		return err
	}
	out, err := v.explained(ctx, c, app, source, body)
	if err != nil {
		return c.advised(err, unknownSource)
	}
	out.Note(notes...)
	return v.report(s, &out)
}

// explained completes the request of the API's explain, and makes it.
func (v *verification) explained(ctx context.Context, c *client, app, source string, body map[string]any) (out diagnose.Diagnosis, err error) {
	at := "/app/" + url.PathEscape(app)
	if v.message != "" {
		body["message"] = v.message
		var m struct{ Source string }
		if err := c.call(ctx, http.MethodGet, at+"/msg/"+url.PathEscape(v.message)+"?with_content=false", nil, &m); err != nil {
			return out, err
		}
		if source == "" {
			source = m.Source
		}
		if source == "" {
			return out, misused("the message was published through the API: no platform has signed it")
		}
	}
	body["source"] = source
	at += "/source/" + url.PathEscape(source)
	if body["refused"] = v.refused; v.refused == "" {
		delete(body, "refused")
	} else if v.refused == "last" {
		if body["refused"], err = lastRefused(ctx, c, at); err != nil {
			return out, err
		}
	}
	if !v.now.IsZero() {
		body["at"] = v.now
	}
	name := v.name
	if name == "" {
		var known struct{ Dialect string }
		if err := c.call(ctx, http.MethodGet, at, nil, &known); err != nil {
			return out, err
		}
		name = known.Dialect
	}
	err = patiently(ctx, func() error {
		return c.call(ctx, http.MethodPost, "/dialect/"+url.PathEscape(name)+"/explain", body, &out)
	})
	return out, err
}

// lastRefused is the id of what a source refused last. A server writes it down a moment after its answer.
func lastRefused(ctx context.Context, c *client, source string) (id string, err error) {
	for tries := 1; ; tries++ {
		var list page[struct{ ID string }]
		if err := patiently(ctx, func() error { return c.call(ctx, http.MethodGet, source+"/refused?limit=1&explain=0", nil, &list) }); err != nil {
			return "", err
		}
		switch {
		case len(list.Data) > 0:
			return list.Data[0].ID, nil
		case tries == 3:
			return "", misused("the source has refused nothing that is kept")
		}
		if err := wait(ctx, time.Second/2); err != nil {
			return "", err
		}
	}
}

// patiently repeats a call while the server is busy with explanations of others: each takes a second or two.
func patiently(ctx context.Context, call func() error) error {
	for tries := 1; ; tries++ {
		err := call()
		if err == nil || !busy(err) || tries == 10 {
			return err
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

func busy(err error) bool {
	var said *refusal
	return errors.As(err, &said) && said.status == http.StatusTooManyRequests
}
