package app

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/waypost/waypost/internal/store"
)

const mainKeyFile = "main.key"

// mainKey returns the main key: from the options, else from <data>/main.key, which is made when it is missing and the
// folder holds no store yet.
func mainKey(o Options) ([]byte, error) {
	if o.MainKey != "" {
		return parseMainKey(o.MainKey)
	}
	path := filepath.Join(o.Data, mainKeyFile)
	text, err := readSmallFile(path, 4096)
	if err == nil {
		key, err := parseMainKey(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read main key: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.Data, storeFile)); err == nil {
		return nil, fmt.Errorf("the store in %s has no main key beside it: put %s back, or set WAYPOST_MAIN_KEY; without it the stored secrets cannot be read", o.Data, mainKeyFile)
	}
	return makeMainKey(path, o.Log)
}

// NewMainKey draws a main key, in base64.
func NewMainKey() string {
	key := make([]byte, store.MainKeySize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(key)
}

// NewToken draws a bearer token.
func NewToken() string { return "wp_" + strings.ToLower(rand.Text()) }

func makeMainKey(path string, log *slog.Logger) ([]byte, error) {
	text := NewMainKey()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := writeDurably(path, []byte(text+"\n")); err != nil {
		return nil, fmt.Errorf("write main key: %w", err)
	}
	log.Warn("made a main key: back it up apart from the data, or secrets in a restored backup cannot be read", "file", path)
	return parseMainKey(text)
}

// writeDurably writes a new file that survives a power cut once it returns. The file appears under its name when it is
// complete: a half-written key would be refused at the next start.
func writeDurably(path string, content []byte) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(part), dir.Sync(), dir.Close())
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

// seedKey is the key from which the ids and nonces of outgoing messages are drawn: see dialect.Outbound.Seed.
func seedKey(main []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, main, nil, "waypost/outbound-seed/1", 32)
}
