package engine

import (
	"github.com/waypost/waypost/internal/hook"
)

// failingAfter is the failed attempt of a message after which the operator is told that it is failing, when more will
// follow (Svix).
const failingAfter = 4

// notices are what the operator is told of an attempt. Every delivery that comes to be failing or exhausted is told, and
// every one of which that was told is told again when it is delivered after all. What becomes of the operator's own messages
// is not told. The lock is held.
func (e *Engine) notices(f *flight, m *hook.Message, o *hook.Outcome) []hook.Accept {
	was, is := &f.Delivery, &o.Delivery
	told := ""
	switch {
	case was.App == hook.Operational:
	case o.Attempt.Verdict == hook.Success:
		if was.State == hook.Failed || was.Attempts >= failingAfter || f.told {
			told = hook.AttemptRecovered // the store forgets it when the message was delivered already
		}
	case f.Trigger != hook.Scheduled:
	case is.State == hook.Failed:
		told = hook.AttemptExhausted
	case is.Attempts == failingAfter:
		told = hook.AttemptFailing
	}
	switch told {
	case "":
		return nil
	case hook.AttemptExhausted, hook.AttemptFailing:
		f.told = true
		f.lane.tell(was.Message)
	}
	return []hook.Accept{e.notice(f.target).Attempt(told, m, &o.Attempt)}
}

// tell notes for the resends of a message that are in hand that the operator was told of it: what was read of its delivery
// does not say so yet.
func (l *lane) tell(m hook.MessageID) {
	for i := range l.queue {
		if l.queue[i].Delivery.Message == m {
			l.queue[i].told = true
		}
	}
	for k, f := range l.hand {
		if k.message == m && f != nil {
			f.told = true
		}
	}
}

// notice begins a message that tells the operator of an endpoint.
func (e *Engine) notice(t *target) hook.Notice {
	now := e.o.Clock.Now()
	return hook.Notice{ID: hook.NewID[hook.MessageID](e.o.IDs, now), Now: now, Due: e.o.Clock.Steady(), AppUID: t.appUID}
}
