package simulate_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/simulate"
)

func TestURLProbe(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		want   int
		err    string
	}{
		"an error of the receiver":   {500, "7", 0, "it answered 500"},
		"a redirect":                 {302, "", 0, "it answered 302"},
		"words":                      {200, "seven", 0, "neither a whole number nor JSON"},
		"nothing":                    {200, "", 0, "neither a whole number nor JSON"},
		"JSON without count":         {200, `{"n":7}`, 0, "neither a whole number nor JSON"},
		"a count that is no number":  {200, `{"count":"many"}`, 0, "neither a whole number nor JSON"},
		"a number":                   {200, " 7\n", 7, ""},
		"JSON":                       {200, `{"count":7,"more":[]}`, 7, ""},
		"a number of nothing so far": {200, `{"count":0}`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := reach(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					t.Errorf("asked by %s", r.Method)
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			got, err := simulate.URLProbe(client, "http://receiver.example/count", nil)(context.Background())
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %d, %v; want %d, %q", got, err, tt.want, tt.err)
			}
		})
	}
}
