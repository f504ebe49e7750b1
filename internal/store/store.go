// Package store owns what Waypost asks of a database. Store is the contract; each backend lives in a folder of its own
// with its own SQL and migrations, and passes storetest.
//
// One method is one transaction and one fact. What a method returned without error is durable: it survives a power cut
// that comes a moment later. now is always an argument. Rules of the business are not here: the store is handed the next
// state and does not compute it. Nothing here assumes that one process uses the database, though the embedded store
// refuses a second one.
//
// Errors are hook.Errors where the caller can do something about them: KindNotFound, KindConflict (with the Field that
// clashes), KindInvalid for a cursor that is none, KindUnavailable when the store does not take new work for now
// (stopping, or its disk is nearly full). Every other error is ErrBroken.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// ErrBroken means that the database failed in a way that must not be tried again on the same handle: an I/O error or a
// failed fsync. The process must stop taking messages and exit; the next start recovers from what is on the disk.
var ErrBroken = errors.New("store: broken, restart needed")

// Store is everything.
type Store interface {
	Config
	Flow
	Read

	// Close finishes what is under way and closes. It may be called twice.
	Close() error
}

// Config keeps what people configure.
//
// Create fails with KindConflict when the id, the uid within its scope, or a door exists already, and with KindNotFound
// when the application or profile that it names does not exist. Update replaces the whole row but for CreatedAt and
// fails with KindNotFound. A Ref is an id or a uid. Delete of something that does not exist is KindNotFound.
// Lists are ordered by id, oldest first unless the page says otherwise.
//
// The application hook.Operational is there from the start. It can be updated and can have endpoints; no list and no Ref
// shows it, and it cannot be deleted.
type Config interface {
	CreateApplication(ctx context.Context, a hook.Application) error
	UpdateApplication(ctx context.Context, a hook.Application) error
	Application(ctx context.Context, ref string) (hook.Application, error)
	Applications(ctx context.Context, p Page) (List[hook.Application], error)
	// DeleteApplication removes it with its sources, endpoints and tokens, and cancels its pending deliveries. Messages and
	// attempts stay until retention takes them, and are no longer found by the Read methods.
	DeleteApplication(ctx context.Context, id hook.ApplicationID, now time.Time) error

	CreateProfile(ctx context.Context, p hook.Profile) error
	UpdateProfile(ctx context.Context, p hook.Profile) error
	Profile(ctx context.Context, ref string) (hook.Profile, error)
	Profiles(ctx context.Context, p Page) (List[hook.Profile], error)
	// DeleteProfile fails with KindConflict while a source or endpoint names it.
	DeleteProfile(ctx context.Context, id hook.ProfileID) error

	CreateSource(ctx context.Context, s hook.Source) error
	UpdateSource(ctx context.Context, s hook.Source) error
	Source(ctx context.Context, app hook.ApplicationID, ref string) (hook.Source, error)
	// Sources lists one application's, or all when app is 0.
	Sources(ctx context.Context, app hook.ApplicationID, p Page) (List[hook.Source], error)
	DeleteSource(ctx context.Context, app hook.ApplicationID, id hook.SourceID) error
	// Route finds a source by door (the present one, or an old one before its end) with its merged settings.
	Route(ctx context.Context, door string, now time.Time) (hook.Route, error)
	// SourceRoute is Route by id, for decrypting a stored message.
	SourceRoute(ctx context.Context, id hook.SourceID) (hook.Route, error)

	CreateEndpoint(ctx context.Context, e hook.Endpoint) error
	// UpdateEndpoint replaces the row. When the new one is Disabled or polled, the resends wished for it are removed and its
	// pending deliveries are canceled in the same transaction.
	UpdateEndpoint(ctx context.Context, e hook.Endpoint) error
	// SwapEndpoint is UpdateEndpoint, but writes nothing (done is false), nor what the context carries, unless the row is
	// still before, as Endpoint returned it: Finish may have disabled it meanwhile.
	SwapEndpoint(ctx context.Context, before, after hook.Endpoint) (done bool, err error)
	Endpoint(ctx context.Context, app hook.ApplicationID, ref string) (hook.Endpoint, error)
	Endpoints(ctx context.Context, app hook.ApplicationID, p Page) (List[hook.Endpoint], error)
	// DeleteEndpoint removes it with the resends wished for it, and cancels its pending deliveries in the same transaction.
	DeleteEndpoint(ctx context.Context, app hook.ApplicationID, id hook.EndpointID, now time.Time) error
	// AccountEndpoints lists the endpoints whose Account it is, oldest first, MaxAccountEndpoints at most: one of each profile.
	AccountEndpoints(ctx context.Context, account string) ([]hook.EndpointID, error)
	// Target is an endpoint with all that the engine needs: merged settings and its application's allow list.
	Target(ctx context.Context, id hook.EndpointID) (Target, error)

	// CreateEventType fails with KindConflict when the name is taken, by an archived one too.
	CreateEventType(ctx context.Context, t hook.EventType) error
	UpdateEventType(ctx context.Context, t hook.EventType) error
	EventType(ctx context.Context, name string) (hook.EventType, error)
	// EventTypes lists by name, ascending unless the page says otherwise; the cursors are names.
	EventTypes(ctx context.Context, f EventTypeFilter, p Page) (List[hook.EventType], error)
	DeleteEventType(ctx context.Context, name string) error

	// Consumer returns a reader's place; one that was never kept is at the beginning. KindNotFound when the endpoint is not the
	// application's. Readers go with their endpoint.
	Consumer(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, name string) (hook.Consumer, error)
	// SwapConsumer keeps a reader's place unless it has changed meanwhile: done is false then, and nothing is written, as by
	// SwapEndpoint.
	SwapConsumer(ctx context.Context, before, after hook.Consumer) (done bool, err error)

	PutToken(ctx context.Context, t hook.Token) error
	// ExpireTokens ends the tokens of an application at a moment, those that end earlier excepted; when sessions are given,
	// only theirs. Tokens given by configuration stay.
	ExpireTokens(ctx context.Context, app hook.ApplicationID, sessions []string, at time.Time) error
	// Token finds a live token by hash; KindNotFound when there is none or it has expired.
	Token(ctx context.Context, hash [32]byte, now time.Time) (hook.Token, error)
	Tokens(ctx context.Context, p Page) (List[hook.Token], error)
	DeleteToken(ctx context.Context, id hook.TokenID) error
}

// MaxAccountEndpoints bounds how many profiles may share an account.
const MaxAccountEndpoints = 16

// Target is an endpoint as the engine sees it.
type Target struct {
	Endpoint   hook.Endpoint
	Settings   hook.Settings // profile and endpoint merged
	AllowCIDRs []string      // empty when the endpoint is public only
}

// Flow is the way of messages.
type Flow interface {
	// Accept takes a batch in one commit, in order. For each: if its dedup key (or, when Unique, its event id within the
	// application) is remembered, nothing is written and the earlier message's id is returned with Duplicate; otherwise the
	// message, its keys and one pending delivery for every endpoint of the application that it GoesTo are written, due at
	// Due (or else CreatedAt), later by as much as DeliverAt is after CreatedAt. The answer for a duplicate is given only after
	// the commit that holds the first copy is durable, also when both are in one batch. A message whose application does not
	// exist is an error of that message alone (its Err).
	//
	// The ids of messages grow in the order of the commits: one that is not above the last is replaced by the number after
	// the last, so whoever has read a message will find none before it later. The id that a message got is in the answer.
	//
	// Batches of several callers may be committed together; a call returns when its own are durable.
	Accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error)

	// Pending lists every endpoint that has a pending delivery or a wished resend, with the earliest moment that one is
	// due: what the engine needs to know at start. It costs one look-up an endpoint, not one a delivery.
	Pending(ctx context.Context) ([]PendingEndpoint, error)

	// Claim returns up to n pieces of work for an endpoint that are due at now: first wished resends, then pending
	// deliveries by (NextAt, Message). Work that this node has claimed and not finished is returned again, so the caller
	// must know what it has in hand; other nodes do not get it until the lease has passed. The embedded store has one
	// owner and writes nothing. next is the earliest NextAt of a delivery that was not returned, zero when there is none.
	Claim(ctx context.Context, ep hook.EndpointID, now time.Time, lease time.Duration, n int) (work []hook.Work, next time.Time, err error)

	// Hasten makes the next attempts of messages that are pending for an endpoint due at now, where they are due later.
	// KindNotFound when there is no such endpoint; messages that are not pending for it are passed over.
	Hasten(ctx context.Context, ep hook.EndpointID, messages []hook.MessageID, now time.Time) error

	// Finish records attempts with what they made of their deliveries, and endpoint health, in one commit. A delivery that is
	// no longer pending keeps its state, but for a success, which always delivers; its attempt is recorded all the same. A manual
	// attempt that failed leaves the delivery untouched. An outcome whose message retention has taken is dropped.
	Finish(ctx context.Context, batch []hook.Outcome) error

	// Resend wishes one more attempt, durable until it is made. The delivery row is created (state Canceled) when the message never
	// went to that endpoint. KindNotFound when message or endpoint are not the application's; KindConflict when the endpoint
	// is disabled or polled; KindGone when the payload is gone. now is steady time, as NextAt is.
	Resend(ctx context.Context, app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, now time.Time) error

	// Cancel withdraws what is pending or wished of a message: of one endpoint, or of all when ep is 0. n counts the deliveries
	// of which something was withdrawn. An attempt that is under way is still recorded. KindNotFound when the message is not
	// the application's.
	Cancel(ctx context.Context, app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, now time.Time) (n int, err error)
	// Expunge removes a message's payload and raw request, and cancels what is pending or wished of it. It may be called
	// again. KindNotFound as for Cancel.
	Expunge(ctx context.Context, app hook.ApplicationID, m hook.MessageID, now time.Time) error
	// ExpungeResponse replaces what is kept of an attempt's answer by the text EXPUNGED. KindNotFound when the attempt is not
	// the application's.
	ExpungeResponse(ctx context.Context, app hook.ApplicationID, id hook.AttemptID) error

	// StartTask keeps a task that is to be done, on what is stored by now: a task never runs after new messages or
	// applications. KindInvalid when the task is not whole, KindNotFound when its endpoint is not the application's,
	// KindConflict when the id is taken, or nothing can be sent to the endpoint (it is disabled, or polled); KindUnavailable as
	// for Accept.
	StartTask(ctx context.Context, t hook.Task) error
	// StepTask does one bounded step of a running task, with its place, in one commit: it looks at no more than n messages or
	// applications. The ids of messages that it makes are drawn from next. A task that has ended is returned as it is; one whose
	// endpoint went, or takes nothing any more, ends as failed, which is no error. KindUnavailable as for Accept. Work that
	// a step makes is told as Change.Resend and Change.Accepted; it is due at due, which is steady time.
	StepTask(ctx context.Context, id hook.TaskID, now, due time.Time, n int, next func() int64) (hook.Task, error)
	// RunningTasks lists what a start has to go on with.
	RunningTasks(ctx context.Context) ([]hook.TaskID, error)

	// Refuse keeps refused requests, the last keep of each source.
	Refuse(ctx context.Context, batch []hook.Refused, keep int) error

	// Beat notes that the process is alive at now, to the millisecond; a zero Steady is the Wall. clean notes that it stops in
	// good order.
	Beat(ctx context.Context, now hook.ClockState, clean bool) error
	// LastBeat returns the last beat, zero when there was none.
	LastBeat(ctx context.Context) (hook.ClockState, error)

	// Sweep does one bounded step of retention: messages (with attempts and deliveries) older than Before that have no
	// pending delivery and no wished resend, payloads older than PayloadBefore or past their ContentUntil (likewise), dedup
	// keys, receipts and tokens that have run out at Now. Keys that do not count any more may stay until many of them can be removed
	// at once, and then a step removes more than Limit. more says that another step is worth calling.
	Sweep(ctx context.Context, s Sweep) (done Swept, more bool, err error)

	// HighestID returns the highest id that was ever issued to a stored thing, for hook.NewGenerator.
	HighestID(ctx context.Context) (int64, error)
}

// PendingEndpoint is an endpoint with work.
type PendingEndpoint struct {
	Endpoint hook.EndpointID
	NextAt   time.Time
}

// Sweep is one step of retention.
type Sweep struct {
	Now           time.Time
	Before        time.Time // zero = keep messages for ever
	PayloadBefore time.Time // zero = as long as the message
	Limit         int       // rows of each kind in this step
}

// Swept counts what a step removed.
type Swept struct{ Messages, Payloads, Keys int }

// Read is what the API shows. Every list is keyset-paged on an index and costs the same whatever the history.
type Read interface {
	// Message returns one with payload and, when raw is asked for, the request as received.
	Message(ctx context.Context, app hook.ApplicationID, ref string, raw bool) (hook.Message, error)
	// Load is Message for the engine: by id, with payload and raw.
	Load(ctx context.Context, id hook.MessageID) (hook.Message, error)
	Messages(ctx context.Context, app hook.ApplicationID, f MessageFilter, p Page) (List[hook.Message], error)

	Attempt(ctx context.Context, app hook.ApplicationID, id hook.AttemptID) (hook.Attempt, error)
	// Attempts lists by message, by endpoint, or both; one of them must be set.
	Attempts(ctx context.Context, app hook.ApplicationID, f AttemptFilter, p Page) (List[hook.Attempt], error)
	// Deliveries lists where a message stands, by endpoint.
	Deliveries(ctx context.Context, app hook.ApplicationID, m hook.MessageID) ([]hook.Delivery, error)
	// Destinations is Deliveries by pages, in the order of the endpoints' ids.
	Destinations(ctx context.Context, app hook.ApplicationID, m hook.MessageID, p Page) (List[hook.Delivery], error)
	// Attempted lists the messages that have a delivery to an endpoint, with it. KindNotFound when the endpoint is not the
	// application's.
	Attempted(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, f AttemptedFilter, p Page) (List[Attempted], error)
	// Stats counts the deliveries to an endpoint by state, of messages from the UTC day of since to the UTC day of until. It reads
	// counters, a row a day; zero times do not narrow. What retention has taken is not counted any more.
	Stats(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, since, until time.Time) (DeliveryCounts, error)
	// Task returns one; what a broadcast sends has no payload any more once it has ended. Tasks are kept for 30 days after their
	// end. Tasks lists them without payloads.
	Task(ctx context.Context, id hook.TaskID) (hook.Task, error)
	Tasks(ctx context.Context, f TaskFilter, p Page) (List[hook.Task], error)
	// Receipt returns the answer kept under a key (see With); found is false when there is none that is live at now.
	Receipt(ctx context.Context, key [32]byte, now time.Time) (status int, body []byte, found bool, err error)
	// Refusals lists the last refused requests of a source, newest first.
	Refusals(ctx context.Context, id hook.SourceID, n int) ([]hook.Refused, error)
	// Counts returns how many messages and deliveries by state are stored, from counters, not by a scan.
	Counts(ctx context.Context) (Counts, error)
}

// Counts are totals since the store was made; Pending is the present number.
type Counts struct {
	Messages  int64
	Pending   int64
	Delivered int64
	Failed    int64
	Canceled  int64
}

// DeliveryCounts are deliveries by state.
type DeliveryCounts struct{ Pending, Delivered, Failed, Canceled int64 }

// EventTypeFilter narrows a list of event types.
type EventTypeFilter struct {
	Archived bool // archived ones too
	// Flags, when not nil, leave out the types that somebody who holds them may not have.
	Flags []string
}

// AttemptedFilter narrows a list of the messages of an endpoint. Zero fields do not narrow.
type AttemptedFilter struct {
	States      []hook.State
	EventTypes  []string
	Channel     string
	Tag         string
	Before      time.Time // exclusive, as in MessageFilter
	After       time.Time
	WithPayload bool
}

// Attempted is a message and where it stands at one endpoint.
type Attempted struct {
	Message  hook.Message
	Delivery hook.Delivery
}

// TaskFilter narrows a list of tasks. Zero fields do not narrow.
type TaskFilter struct {
	Kind  hook.TaskKind
	State hook.TaskState
	App   hook.ApplicationID
}

// Withdrawn says what was canceled of a message.
type Withdrawn struct {
	Message  hook.MessageID
	Endpoint hook.EndpointID
}

// MessageFilter narrows a list of messages. Zero fields do not narrow. Times compare with the time in the id, to the
// millisecond.
type MessageFilter struct {
	EventTypes  []string
	Channel     string
	Channels    []string // any of them
	Tag         string
	Source      hook.SourceID
	Before      time.Time // exclusive
	After       time.Time // exclusive
	WithPayload bool
}

// AttemptFilter narrows a list of attempts. Zero fields do not narrow. Times compare as in MessageFilter.
type AttemptFilter struct {
	Message     hook.MessageID
	Endpoint    hook.EndpointID
	Verdicts    []hook.Verdict
	StatusClass int // 1 to 5 for 1xx to 5xx, 0 = any
	EventTypes  []string
	Channel     string // of the message
	Tag         string // of the message
	NoAnswer    bool   // only attempts that had no answer at all (status 0)
	Before      time.Time
	After       time.Time
	WithContent bool // the response text
}

// Page is a window of a list. After and Before are cursors from an earlier List; at most one is set.
type Page struct {
	Limit int // 1 to 250; 0 = 50
	// After continues forward behind a List's Last; Before goes back in front of a List's First. The items come in the list's
	// order in both cases.
	After  string
	Before string
	// Descending lists the newest first.
	Descending bool
}

// List is one window. Where a filter hardly matches or items are large, a window may be short or empty and not Done: a call looks at a bounded
// number of rows, and First and Last say where it stopped.
type List[T any] struct {
	Items []T
	First string // cursor of the first item, "" when empty
	Last  string // cursor of the last item
	Done  bool   // there is nothing further in the direction asked for
}

// Change is what a backend tells its owner, after the commit and before the call that made it returns, so that caches are
// dropped and lanes stopped before a caller hears that it is done.
type Change struct {
	Accepted   []hook.Accepted // new messages with their deliveries, payload included
	Config     bool            // an application, profile, source, endpoint, event type or token changed
	Endpoint   hook.EndpointID // when one endpoint changed or went
	Resend     hook.EndpointID // a resend was wished for it
	Canceled   []Withdrawn     // deliveries and resends of messages were withdrawn one by one
	Task       hook.TaskID     // a task was started
	Broken     error           // the store is broken: stop
	Unaccepted bool            // the store takes no new messages for now (disk nearly full); when it does again is not told
}
