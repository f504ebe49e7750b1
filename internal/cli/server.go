package cli

import (
	"github.com/spf13/pflag"

	"github.com/waypost/waypost/internal/app"
)

// target says which server a command works on: a running one by its API, or a stopped one by its folder.
type target struct {
	server string
	data   string
}

func (t *target) register(fs *pflag.FlagSet) {
	t.registerServer(fs)
	fs.StringVar(&t.data, "data", "", "data `FOLDER` of a stopped server, instead of --server")
}

// registerServer is for commands that need a running server.
func (t *target) registerServer(fs *pflag.FlagSet) {
	fs.StringVar(&t.server, "server", "http://127.0.0.1:8071", "API of a running server, whose organisation token stands in WAYPOST_TOKEN; `URL`")
}

// client returns the API client of a running server.
func (t *target) client(s Streams) (*client, error) {
	token, ok := s.Env("WAYPOST_TOKEN")
	if !ok || token == "" {
		return nil, misused("set WAYPOST_TOKEN to the organisation token of %s", t.server)
	}
	return newClient(t.server, token), nil
}

// options are those of a stopped server.
func (t *target) options(s Streams) app.Options {
	o := app.Options{Data: t.data}
	o.MainKey, _ = s.Env("WAYPOST_MAIN_KEY")
	o.OldMainKey, _ = s.Env("WAYPOST_MAIN_KEY_OLD")
	return o
}
