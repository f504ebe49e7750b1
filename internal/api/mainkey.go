package api

import (
	"context"
	"net/http"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

const mainKeyPath = "/main-key"

// Where the main key of a server comes from.
const (
	KeyInFile        = "file"
	KeyInEnvironment = "environment"
)

// MainKey tells of the key that seals the stored secrets, never the key itself.
type MainKey struct {
	Source          string // KeyInFile or KeyInEnvironment
	Running         bool   // a rotation is under way
	Resealed, Total int64  // how many of how many sealed values the last rotation has looked at
	StartedAt       time.Time
	EndedAt         time.Time // zero while it is under way
	Problem         string    // why it was interrupted, for people; "" = it was not
}

type mainKeyOut struct {
	Source    string     `json:"source" enum:"file,environment" doc:"Where the key comes from: the data folder or WAYPOST_MAIN_KEY"`
	State     string     `json:"state" enum:"steady,rotating,interrupted" doc:"interrupted: a rotation could not be ended; problem says why"`
	Resealed  int64      `json:"resealed" doc:"Sealed values that the last rotation since the start has looked at"`
	Total     int64      `json:"total" doc:"Of how many"`
	StartedAt *time.Time `json:"startedAt" doc:"Of the last rotation since the start"`
	EndedAt   *time.Time `json:"endedAt"`
	Problem   *string    `json:"problem"`
}

func showMainKey(k MainKey) mainKeyOut {
	out := mainKeyOut{
		Source: k.Source, State: "steady", Resealed: k.Resealed, Total: k.Total,
		StartedAt: pointer(k.StartedAt.UTC()), EndedAt: pointer(k.EndedAt.UTC()), Problem: pointer(k.Problem),
	}
	switch {
	case k.Running:
		out.State = "rotating"
	case k.Problem != "":
		out.State = "interrupted"
	}
	return out
}

// mainKey are the routes about the main key.
func (h *Handler) mainKey() {
	add(h, operation("main-key.get", http.MethodGet, mainKeyPath, "Tell of the main key and its rotation"), organisation,
		func(context.Context, *struct{}) (*output[mainKeyOut], error) {
			if h.MainKey == nil {
				return nil, errNoMainKey
			}
			return &output[mainKeyOut]{showMainKey(h.MainKey())}, nil
		})
	rotate := operation("main-key.rotate", http.MethodPost, mainKeyPath+"/rotate",
		"Rotate the main key in the background, or go on with a rotation that was interrupted")
	rotate.DefaultStatus = http.StatusAccepted
	add(h, rotate, organisation, func(ctx context.Context, _ *struct{}) (*output[mainKeyOut], error) {
		if h.MainKey == nil || h.RotateMainKey == nil {
			return nil, errNoMainKey
		}
		begun := showMainKey(MainKey{Source: h.MainKey().Source, Running: true, StartedAt: h.now()})
		if err := h.RotateMainKey(answering(ctx, http.StatusAccepted, begun)); err != nil {
			return nil, err
		}
		return &output[mainKeyOut]{begun}, nil
	})
}

var errNoMainKey = hook.Errorf(hook.KindNotFound, "this server has no main key")
