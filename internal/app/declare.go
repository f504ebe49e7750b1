package app

import "context"

func (a *App) declare(ctx context.Context) error { _ = ctx; return nil }
