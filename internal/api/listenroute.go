package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// listenRoute mounts the way in of listeners. It is no operation of the document: its answer is a connection.
func (h *Handler) listenRoute() {
	h.mux.HandleFunc("GET "+root+"/app/{app_id}/endpoint/{endpoint_id}/listen", h.serveListener)
}

// mayListen says who asks and what for, and whether it is allowed.
func (h *Handler) mayListen(r *http.Request) (hook.Endpoint, error) {
	a, err := h.authenticate(r)
	if err == nil {
		err = h.admit(r.Context(), a, member, r.PathValue(appParam))
	}
	if err == nil {
		err = a.may(neededFor("v1.endpoint.listen", http.MethodPost))
	}
	if err != nil {
		return hook.Endpoint{}, err
	}
	_, e, err := h.endpoint(r.Context(), &EndpointPath{AppPath{r.PathValue(appParam)}, r.PathValue("endpoint_id")})
	switch {
	case err != nil:
		return e, err
	case h.Listeners == nil:
		return e, unavailable("nobody can listen to this server")
	case e.Transport != hook.TransportListen:
		return e, conflict("nobody can listen for this endpoint: its transport is %s. Make one with \"transport\":\"listen\"", showTransport(e.Transport))
	case e.Disabled:
		return e, conflict("the endpoint is disabled: enable it before listening")
	}
	return e, nil
}

// serveListener turns a request into the connection of a listener and stays until it ends.
func (h *Handler) serveListener(w http.ResponseWriter, r *http.Request) {
	e, err := h.mayListen(r)
	if err == nil && !strings.EqualFold(r.Header.Get("Upgrade"), ListenProtocol) {
		err = newError(http.StatusUpgradeRequired, "upgrade_required", "an Upgrade header of %s is needed; waypost listen sends it", ListenProtocol)
	}
	if err != nil {
		writeError(w, h.answer(r.Context(), err))
		return
	}
	c := newListener(e.ID, nil)
	if err := h.Listeners.join(c); err != nil {
		writeError(w, h.answer(r.Context(), err))
		return
	}
	defer h.Listeners.leave(c)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeError(w, newError(http.StatusBadRequest, "bad_request", "this connection cannot be upgraded: HTTP/1.1 is needed"))
		return
	}
	c.conn = conn
	_ = conn.SetDeadline(time.Time{})
	_ = conn.SetWriteDeadline(time.Now().Add(listenerTimeout))
	_, err = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + ListenProtocol + "\r\n\r\n"))
	if err != nil {
		_ = conn.Close()
		return
	}
	h.attend(c, r, func() { c.read(buffered.Reader) })
}

// attend serves a connection while read goes on.
func (h *Handler) attend(c *listener, r *http.Request, read func()) {
	if c.send(ListenFrame{Kind: FrameHello, Reason: c.ep.String()}) != nil {
		return
	}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		c.watch(func() error {
			// The server's own context: that of a request whose connection was taken over says nothing.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), listenerTimeout)
			defer cancel()
			_, err := h.mayListen(r.WithContext(ctx))
			if err != nil {
				return h.answer(ctx, err)
			}
			return nil
		})
	}()
	h.Listeners.enter(c)
	read()
	c.end()
	<-watching
}
