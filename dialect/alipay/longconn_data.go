package alipay

import (
	"bytes"

	"github.com/waypost/waypost/dialect"
)

// Data is the object "data" of a CONSUME or PRODUCE.
type Data struct {
	AppID  string // the application that receives, or that sends
	MsgAPI string // the name of the message: what msg_method is over HTTP

	// The serials of the application's certificate and of the platform's roots, in certificate mode.
	AppCertSN, RootCertSN string

	Content []byte // the raw text of the business object: what biz_content is over HTTP
}

// ReadData reads the text of Frame.Data. Content is a slice of it, as it came. The error is a *dialect.Error.
func ReadData(text []byte) (Data, error) {
	var d Data
	outer, err := dialect.ReadObject(text)
	if err != nil {
		return Data{}, badFrame("member data", "%v", err)
	}
	header, err := dialect.ReadObject(dialect.FindMember(outer, "header"))
	if err != nil {
		return Data{}, badFrame("member data.header", "%v", err)
	}
	for _, m := range []member{
		{"appId", &d.AppID, maxAppID},
		{"msgApi", &d.MsgAPI, maxEventType},
		{"app_cert_sn", &d.AppCertSN, maxProtocol},
		{"alipay_root_cert_sn", &d.RootCertSN, maxProtocol},
	} {
		if *m.field, err = protocolText(header, m); err != nil {
			return Data{}, err
		}
	}
	d.Content = dialect.FindMember(outer, "content")
	switch {
	case !validAppID(d.AppID):
		return Data{}, badFrame("member data.header.appId", "is missing or not an application's id")
	case d.MsgAPI == "" || !plain(d.MsgAPI):
		return Data{}, badFrame("member data.header.msgApi", "is missing or not printable ASCII")
	case d.Content == nil:
		return Data{}, badFrame("member data.content", "is missing")
	case d.Content[0] != '{':
		return Data{}, badFrame("member data.content", "is not a JSON object: a text that holds JSON is not one")
	}
	return d, nil
}

// Append writes the object behind dst. Content goes in byte for byte, without the blanks around it; it must be a JSON
// object, because the Java client drops anything else. The error is dialect.CannotSend's where no repeat can help.
func (d Data) Append(dst []byte) ([]byte, error) {
	content := bytes.Trim(d.Content, " \t\r\n")
	switch {
	case !validAppID(d.AppID):
		return dst, dialect.Refuse(dialect.ReasonSettings, "setting "+fAppID, "is not set or not an application's id")
	case d.MsgAPI == "" || len(d.MsgAPI) > maxEventType || !plain(d.MsgAPI):
		return dst, dialect.CannotSend("event type: must be 1 to %d printable ASCII characters to be sent as msgApi", maxEventType)
	case !isObject(content):
		return dst, dialect.CannotSend("payload: must be a JSON object to be sent over a long connection")
	}
	dst = dialect.AppendQuote(append(dst, `{"header":{"appId":`...), d.AppID)
	dst = dialect.AppendQuote(append(dst, `,"msgApi":`...), d.MsgAPI)
	if d.AppCertSN != "" {
		dst = dialect.AppendQuote(append(dst, `,"app_cert_sn":`...), d.AppCertSN)
		dst = dialect.AppendQuote(append(dst, `,"alipay_root_cert_sn":`...), d.RootCertSN)
	}
	return append(append(append(dst, `},"content":`...), content...), '}'), nil
}

// ReceiveFrame verifies a CONSUME and reads it into what the HTTP half would make of the same message: the same event
// type, payload, account and dedup key, so that a repeat over the other transport is recognised. As there, nothing is
// refused behind a right signature but a message for another application: what cannot be read is kept raw and marked
// Unreadable. x-msgId and x-timestamp are not signed: that they are the platform's, only TLS vouches for, and so the
// time is not judged. The error is a *dialect.Error.
func ReceiveFrame(s dialect.Settings, f Frame) (dialect.Received, error) {
	if f.Cmd != CmdConsume {
		return dialect.Received{}, badFrame("member x-cmd", "is not CONSUME")
	}
	key, err := VerifyFrame(s, f)
	if err != nil {
		return dialect.Received{}, err
	}
	got := dialect.Received{Key: key, Time: f.Time(), Platform: f.platform()}
	d, err := ReadData(f.Data)
	if err != nil {
		got.Unreadable = err.Error()
		got.Account, got.Payload = s.Get(fAppID), f.Data
	} else {
		got.Account, got.EventType, got.Payload = d.AppID, d.MsgAPI, d.Content
		got.Platform[pAppID] = d.AppID
	}
	if want := s.Get(fAppID); want != "" && got.Account != want {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSettings, "member data.header.appId", "is not the application of setting %s", fAppID)
	}
	if f.MsgID != "" && len(f.MsgID) <= maxNotifyID && plain(f.MsgID) {
		got.EventID, got.DedupKey = f.MsgID, DedupKey(got.Account, f.MsgID)
	} else {
		got.DedupKey = textKey(got.Account, f.Data)
	}
	return got, nil
}

// platform is the envelope by the names that the same message has over HTTP, where it has one. x-version is left out:
// its 1.0 is not the old protocol that version=1.0 means over HTTP.
func (f Frame) platform() map[string]string {
	out := map[string]string{pSignType: f.SignType, pCharset: f.Charset}
	for _, m := range []member{
		{name: pNotifyID, field: &f.MsgID},
		{name: pUTCTimestamp, field: &f.Timestamp},
		{name: "stream-id", field: &f.StreamID},
		{name: "from-sys", field: &f.FromSys},
	} {
		if *m.field != "" {
			out[m.name] = *m.field
		}
	}
	return out
}
