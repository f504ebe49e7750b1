package longconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

// The codes of refusals, as the open API has them.
const (
	codeUnavailable = "20000"
	codeInvalid     = "40002"
	codeBusiness    = "40004"
)

// acceptTime bounds how long a message may take to be stored. The Java client waits for 10 s.
const acceptTime = 30 * time.Second

// produce takes a message that the application sends. Reading goes on while it is stored, up to a number of them.
func (p *peer) produce(f alipay.Frame) {
	if p.places == nil {
		p.places = make(chan struct{}, maxStoring)
	}
	if !p.beginStoring() {
		p.answer(f.ProduceFail(codeUnavailable, "the connection is being closed: send it again over the next one"), resultBusy)
		return
	}
	p.places <- struct{}{}
	p.s.running.Go(func() {
		defer func() { <-p.places }()
		defer p.endStoring()
		id, err := p.store(f)
		if err == nil {
			p.answer(f.ProduceAck(id.String()), "stored")
			return
		}
		p.answer(p.refusal(f, err))
	})
}

func (p *peer) beginStoring() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.storing++
	return true
}

func (p *peer) endStoring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.storing--; p.storing == 0 && p.closing {
		close(p.stored)
	}
}

// store verifies a message and makes it durable.
func (p *peer) store(f alipay.Frame) (id hook.MessageID, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), acceptTime)
	defer cancel()
	party, err := p.s.o.Party(ctx, p.ep)
	if err != nil {
		return 0, err
	}
	if !mayServe(&party) {
		return 0, hook.Errorf(hook.KindUnavailable, "the endpoint takes no connections any more")
	}
	if _, err := alipay.VerifyFrame(party.Settings, f); err != nil {
		return 0, err
	}
	d, err := alipay.ReadData(f.Data)
	switch {
	case err != nil:
		return 0, err
	case d.AppID != p.appID:
		return 0, dialect.Refuse(dialect.ReasonMalformed, "member data.header.appId", "is not the application of this connection")
	}
	if err := p.s.o.Accepting(); err != nil {
		return 0, err
	}
	now := p.s.o.Now()
	done, err := p.s.o.Accept(ctx, []hook.Accept{{
		Message: hook.Message{
			ID: hook.NewID[hook.MessageID](p.s.o.IDs, now), App: p.app, EventType: d.MsgAPI, Payload: d.Content, CreatedAt: now,
			Platform: map[string]string{"app_id": d.AppID, "x-cmd": alipay.CmdProduce},
		},
		Except: p.ep,
	}})
	switch {
	case err != nil:
		return 0, err
	case len(done) != 1:
		return 0, fmt.Errorf("%d answers for one message", len(done))
	}
	return done[0].Message.ID, done[0].Err
}

// refusal puts an error into the platform's words. What is wrong here is told to nobody outside.
func (p *peer) refusal(f alipay.Frame, err error) (ack alipay.Frame, result string) {
	var refused *dialect.Error
	switch {
	case errors.As(err, &refused) && refused.Reason == dialect.ReasonSignature:
		p.grumble(err)
		return f.ProduceFail(codeInvalid, "isv.invalid-signature: "+refused.Error()), resultRefused
	case errors.As(err, &refused) && refused.Reason != dialect.ReasonSettings:
		p.grumble(err)
		return f.ProduceFail(codeInvalid, "isv.invalid-parameter: "+refused.Error()), resultRefused
	case hook.KindOf(err) == hook.KindUnavailable:
		return f.ProduceFail(codeUnavailable, "isp.unavailable: the message is not stored, send it again"), resultBusy
	}
	if p.s.told.allow(time.Now()) {
		p.log(slog.LevelError, "a message that came over a long connection is not stored; its sender is told so", "err", err)
	}
	return f.ProduceFail(codeUnavailable, "isp.unknow-error: the message is not stored, send it again"), resultError
}

func (p *peer) grumble(err error) {
	if p.s.told.allow(time.Now()) {
		p.log(slog.LevelWarn, "a message that came over a long connection is refused", "err", err)
	}
}

// answer sends an acknowledgement.
func (p *peer) answer(ack alipay.Frame, result string) {
	p.s.o.Observe(ServerEvent{EventProduce, result})
	text, err := ack.Append(nil)
	if err == nil {
		err = p.write(text)
	}
	if err != nil {
		p.log(slog.LevelDebug, "an acknowledgement could not be sent", "err", err)
	}
}
