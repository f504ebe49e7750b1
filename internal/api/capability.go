package api

import (
	"net/http"
	"slices"

	"github.com/waypost/waypost/internal/hook"
)

// capabilityOf says what an application's token must be able to do for an operation, by the operation's id. Reading is
// ViewBase unless it stands here. An operation that changes something and does not stand here is for tokens without a list of
// capabilities only; a test finds it.
var capabilityOf = map[string]hook.Capability{
	"v1.endpoint.get-secret":    hook.ViewEndpointSecret,
	"v1.endpoint.rotate-secret": hook.ManageEndpointSecret,

	"v1.endpoint.create":         hook.ManageEndpoint,
	"v1.endpoint.update":         hook.ManageEndpoint,
	"v1.endpoint.patch":          hook.ManageEndpoint,
	"v1.endpoint.delete":         hook.ManageEndpoint,
	"v1.endpoint.update-headers": hook.ManageEndpoint,
	"v1.endpoint.patch-headers":  hook.ManageEndpoint,
	"v1.endpoint.verify":         hook.ManageEndpoint,
	"v1.endpoint.listen":         hook.ManageEndpoint,

	"v1.endpoint.recover":        hook.CreateAttempts,
	"v1.endpoint.replay-missing": hook.CreateAttempts,
	"v1.endpoint.bulk-replay":    hook.CreateAttempts,
	"v1.endpoint.send-example":   hook.CreateAttempts,
	"v1.message-attempt.resend":  hook.CreateAttempts,

	// A reader's place belongs to the program that reads: who may only look must not move it.
	"v1.message-poller.consumer-poll":   hook.CreateAttempts,
	"v1.message-poller.consumer-commit": hook.CreateAttempts,
	"v1.message-poller.consumer-seek":   hook.CreateAttempts,

	"v1.event-type.generate-example": hook.ViewBase, // nothing is changed
	"v1.dialect.explain":             hook.ViewBase, // likewise
	"v1.authentication.logout":       hook.ViewBase, // of itself
}

// neededFor returns what an operation needs, "" when it is not known.
func neededFor(operation, method string) hook.Capability {
	need, ok := capabilityOf[operation]
	if !ok && method == http.MethodGet {
		return hook.ViewBase
	}
	return need
}

// may says whether an actor has a capability; the organisation has all.
func (a actor) may(need hook.Capability) error {
	switch {
	case a.isOrganisation(), a.capabilities == nil, slices.Contains(a.capabilities, need):
		return nil
	case need == "":
		return forbidden("this token's capabilities do not include this")
	}
	return forbidden("this token needs the capability %s", need)
}
