package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	configuredToken = "configured"  // name of the token that the configuration gives
	firstToken      = "first start" // name of the one that is made when there is none
)

// ensureToken sees to it that somebody can use the API: the configured token is the only managed one, and when there is
// neither it nor any other, one is made. It returns that one, to be shown once.
func ensureToken(ctx context.Context, st store.Store, ids *hook.Generator, given string, now time.Time) (made string, err error) {
	list, err := allTokens(ctx, st)
	if err != nil {
		return "", fmt.Errorf("read tokens: %w", err)
	}
	hash := sha256.Sum256([]byte(given))
	have, organisation := false, 0
	for _, t := range list {
		switch {
		case t.Managed && (given == "" || t.Hash != hash):
			if err := st.DeleteToken(ctx, t.ID); err != nil {
				return "", fmt.Errorf("remove the token that is no longer configured: %w", err)
			}
			continue
		case t.Managed:
			have = true
		}
		if t.App == 0 {
			organisation++
		}
	}
	switch {
	case given != "" && !have:
		t := hook.Token{ID: hook.NewID[hook.TokenID](ids, now), Hash: hash, Name: configuredToken, Managed: true, CreatedAt: now}
		return "", st.PutToken(ctx, t)
	case given != "" || organisation > 0:
		return "", nil
	}
	made = NewToken()
	return made, st.PutToken(ctx, hook.Token{
		ID: hook.NewID[hook.TokenID](ids, now), Hash: sha256.Sum256([]byte(made)), Name: firstToken, CreatedAt: now,
	})
}

func allTokens(ctx context.Context, st store.Store) ([]hook.Token, error) {
	return collect(func(p store.Page) (store.List[hook.Token], error) { return st.Tokens(ctx, p) })
}

// collect reads a whole list page by page.
func collect[T any](list func(store.Page) (store.List[T], error)) ([]T, error) {
	var out []T
	page := store.Page{Limit: 250}
	for {
		l, err := list(page)
		if err != nil {
			return nil, err
		}
		out = append(out, l.Items...)
		if l.Done || len(l.Items) == 0 {
			return out, nil
		}
		page.After = l.Last
	}
}
