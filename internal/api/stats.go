package api

import (
	"context"
	"net/http"
	"time"
)

// statsBack is the longest range of statistics: Svix's 28 days, and five minutes for who computes them by a clock that
// differs from ours.
const statsBack = 28*24*time.Hour + 5*time.Minute

type statsInput struct {
	EndpointPath
	Since time.Time `query:"since" doc:"Messages from the UTC day of this moment on; default 28 days before until"`
	Until time.Time `query:"until" doc:"Messages up to the UTC day of this moment; default now"`
}

type endpointStats struct {
	Success  int64 `json:"success" doc:"Messages that were delivered"`
	Pending  int64 `json:"pending" doc:"Messages that wait for an attempt, the first or a further one"`
	Sending  int64 `json:"sending" doc:"Always 0: what waits for a further attempt counts as pending"`
	Fail     int64 `json:"fail" doc:"Messages that were given up"`
	Canceled int64 `json:"canceled" doc:"Addition to the open server's. Messages that were withdrawn"`
}

func (h *Handler) statsRoute() {
	add(h, operation("endpoint.get-stats", http.MethodGet, "/app/{app_id}/endpoint/{endpoint_id}/stats",
		"How many messages to the endpoint stand how, by whole UTC days"), member, h.getStats)
}

func (h *Handler) getStats(ctx context.Context, in *statsInput) (*output[endpointStats], error) {
	since, until, err := in.span(h.Now())
	if err != nil {
		return nil, err
	}
	app, e, err := h.endpoint(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	c, err := h.Store.Stats(ctx, app.ID, e.ID, since, until)
	return &output[endpointStats]{endpointStats{Success: c.Delivered, Pending: c.Pending, Fail: c.Failed, Canceled: c.Canceled}}, err
}

// span is the range that a request asks for.
func (in *statsInput) span(now time.Time) (since, until time.Time, err error) {
	if until = in.Until; until.IsZero() {
		until = now
	}
	if since = in.Since; since.IsZero() {
		since = until.Add(-28 * 24 * time.Hour)
	}
	problem := ""
	switch {
	case until.After(now):
		problem = "until must not lie in the future"
	case since.After(until):
		problem = "since must not lie after until"
	case until.Sub(since) > statsBack:
		problem = "since must not lie more than 28 days before until"
	default:
		return since, until, nil
	}
	return since, until, newError(http.StatusBadRequest, "invalid_range", "%s", problem)
}
