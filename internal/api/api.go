// Package api owns the HTTP interface that people and their programs use: Svix's open-server API in Svix's shapes and
// paths, Waypost's additions to it, and the OpenAPI document of both. Rules of the interface (who may do what, what a
// request must look like, what an answer must not show) are here; it keeps nothing but short-lived caches.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Options are what the API works with. Store, Dialects, IDs and CheckURL must be set.
type Options struct {
	Store    store.Store
	Dialects map[string]*dialect.Dialect // by name; "standard" is the dialect of an endpoint that names none
	IDs      *hook.Generator
	Now      func() time.Time // default time.Now
	Steady   func() time.Time // in which the schedules of the store are, see hook.Clock; default Now

	// CheckURL judges the address of an endpoint before it is stored; allow are private CIDRs that it may reach. The text
	// of its error is shown to the organisation. Of a hook.Error, applications are shown Text too, but not Err, which is for
	// what may tell of the organisation's networks: how to allow the address.
	CheckURL func(ctx context.Context, url string, allow []string) error
	// Verify runs the handshake of an endpoint and says what came of it. An error means that it could not be run at
	// all. nil = no endpoint can be verified.
	Verify func(ctx context.Context, e hook.Endpoint) (hook.Verification, error)
	// Accepting says why no new messages are taken for now, for the health check. nil = they always are.
	Accepting func() error
	// Listeners are those who listen for endpoints of hook.TransportListen. nil = nobody can.
	Listeners *Listeners

	// LongConnections lists the long connections of an endpoint of hook.TransportLongConn, oldest first. nil = there are none.
	LongConnections func(hook.EndpointID) []LongConnection
	// CheckLongConn judges, by dialect, the settings of an endpoint of hook.TransportLongConn, and says whose connections are its
	// own. An error that is a dialect.Problem names a setting. A dialect that it lacks has no long connection.
	CheckLongConn map[string]func(dialect.Settings) (account string, err error)

	// Outgoing is what is needed of sources that dial out.
	Outgoing Outgoing

	// OperationalAllow are the private networks, as CIDR, that operational endpoints may reach. The store's application
	// hook.Operational must have the same, for the engine asks it.
	OperationalAllow []string

	// MainKey tells of the main key, and RotateMainKey begins its rotation and returns when it goes on in the background. What goes
	// along with the context is to be written with the rotation's first commit. nil = neither is known.
	MainKey       func() MainKey
	RotateMainKey func(context.Context) error

	PublicURL string        // how the world reaches the front door, as https://hooks.example.com; "" = unknown
	Dev       bool          // endpoints of https-only dialects may use http
	MaxBody   int64         // bytes of a request body; default 1 MiB
	MaxHeld   int64         // bytes of all bodies in memory, beyond which requests are answered 503; default 256 MiB
	EventKeep time.Duration // how long a repeated eventId is a conflict; default 7 days
	Log       *slog.Logger  // default: discard
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Steady == nil {
		o.Steady = o.Now
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxHeld == 0 {
		o.MaxHeld = defaultMaxHeld
	}
	if o.EventKeep == 0 {
		o.EventKeep = 7 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	return o
}

// Handler serves the API under /api/v1/.
type Handler struct {
	Options
	mux      *http.ServeMux
	huma     huma.API
	document []byte // the OpenAPI document
	plain    map[string]*shape

	tokens  *cache[[32]byte, hook.Token]
	apps    *cache[string, hook.ApplicationID]
	types   *cache[string, eventTypeFacts]
	enforce *cache[hook.ApplicationID, bool]
	schemas *schemaShelf
	twins   *twins
	edits   *twins // by endpoint
	bodies  bodies
	config  sync.Mutex // held over a read of the configuration and the write that follows from it

	lists      *crowd
	handshakes *crowd
	explains   *crowd
}

// New makes the API. It panics when an option that must be set is not: that is a fault of the wiring.
func New(o Options) *Handler {
	if o.Store == nil || o.Dialects == nil || o.IDs == nil || o.CheckURL == nil {
		panic("api: Store, Dialects, IDs and CheckURL must be set")
	}
	h := &Handler{
		Options: o.withDefaults(),
		mux:     http.NewServeMux(),
		tokens:  newCache[[32]byte, hook.Token](),
		apps:    newCache[string, hook.ApplicationID](),
		types:   newCache[string, eventTypeFacts](),
		enforce: newCache[hook.ApplicationID, bool](),
		schemas: newSchemaShelf(),
		twins:   newTwins(),
		edits:   newTwins(),

		lists:      newCrowd(listsEach, listsAll),
		handshakes: newCrowd(handshakesEach, handshakesAll),
		explains:   newCrowd(explainsEach, explainsAll),
	}
	h.bodies.max = h.MaxHeld
	h.huma = humago.New(h.mux, h.humaConfig())
	h.health()
	h.applications()
	h.endpoints()
	h.listenRoute()
	h.endpointHeaders()
	h.rotateRoute()
	h.recoveries()
	h.statsRoute()
	h.exampleRoute()
	h.tasks()
	h.operationalWebhooks()
	h.messages()
	h.batches()
	h.broadcasts()
	h.cancels()
	h.attempts()
	h.attempted()
	h.stories()
	h.pollers()
	h.profiles()
	h.sources()
	h.dialects()
	h.explainRoute()
	h.tokenRoutes()
	h.eventTypes()
	h.authentication()
	h.mainKey()
	h.document = h.finishDocument()
	h.plain = plainShapes(h.huma.OpenAPI())
	return h
}

// Forget drops what is cached of tokens, applications and event types. Call it whenever the store says that its configuration
// changed; entries also run out by themselves within a second.
func (h *Handler) Forget() {
	h.tokens.clear()
	h.apps.clear()
	h.types.clear()
	h.enforce.clear()
}

// now is the present as it is stored: UTC, to the millisecond.
func (h *Handler) now() time.Time { return h.Now().UTC().Truncate(time.Millisecond) }
