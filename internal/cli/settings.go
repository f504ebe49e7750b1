package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
)

// dialectFlags choose a dialect and its settings for the commands that work without a server.
type dialectFlags struct {
	name string
	sets []string
}

func (f *dialectFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.sets, "set", nil, "setting of the dialect as `NAME=VALUE`; VALUE may be @FILE or env:NAME; repeat a name for several live keys")
}

const maxInput = 16 << 20

// settings reads the flags into a dialect and its settings, checked for a direction.
func (f *dialectFlags) settings(s Streams, use dialect.Use) (*dialect.Dialect, dialect.Settings, error) {
	d, err := findDialect(f.name)
	if err != nil {
		return nil, nil, err
	}
	out := dialect.Settings{}
	for _, set := range f.sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok {
			return nil, nil, misused("--set takes NAME=VALUE, not %q", name)
		}
		if value, err = settingValue(s, name, value); err != nil {
			return nil, nil, err
		}
		out[name] = append(out[name], value)
	}
	if problems := d.Validate(out, use, false); len(problems) > 0 {
		lines := []string{"the settings do not fit the dialect " + d.Name + ":"}
		for _, p := range problems {
			lines = append(lines, "  "+p.Error())
		}
		return nil, nil, &exitError{2, fmt.Errorf("%s", strings.Join(lines, "\n")), "give settings as --set NAME=VALUE, --set NAME=@FILE or --set NAME=env:VARIABLE"}
	}
	return d, out, nil
}

func settingValue(s Streams, name, value string) (string, error) {
	if path, ok := strings.CutPrefix(value, "@"); ok {
		b, err := readInput(s, path)
		if err != nil {
			return "", failed(fmt.Errorf("--set %s: %w", name, err), "")
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	if variable, ok := strings.CutPrefix(value, "env:"); ok {
		v, ok := s.Env(variable)
		if !ok || v == "" {
			return "", misused("--set %s: the environment has no %s", name, variable)
		}
		return v, nil
	}
	return value, nil
}

func findDialect(name string) (*dialect.Dialect, error) {
	table := app.Dialects()
	if d := table[name]; d != nil {
		return d, nil
	}
	names := make([]string, 0, len(table))
	for n := range table {
		names = append(names, n)
	}
	slices.Sort(names)
	if name == "" {
		return nil, misused("name a dialect: %s", strings.Join(names, ", "))
	}
	return nil, misused("there is no dialect %q; there are %s", name, strings.Join(names, ", "))
}

// readInput reads a file, or standard input for "-", up to maxInput bytes.
func readInput(s Streams, path string) ([]byte, error) {
	var r io.Reader = s.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxInput)
	}
	return b, nil
}
