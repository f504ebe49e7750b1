package simulate

import (
	"context"
	"regexp"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Link carries messages to a receiver that has connected to us.
type Link struct {
	// Send sends one message and waits for its acknowledgement. Errors are *egress.Errors.
	Send func(context.Context, dialect.Request) (dialect.Response, error)
	// Cut ends the connection without a word, and returns when the receiver has a new one.
	Cut func(context.Context) error
	// Unsigned matches the signature in the body of a message, for a forgery that has none.
	Unsigned *regexp.Regexp
}

func (l *Link) dropSignature(req *dialect.Request, _ dialect.Outbound) bool {
	without := l.Unsigned.ReplaceAll(req.Body, nil)
	dropped := len(without) < len(req.Body)
	req.Body = without
	return dropped
}

// backWithin is how long a receiver may take to come back. The official Java client of Alipay tries every 2 s, and waits for 10 s
// at most where connections end at once.
const backWithin = 30 * time.Second

// tryReconnect cuts the connection, and sends when the receiver is back.
func tryReconnect(ctx context.Context, r *run) words {
	switch {
	case r.Link == nil:
		return noSuchHabit
	case !r.healthy():
		return notAcknowledged
	}
	limited, cancel := context.WithTimeout(ctx, backWithin)
	defer cancel()
	if err := r.Link.Cut(limited); err != nil {
		if ctx.Err() == nil {
			r.find("not_back", words{"it did not connect again within " + backWithin.String(), backWithin.String() + " 内没有重新连接"})
		}
		return words{}
	}
	r.good(ctx, variant{habit: "reconnect", key: "not_back"})
	return words{}
}
