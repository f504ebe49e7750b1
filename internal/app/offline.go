package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// offline opens the store of a stopped server. It makes nothing: a folder without a store is an error.
func offline(ctx context.Context, o Options) (*sqlite.DB, mainKeys, error) {
	o = o.Defaults()
	if err := errors.Join(o.validateKeys()...); err != nil {
		return nil, mainKeys{}, err
	}
	if _, err := os.Stat(filepath.Join(o.Data, storeFile)); errors.Is(err, os.ErrNotExist) {
		return nil, mainKeys{}, fmt.Errorf("%s holds no store", o.Data)
	}
	return openStore(ctx, o, sqlite.Options{LowWater: 1, Faults: o.Faults.Store})
}

// CreateToken makes a token in the store of a stopped server: for an application by id or uid, or for the organisation
// when app is "". until zero = for ever.
func CreateToken(ctx context.Context, o Options, name, app string, until time.Time) (token string, err error) {
	st, _, err := offline(ctx, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	highest, err := st.HighestID(ctx)
	if err != nil {
		return "", err
	}
	now := time.Now()
	token = NewToken()
	t := hook.Token{
		ID: hook.NewID[hook.TokenID](hook.NewGenerator(o.Node, highest), now), Hash: sha256.Sum256([]byte(token)),
		Name: name, CreatedAt: now, ExpiresAt: until,
	}
	if app != "" {
		a, err := st.Application(ctx, app)
		if err != nil {
			return "", err
		}
		t.App = a.ID
	}
	return token, st.PutToken(ctx, t)
}

// Backup copies the store of a stopped server into a new file.
func Backup(ctx context.Context, o Options, path string) (err error) {
	st, _, err := offline(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.Backup(ctx, path)
}

// Migration is what brings a store up to date.
type Migration struct {
	From, To int      // numbers of schemas
	Steps    []string // names of the steps between them
}

// Migrate brings the store of a stopped server to this version's schema; with dryRun it only says what it would do.
func Migrate(ctx context.Context, o Options, dryRun bool) (m Migration, err error) {
	o = o.Defaults()
	if _, err := os.Stat(filepath.Join(o.Data, storeFile)); errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("%s holds no store", o.Data)
	}
	if m.From, m.Steps, err = sqlite.Schema(ctx, o.Data); err != nil {
		return m, err
	}
	m.To = m.From + len(m.Steps)
	if dryRun || len(m.Steps) == 0 {
		return m, nil
	}
	st, _, err := offline(ctx, o)
	if err != nil {
		return m, err
	}
	return m, st.Close()
}
