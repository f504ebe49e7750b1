package alipay

import (
	"strings"

	"github.com/waypost/waypost/dialect"
)

// The setting of an endpoint that is reached over long connections.
const fMode = "longconn_mode"

const (
	modeShare     = "share"
	modeBroadcast = "broadcast"
)

var serveFields = []dialect.Field{
	{
		Name: fMode, Kind: dialect.KindChoice, Choices: []string{modeShare, modeBroadcast}, Shared: true, Sending: dialect.Optional, Default: modeShare,
		Help: dialect.Text{
			En: "Long connection: who gets a message when the application has several connections open. share: one of them. broadcast: all, and it is delivered when each has acknowledged it. It is not known what Alipay does.",
			Zh: "长连接:同一应用有多个连接时消息的投递方式。share:只发给其中一个;broadcast:发给全部,每个连接都确认后才算送达。支付宝的做法未公开。",
		},
	},
}

// Serving is what the settings of an endpoint say of the connections that its application opens.
type Serving struct {
	AppID     string
	Broadcast bool // every connection gets every message
}

// ReadServing reads them, and says what is missing for a long connection or does not go with it. Its error is a dialect.Problem.
func ReadServing(s dialect.Settings) (Serving, error) {
	switch {
	case s.Get(fAppID) == "":
		return Serving{}, problem(fAppID, "is needed for a long connection: it is found by it")
	case s.Get(fAppPublicKey) == "":
		return Serving{}, problem(fAppPublicKey, "is needed for a long connection: whoever opens one signs with the other half of it")
	case s.Get(fAESKey) != "":
		return Serving{}, problem(fAESKey, "does not go with a long connection, which carries no encrypted content: leave it out, or use the transport http")
	case !strings.EqualFold(s.Or(fCharset, charsetUTF8), charsetUTF8):
		return Serving{}, problem(fCharset, "must be UTF-8, which is all that a long connection carries")
	}
	return Serving{AppID: s.Get(fAppID), Broadcast: s.Get(fMode) == modeBroadcast}, nil
}

// ConsumeMessage makes the signed CONSUME that carries a message to an application. x-msgId is what notify_id would be over HTTP,
// and the content the payload byte for byte: both are the same over all attempts. The stream-id is another for each.
func ConsumeMessage(s dialect.Settings, o dialect.Outbound, fromSys, fromSysIP string) (Frame, error) {
	if _, err := ReadServing(s); err != nil {
		return Frame{}, dialect.Refuse(dialect.ReasonSettings, "settings", "%v", err)
	}
	id, err := notifyID(o)
	if err != nil {
		return Frame{}, err
	}
	if strings.ContainsAny(id, `"\`) {
		return Frame{}, dialect.CannotSend("platform member %s: must hold no quote or backslash to be sent over a long connection", pNotifyID)
	}
	data, err := Data{AppID: s.Get(fAppID), MsgAPI: o.EventType, Content: o.Payload}.Append(nil)
	if err != nil {
		return Frame{}, err
	}
	if len(data) > 1<<20 {
		return Frame{}, dialect.CannotSend("payload: is too long for a long connection: a frame has at most %d bytes", MaxFrame)
	}
	draw := dialect.Derive(o.Seed, "alipay/stream-id/"+millis(o.Now), 4)
	stream := StreamID(o.Now, uint64(draw[0])<<8|uint64(draw[1]), uint64(draw[2])<<8|uint64(draw[3]))
	return SignFrame(s, Consume(fromSys, fromSysIP, "s"+stream[1:], id, o.Now, data))
}
