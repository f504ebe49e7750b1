package hook

import "time"

// The states of a source that dials out.
const (
	ConnectionConnecting = "connecting" // none of its connections is open, one is being opened
	ConnectionOpen       = "connected"  // at least one is open
	ConnectionWaiting    = "waiting"    // none is open; the next try is at NextTry
	ConnectionStopped    = "stopped"    // it does not connect: the source is disabled, or the server stops
)

// Connection is how a source of TransportLongConn stands with its platform.
type Connection struct {
	State   string
	Since   time.Time // in this state
	Open    int       // connections that are open
	Wanted  int       // connections that should be
	NextTry time.Time // of ConnectionWaiting; zero otherwise

	Trouble   string    // why the last connection ended or could not be opened; "" = no trouble yet. It stays after a recovery
	Mend      string    // what to do about it, "" = nothing: it is tried again
	TroubleAt time.Time // zero = no trouble yet

	Counts ConnectionCounts
}

// ConnectionCounts are totals since the source was opened by this process.
type ConnectionCounts struct {
	Connects   int64 // connections that were opened
	Reconnects int64 // of them: after one had ended
	Failures   int64 // tries that opened none
	Frames     int64 // frames that came in
	Ignored    int64 // of them: neither a message nor an answer to one of ours
	Success    int64 // messages acknowledged with SUCCESS: durable
	Fail       int64 // messages answered with FAIL
	Unanswered int64 // messages that were not answered: they are for the platform to repeat
	Produced   int64 // messages sent to the platform that it took
}

// Produced is what the platform said to a message that was sent to it over a long connection.
type Produced struct {
	OK        bool
	MessageID string // the platform's id of it, "" = it told none
	Code      string // of a refusal, "" = it told none
	Text      string // of a refusal, or why there was no answer
	// Unanswered means that no answer came: the platform may have taken the message or not.
	Unanswered bool
}
