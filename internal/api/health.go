package api

import (
	"context"
	"net/http"
)

type healthOut struct {
	Status string      `json:"status" enum:"ok,error"`
	Store  storeHealth `json:"store"`
}

type storeHealth struct {
	Status    string `json:"status" enum:"ok,error" doc:"Whether it can be read"`
	Accepting bool   `json:"accepting" doc:"Whether it takes new messages"`
	Reason    string `json:"reason,omitempty" doc:"Why not"`
}

func (h *Handler) health() {
	get := operation("health.get", http.MethodGet, "/health", "Whether the server can do its work; 503 when it cannot")
	add(h, get, anyone, h.checkHealth)
	ping := operation("health.ping", http.MethodGet, "/health/ping", "Whether the server answers")
	ping.DefaultStatus = http.StatusNoContent
	add(h, ping, anyone, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
}

func (h *Handler) checkHealth(ctx context.Context, _ *struct{}) (*made[healthOut], error) {
	out := healthOut{"ok", storeHealth{Status: "ok", Accepting: true}}
	if _, err := h.Store.Counts(ctx); err != nil {
		_ = h.internal(ctx, err) // logs it; the body says no more than that
		out.Store = storeHealth{Status: "error", Reason: "the store cannot be read"}
	} else if h.Accepting != nil {
		if err := h.Accepting(); err != nil {
			out.Store.Accepting, out.Store.Reason = false, "new messages are not taken for now"
		}
	}
	if out.Store.Accepting {
		return &made[healthOut]{http.StatusOK, out}, nil
	}
	out.Status = "error"
	return &made[healthOut]{http.StatusServiceUnavailable, out}, nil
}
