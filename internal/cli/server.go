package cli

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/waypost/waypost/internal/app"
)

// target says which server a command works on: a running one by its API, or a stopped one by its folder.
type target struct {
	server    string
	tokenFile string
	token     string // refused
	data      string
}

const defaultServer = "http://127.0.0.1:8071"

func (t *target) register(fs *pflag.FlagSet) {
	t.registerServer(fs)
	t.registerData(fs)
}

func (t *target) registerData(fs *pflag.FlagSet) {
	fs.StringVar(&t.data, "data", "", "data `FOLDER` of a stopped server, instead of --server")
}

// registerServer is for commands that need a running server.
func (t *target) registerServer(fs *pflag.FlagSet) {
	fs.StringVar(&t.server, "server", "", "`URL` of the API of a running server; default WAYPOST_SERVER, else "+defaultServer)
	fs.StringVar(&t.tokenFile, "token-file", "", "`FILE` with a token of that server, - = standard input; default the token in WAYPOST_TOKEN")
	fs.StringVar(&t.token, "token", "", "a token")
	_ = fs.MarkHidden("token")
}

// client returns the API client of a running server.
func (t *target) client(s Streams) (*client, error) {
	if t.token != "" {
		return nil, misused("--token would be visible to every user of this machine: set WAYPOST_TOKEN, or use --token-file")
	}
	server := t.server
	if server == "" {
		server, _ = s.Env("WAYPOST_SERVER")
	}
	if server == "" {
		server = defaultServer
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return nil, misused("%q is no address of a server: it must look like %s", server, defaultServer)
	}
	token, err := t.readToken(s)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, misused("set WAYPOST_TOKEN to the organisation token of %s, or name a --token-file", server)
	}
	base := strings.TrimSuffix(strings.TrimSuffix(server, "/"), "/api/v1")
	return newClient(base, token), nil
}

func (t *target) readToken(s Streams) (string, error) {
	if t.tokenFile == "" {
		token, _ := s.Env("WAYPOST_TOKEN")
		return strings.TrimSpace(token), nil
	}
	text, err := readInput(s, t.tokenFile)
	if err != nil {
		return "", failed(fmt.Errorf("--token-file: %w", err), "")
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", misused("--token-file: %s must hold one token and nothing else", t.tokenFile)
	}
	return token, nil
}

// options are those of a stopped server.
func (t *target) options(s Streams) app.Options {
	o := app.Options{Data: t.data}
	o.MainKey, _ = s.Env("WAYPOST_MAIN_KEY")
	o.OldMainKey, _ = s.Env("WAYPOST_MAIN_KEY_OLD")
	return o
}

// isTerminal says whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
