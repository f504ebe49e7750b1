package ingest

import (
	"time"

	"github.com/waypost/waypost/dialect"
)

// Result says in one word what became of a request. It is a metrics label: the set is closed.
type Result string

// The results. Those below ResultProbe are refusals.
const (
	ResultStored     Result = "stored"     // durable, new
	ResultDuplicate  Result = "duplicate"  // durable since an earlier request
	ResultUnreadable Result = "unreadable" // durable, but its content could not be read
	ResultHandshake  Result = "handshake"  // a challenge was answered, nothing stored
	ResultProbe      Result = "probe"      // a console looked whether somebody is there

	ResultSignature   = Result(dialect.ReasonSignature)
	ResultReplay      = Result(dialect.ReasonReplay)
	ResultMalformed   = Result(dialect.ReasonMalformed)
	ResultNotEnvelope = Result(dialect.ReasonNotEnvelope)
	ResultSettings    = Result(dialect.ReasonSettings) // the source cannot be served as it is configured

	ResultTooLarge    Result = "too_large"   // body over the limit
	ResultEncoding    Result = "encoding"    // a compressed body
	ResultSlow        Result = "slow"        // the body did not come in time
	ResultBroken      Result = "broken"      // the body ended early or was no HTTP
	ResultAddress     Result = "address"     // the source does not take pushes from there
	ResultMethod      Result = "method"      // neither POST nor a probe
	ResultUnknown     Result = "unknown"     // no such door
	ResultDisabled    Result = "disabled"    // the source is switched off
	ResultBusy        Result = "busy"        // too much at once
	ResultUnavailable Result = "unavailable" // not stored: stopping, disk full, store broken
	ResultFault       Result = "fault"       // our own fault: nothing was answered
)

// Observation is one answered request.
type Observation struct {
	Dialect  string // "" when the door is unknown
	Result   Result
	Bytes    int           // of the body, as far as it was read
	Duration time.Duration // from the header to the answer
	Stored   time.Duration // of that: in Accept; zero when nothing was to be stored
}
