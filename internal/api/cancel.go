package api

import (
	"context"
	"net/http"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type cancelOut struct {
	Canceled int `json:"canceled" doc:"At how many endpoints an attempt was to follow, and now is not"`
}

// cancels mounts the withdrawal of messages.
func (h *Handler) cancels() {
	add(h, operation("message.cancel", http.MethodPost, "/app/{app_id}/msg/{msg_id}/cancel",
		"Cancel what is pending of a message; an attempt that is under way ends as it ends (addition)"), organisation,
		func(ctx context.Context, in *MessagePath) (*output[cancelOut], error) {
			m, err := h.message(ctx, *in)
			if err != nil {
				return nil, err
			}
			return h.cancel(ctx, m, 0)
		})
	add(h, operation("message.cancel-endpoint", http.MethodPost, "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/cancel",
		"Cancel what is pending of a message for one endpoint (addition)"), organisation,
		func(ctx context.Context, in *pairPath) (*output[cancelOut], error) {
			m, err := h.message(ctx, in.MessagePath)
			if err != nil {
				return nil, err
			}
			_, e, err := h.endpoint(ctx, &EndpointPath{in.AppPath, in.Endpoint})
			if err != nil {
				return nil, err
			}
			return h.cancel(ctx, m, e.ID)
		})
}

func (h *Handler) cancel(ctx context.Context, m hook.Message, ep hook.EndpointID) (*output[cancelOut], error) {
	n, err := h.Store.Cancel(answeringBy(ctx, http.StatusOK, func(r store.Result) (any, bool) {
		return cancelOut{r.Canceled}, true
	}), m.App, m.ID, ep, h.now())
	return &output[cancelOut]{cancelOut{n}}, err
}
