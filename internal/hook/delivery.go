package hook

import "time"

// State is where a delivery stands.
type State int

// The states of a delivery. The numbers are stored: they never change.
const (
	Pending   State = 0 // waits for its next attempt at NextAt
	Delivered State = 1 // an attempt was accepted
	Failed    State = 2 // the schedule is exhausted, or the receiver refused for good
	Canceled  State = 3 // withdrawn: by a person, or because its endpoint was disabled or deleted
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	case Canceled:
		return "canceled"
	}
	return "unknown"
}

// Delivery is one message on its way to one endpoint: the unit of scheduling.
type Delivery struct {
	App      ApplicationID
	Message  MessageID
	Endpoint EndpointID
	State    State
	Attempts int       // scheduled attempts made so far
	NextAt   time.Time // when the next one is due; zero unless pending
}

// Verdict is what an answer means for the delivery.
type Verdict int

// The verdicts. The numbers are stored: they never change.
const (
	Success Verdict = 0 // accepted by the receiver
	Retry   Verdict = 1 // not accepted: try again on schedule
	Refuse  Verdict = 2 // never will be: no further attempt of this message
	Gone    Verdict = 3 // the endpoint itself is gone: no further attempt of any message
)

// Trigger says why an attempt was made.
type Trigger int

// The triggers. The numbers are Svix's and are stored.
const (
	Scheduled Trigger = 0
	Manual    Trigger = 1
)

// Attempt is one try of a delivery.
type Attempt struct {
	ID        AttemptID
	App       ApplicationID
	Message   MessageID
	Endpoint  EndpointID
	EventType string // of the message, so that lists need no join
	URL       string
	N         int // 1 for the first scheduled attempt; 0 for manual ones
	Trigger   Trigger
	At        time.Time     // when the request was started
	Duration  time.Duration // until the answer was judged
	Status    int           // HTTP status, 0 = no answer
	Verdict   Verdict
	Reason    string // one sentence: why this verdict
	Response  []byte // at most 16 KiB of the answer's body
	NextAt    time.Time
}

// Step is the state machine of a delivery: what it becomes when an attempt was judged at a moment.
//
//   - success delivers, whatever the state was and whoever asked for the attempt;
//   - a manual attempt that fails changes nothing: it never touches the schedule;
//   - a scheduled attempt that fails waits for the next step of the schedule, counted from the judgement, and fails
//     the delivery when there is no next step, or when the receiver refused for good;
//   - a delivery that is no longer pending is never made pending again.
//
// retryAfter is what the receiver asked for; it is honoured within [step, 2 × step] and only when it is positive.
func (d Delivery) Step(v Verdict, t Trigger, at time.Time, schedule []time.Duration, retryAfter time.Duration) Delivery {
	if t == Scheduled {
		d.Attempts++
	}
	switch {
	case v == Success:
		d.State, d.NextAt = Delivered, time.Time{}
	case t == Manual || d.State != Pending:
	case v == Refuse || v == Gone || d.Attempts > len(schedule):
		d.State, d.NextAt = Failed, time.Time{}
	default:
		wait := schedule[d.Attempts-1]
		if retryAfter > 0 {
			wait = min(max(wait, retryAfter), 2*wait)
		}
		d.NextAt = at.Add(wait)
	}
	return d
}

// Work is one attempt to be made: a delivery that is due, or a resend that someone asked for.
type Work struct {
	Delivery Delivery
	Trigger  Trigger
	Resend   int64 // the id of the wish, for a manual one
}

// Outcome is what Finish records: an attempt and what it made of its delivery, in one commit.
type Outcome struct {
	Attempt  Attempt
	Delivery Delivery // the state after the attempt
	Resend   int64    // the wish that this fulfils, 0 = none
	// Health, when not nil, is written to the endpoint in the same commit.
	Health *EndpointHealth
	// Events tell the operator what became of the delivery. They are accepted in the same commit when this outcome is what
	// made the delivery as Delivery says (it was pending, or a success delivered it from any other state but Delivered), and
	// only when somebody listens (see Operational).
	Events []Accept
}

// EndpointHealth is what the engine decides about an endpoint after an attempt.
type EndpointHealth struct {
	FailingSince time.Time
	Disable      bool
	Reason       string
	Events       []Accept // accepted in the same commit when this is what disables the endpoint
}
