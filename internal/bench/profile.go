package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profile takes a processor profile of the gateway beside a turn, when that was asked for, and returns what waits for it. It
// costs the gateway some per cent: figures of such a run are not to be quoted.
func (b *Bench) profile(ctx context.Context, t *turn, round int) (wait func() error) {
	s := t.of.server
	if b.Profiles == "" || s == nil {
		return func() error { return nil }
	}
	path := filepath.Join(b.Profiles, fmt.Sprintf("%s-%d.pprof", t.name, round+1))
	done := make(chan error, 1)
	go func() { done <- s.saveProfile(ctx, path) }()
	return func() error { return <-done }
}

const profileSeconds = 2

func (s *server) saveProfile(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.admin, profileSeconds), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("take a profile: the server answered %s: %.200s", resp.Status, text)
	}
	return os.WriteFile(path, text, 0o600)
}
