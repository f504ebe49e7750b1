package api

import (
	"cmp"
	"errors"
	"net/url"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// LongConnURL is the whole address of an endpoint that is reached over long connections.
const LongConnURL = "longconn:"

// LongConnection is a connection that an application has open.
type LongConnection struct {
	Since     time.Time `json:"since"`
	Remote    string    `json:"remote" doc:"Address of the client"`
	InFlight  int       `json:"inFlight" doc:"Messages that went over it and are not yet acknowledged"`
	LastHeard time.Time `json:"lastHeard" doc:"When it last said something, if only a ping"`
	SDK       string    `json:"sdk" doc:"What the client calls itself"`
}

// longConnections lists those of an endpoint; never nil.
func (h *Handler) longConnections(ep hook.EndpointID) []LongConnection {
	if h.LongConnections == nil {
		return []LongConnection{}
	}
	return append([]LongConnection{}, h.LongConnections(ep)...)
}

// fillLongConn judges an endpoint that is reached over long connections, and notes whose they are.
func (h *Handler) fillLongConn(p *problems, e *hook.Endpoint, d *dialect.Dialect, merged hook.Settings) {
	e.Account = ""
	if e.Transport != hook.TransportLongConn {
		return
	}
	check := h.CheckLongConn[d.Name]
	if check == nil {
		p.add("body.transport", "longconn is Alipay's long connection, which the dialect %s does not have: the dialect must be alipay", d.Name)
		return
	}
	if e.RequireVerified {
		p.add("body.requireVerified", "does not go with the transport longconn: whoever connects has signed for it")
	}
	if len(e.Headers) > 0 {
		p.add("body.headers", "do not go with the transport longconn: a frame has none")
	}
	account, err := check(dialect.Settings(merged))
	var problem dialect.Problem
	switch {
	case errors.As(err, &problem):
		p.add("body.settings."+problem.Field, "%s", problem.Text)
	case err != nil:
		p.add("body.settings", "%v", err)
	case e.Settings[accountSetting] == nil:
		p.add("body.settings."+accountSetting, "must be the endpoint's own, not the profile's: a connection is found by it")
	default:
		e.Account = account
	}
}

// accountField is what a conflict over the long connections of an account is about.
const accountField = "account"

// accountSetting is the setting that tells the long connections of one endpoint from those of another.
const accountSetting = "app_id"

// publicHost is where the world reaches this server, or a word for it.
func (h *Handler) publicHost() string {
	u, err := url.Parse(h.PublicURL)
	if err != nil {
		return "this server"
	}
	return cmp.Or(u.Host, "this server")
}
