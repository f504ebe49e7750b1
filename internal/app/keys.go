package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// The files of the main key in the data folder.
const (
	mainKeyFile = "main.key"
	nextKeyFile = "main.key.next" // the key that a rotation goes to: see rotation
	partSuffix  = ".part"         // of one that is being written
)

// mainKeys are what a store is opened with.
type mainKeys struct {
	now     *store.Sealer
	before  *store.Sealer // the key that a rotation leaves; nil = there is none
	inFiles bool          // they stand in the data folder, and not in the options
}

// readMainKeys returns the main keys: from the options, else from <data>/main.key, which is made when it is missing and the
// folder holds no store yet.
func readMainKeys(o Options) (k mainKeys, err error) {
	if o.MainKey != "" {
		if k.now, err = sealerOf(o.MainKey); err == nil && o.OldMainKey != "" {
			k.before, err = sealerOf(o.OldMainKey)
		}
		return k, err
	}
	present, err := readKeyFile(filepath.Join(o.Data, mainKeyFile))
	if err != nil {
		return k, err
	}
	next, err := readKeyFile(filepath.Join(o.Data, nextKeyFile))
	switch {
	case err != nil:
		return k, err
	case next != nil:
		return mainKeys{next, present, true}, nil
	case present != nil:
		return mainKeys{present, nil, true}, nil
	}
	if _, err := os.Stat(filepath.Join(o.Data, storeFile)); err == nil {
		return k, fmt.Errorf("the store in %s has no main key beside it: put %s back, or set WAYPOST_MAIN_KEY; without it the stored secrets cannot be read", o.Data, mainKeyFile)
	}
	k.now, err = makeMainKey(filepath.Join(o.Data, mainKeyFile))
	if err == nil {
		o.Log.Warn("made a main key: back it up apart from the data, or secrets in a restored backup cannot be read", "file", filepath.Join(o.Data, mainKeyFile))
	}
	return mainKeys{now: k.now, inFiles: true}, err
}

// readKeyFile returns the key in a file, nil when there is no file.
func readKeyFile(path string) (*store.Sealer, error) {
	text, err := readSmallFile(path, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read main key: %w", err)
	}
	s, err := sealerOf(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func sealerOf(text string) (*store.Sealer, error) {
	key, err := parseMainKey(text)
	if err != nil {
		return nil, err
	}
	return store.NewSealer(key)
}

// openStore opens the store of the data folder with its main keys. so says the rest.
func openStore(ctx context.Context, o Options, so sqlite.Options) (*sqlite.DB, mainKeys, error) {
	k, err := readMainKeys(o)
	if err != nil {
		return nil, k, err
	}
	so.Dir, so.Sealer, so.OldSealer = o.Data, k.now, k.before
	db, err := sqlite.Open(ctx, so)
	return db, k, err
}

// NewMainKey draws a main key, in base64.
func NewMainKey() string {
	key := make([]byte, store.MainKeySize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(key)
}

// NewToken draws a bearer token.
func NewToken() string { return "wp_" + strings.ToLower(rand.Text()) }

// makeMainKey makes a key and keeps it in a new file.
func makeMainKey(path string) (*store.Sealer, error) {
	text := NewMainKey()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := writeDurably(path, []byte(text+"\n")); err != nil {
		return nil, fmt.Errorf("write main key: %w", err)
	}
	return sealerOf(text)
}

// writeDurably writes a new file that survives a power cut once it returns. The file appears under its name when it is
// complete: a half-written key would be refused at the next start.
func writeDurably(path string, content []byte) error {
	part := path + partSuffix
	// One that a killed process left may be the file of a key that is in use by now, under a second name: nothing is written into it.
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, path); err != nil { // unlike a rename, it never replaces a file
		return err
	}
	return errors.Join(os.Remove(part), syncFolder(filepath.Dir(path)))
}

// syncFolder makes the names in a folder survive a power cut.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func parseMainKey(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		base64.StdEncoding.Strict().DecodeString, base64.RawURLEncoding.Strict().DecodeString, hex.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == store.MainKeySize {
			return key, nil
		}
	}
	return nil, fmt.Errorf("a main key is %d bytes in base64 or hex: make one with `waypost keygen main-key`", store.MainKeySize)
}
