package longconn

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
)

// Scheme is that of an endpoint's address that stands for its long connections; URL is the whole address.
const (
	Scheme = "longconn"
	URL    = Scheme + ":"
)

// What a CONSUME says of the system that it comes from. Values with a colon are cut by the Java client.
const (
	fromSys   = "waypost"
	fromSysIP = "127.0.0.1" // not looked at by any client that is known, and the address of the server is no secret worth telling
)

// The headers in which Dialect hands the ids of a frame on to the server, which waits for the acknowledgement of them.
const (
	headerMessage = "Waypost-Message"
	headerMsgID   = "X-Msgid"
	headerStream  = "Stream-Id"
	headerStatus  = "X-Status"
	headerCount   = "Waypost-Connections"
)

// Dialect is Alipay's protocol as it is spoken to an endpoint over its long connections: the body of a request is a CONSUME, that
// of an answer the CONSUME_ACK.
var Dialect = dialect.Dialect{
	Name:     alipay.Dialect.Name,
	Title:    alipay.Dialect.Title,
	Fields:   slices.DeleteFunc(slices.Clone(alipay.Dialect.Fields), func(f dialect.Field) bool { return slices.Contains(ofHTTP, f.Name) }),
	Check:    alipay.Dialect.Check,
	Sign:     sign,
	Judge:    judge,
	Policy:   alipay.Dialect.Policy,
	Examples: alipay.Dialect.Examples,
}

// ofHTTP are the settings of a platform that mean nothing here.
var ofHTTP = []string{"aes_key", "charset", "ack_word", "ack_status", "rule_overrides"}

func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	f, err := alipay.ConsumeMessage(s, o, fromSys, fromSysIP)
	if err != nil {
		return dialect.Request{}, err
	}
	body, err := f.Append(nil)
	if err != nil {
		return dialect.Request{}, err
	}
	return dialect.Request{Method: http.MethodPost, Body: body, Header: http.Header{
		headerMessage: {o.ID}, headerMsgID: {f.MsgID}, headerStream: {f.StreamID},
	}}, nil
}

func judge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	v := alipay.JudgeAck(r.Header.Get(headerStatus))
	if n := r.Header.Get(headerCount); n != "" {
		v.Reason += "; it went to " + n + " connections"
	}
	return v
}

// Header is the acknowledgement as the header of an answer that Dialect judges.
func (a Ack) Header() http.Header {
	h := http.Header{headerStatus: {a.Status}}
	if a.Count > 1 {
		h[headerCount] = []string{strconv.Itoa(a.Count)}
	}
	return h
}
