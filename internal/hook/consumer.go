package hook

import "time"

// Consumer is a reader of a polled endpoint whose place the server keeps: it is given messages behind At, and has to say
// that it has them before Until.
type Consumer struct {
	App      ApplicationID
	Endpoint EndpointID
	Name     string
	At       MessageID // the last message that it said it has; 0 = none
	Leased   MessageID // the last message given and not yet confirmed; 0 = none
	Until    time.Time // when what was given is given again; zero = nothing is out
}
