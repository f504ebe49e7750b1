package alipay

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// The commands of the long connection, x-cmd. An unknown one is no error: the Java client logs and ignores it.
const (
	CmdConsume    = "CONSUME"     // platform to application, signed by the platform
	CmdConsumeAck = "CONSUME_ACK" // application to platform, not signed
	CmdProduce    = "PRODUCE"     // application to platform, signed by the application
	CmdProduceAck = "PRODUCE_ACK" // platform to application, not signed
)

// The values of x-status.
const (
	StatusSuccess = "SUCCESS"
	StatusFail    = "FAIL"
)

// The bounds of a frame. The platform's documents name none: these are the front door's limit of a body, and room for
// the envelope around it.
const (
	MaxFrame    = 1<<20 + 16<<10 // bytes of one text message
	maxHeader   = 1 << 10        // bytes of its header lines
	maxProtocol = 1 << 10        // bytes of one protocol member other than x-sign
)

// Frame is one text message of the long connection, in either direction. Data is the raw text of the object "data",
// which is what CONSUME and PRODUCE sign; nothing else of a frame is covered by the signature.
// Source: Alipay's Java SDK, its message client and server.
type Frame struct {
	// The header lines. The platform writes all three before CONSUME, and CONSUME_ACK echoes them.
	FromSys, FromSysIP, StreamID string

	Cmd       string // CmdConsume …
	MsgID     string // the platform's id of the message: what notify_id is over HTTP
	Timestamp string // milliseconds since 1970, in decimal
	Version   string // "1.0"
	Status    string // StatusSuccess or StatusFail, in acknowledgements
	Code      string // of a FAIL
	Error     string // of a FAIL, for people
	Charset   string
	SignType  string
	Sign      string // base64, one line

	Data []byte // nil = none
}

// frameType is the one value of x-type, and frameVersion that of x-version.
const (
	frameType    = "message"
	frameVersion = "1.0"
)

// member is one line of the protocol object, in the order in which the Java client writes them.
type member struct {
	name  string
	field *string
	max   int
}

func (f *Frame) members() [10]member {
	return [10]member{
		{"x-cmd", &f.Cmd, maxProtocol},
		{"x-msgId", &f.MsgID, maxProtocol},
		{"x-timestamp", &f.Timestamp, maxProtocol},
		{"x-version", &f.Version, maxProtocol},
		{"x-status", &f.Status, maxProtocol},
		{"x-code", &f.Code, maxProtocol},
		{"x-error", &f.Error, maxProtocol},
		{"x-charset", &f.Charset, maxProtocol},
		{"x-signType", &f.SignType, maxProtocol},
		{"x-sign", &f.Sign, maxSign},
	}
}

func (f *Frame) headers() [3]member {
	return [3]member{
		{"from-sys", &f.FromSys, maxHeader},
		{"from-sys-ip", &f.FromSysIP, maxHeader},
		{"stream-id", &f.StreamID, maxHeader},
	}
}

// headerEnd stands between the header lines and the JSON.
const headerEnd = "\r\n\r\n"

func badFrame(part, format string, args ...any) *dialect.Error {
	return dialect.Refuse(dialect.ReasonMalformed, part, format, args...)
}

// ParseFrame reads one text message. It refuses what the Java client drops without a word, and says what is wrong: no
// blank line behind the headers, a header without a value, JSON that is no object or has a member twice, protocol
// members that are no strings, a missing x-type or x-cmd, data that is no object; and texts over the bounds. A header's
// value ends at a second colon, as the Java client reads it; unknown headers and members are passed over. The error is
// a *dialect.Error. Data is a slice of text.
func ParseFrame(text []byte) (Frame, error) {
	var f Frame
	if len(text) > MaxFrame {
		return Frame{}, badFrame("frame", "is longer than %d bytes", MaxFrame)
	}
	end := bytes.Index(text[:min(len(text), maxHeader+len(headerEnd))], []byte(headerEnd))
	switch {
	case end < 0 && !bytes.Contains(text, []byte(headerEnd)):
		return Frame{}, badFrame("frame", "has no blank line (CR LF CR LF) between its headers and its JSON")
	case end < 0:
		return Frame{}, badFrame("frame", "has headers of more than %d bytes", maxHeader)
	}
	if err := f.parseHeaders(string(text[:end])); err != nil {
		return Frame{}, err
	}
	if err := f.parseJSON(text[end+len(headerEnd):]); err != nil {
		return Frame{}, err
	}
	return f, nil
}

func (f *Frame) parseHeaders(block string) error {
	headers := f.headers()
	for line := range strings.SplitSeq(block, "\r\n") {
		name, rest, _ := strings.Cut(line, ":")
		for _, h := range headers {
			if h.name != name {
				continue
			}
			value, _, _ := strings.Cut(rest, ":")
			switch {
			case value == "":
				return badFrame("header "+name, "has no value; leave the line out instead")
			case !clean(value):
				return badFrame("header "+name, "holds control characters or is not UTF-8")
			}
			*h.field = value
		}
	}
	return nil
}

func (f *Frame) parseJSON(doc []byte) error {
	outer, err := dialect.ReadObject(doc)
	if err != nil {
		return badFrame("frame", "its JSON %v", err)
	}
	protocol := dialect.FindMember(outer, "protocol")
	if protocol == nil {
		return badFrame("member protocol", "is missing")
	}
	inner, err := dialect.ReadObject(protocol)
	if err != nil {
		return badFrame("member protocol", "%v", err)
	}
	var kind string
	members := f.members()
	for _, m := range append(members[:], member{"x-type", &kind, maxProtocol}) {
		if *m.field, err = protocolText(inner, m); err != nil {
			return err
		}
	}
	switch {
	case kind == "":
		return badFrame("member x-type", `is missing; it must be "message"`)
	case kind != frameType:
		return badFrame("member x-type", `is not "message"`)
	case f.Cmd == "":
		return badFrame("member x-cmd", "is missing")
	}
	if data := dialect.FindMember(outer, "data"); data != nil {
		if data[0] != '{' {
			return badFrame("member data", "is not a JSON object")
		}
		f.Data = data
	}
	return nil
}

// protocolText returns a member of the protocol object: "" when it is missing or null, which Java does not tell apart.
func protocolText(members []dialect.Member, m member) (string, error) {
	value := dialect.FindMember(members, m.name)
	switch {
	case value == nil || string(value) == "null":
		return "", nil
	case value[0] != '"':
		return "", badFrame("member "+m.name, "is not a JSON string, though all protocol members must be, numbers too")
	}
	text, err := dialect.Unquote(value)
	switch {
	case err != nil:
		return "", badFrame("member "+m.name, "%v", err)
	case len(text) > m.max:
		return "", badFrame("member "+m.name, "is longer than %d bytes", m.max)
	case !clean(string(text)):
		return "", badFrame("member "+m.name, "holds control characters")
	}
	return string(text), nil
}

// clean says whether a text is UTF-8 without control characters: fit for a header and a log.
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
}

// Append writes the frame behind dst, byte for byte as the Java client does: the headers that are set, a blank line,
// the protocol members that are set, and Data if there is any. It refuses what the other side could not read, because
// the Java writer and reader know no escapes: a colon in a header, quotes and backslashes in a member, texts over the
// bounds, data that is no JSON object.
func (f Frame) Append(dst []byte) ([]byte, error) {
	if err := f.check(); err != nil {
		return dst, err
	}
	start, headers, members := len(dst), f.headers(), f.members()
	for _, h := range headers {
		if *h.field != "" {
			dst = append(append(append(append(dst, h.name...), ':'), *h.field...), '\r', '\n')
		}
	}
	if len(dst) == start {
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, "\r\n"+`{"protocol":{"x-type":"`+frameType+`"`...)
	for _, m := range members {
		if *m.field != "" {
			dst = append(append(append(append(append(dst, `,"`...), m.name...), `":"`...), *m.field...), '"')
		}
	}
	dst = append(dst, '}')
	if len(f.Data) > 0 {
		dst = append(append(dst, `,"data":`...), f.Data...)
	}
	return append(dst, '}'), nil
}

func (f *Frame) check() error {
	size, headers, members := 256, f.headers(), f.members()
	for _, h := range headers {
		if v := *h.field; !clean(v) || strings.Contains(v, ":") {
			return badFrame("header "+h.name, "cannot be written: it holds a colon, a control character or what is not UTF-8")
		}
		size += len(*h.field)
	}
	if size > maxHeader {
		return badFrame("frame", "has headers of more than %d bytes", maxHeader)
	}
	for _, m := range members {
		v := *m.field
		if !clean(v) || strings.ContainsAny(v, `"\`) {
			return badFrame("member "+m.name, "cannot be written: it holds a quote, a backslash, a control character or what is not UTF-8")
		}
		if len(v) > m.max {
			return badFrame("member "+m.name, "is longer than %d bytes", m.max)
		}
		size += len(v) + 20
	}
	switch {
	case f.Cmd == "":
		return badFrame("member x-cmd", "is missing")
	case len(f.Data) > 0 && !isObject(f.Data):
		return badFrame("member data", "is not a JSON object")
	case size+len(f.Data) > MaxFrame:
		return badFrame("frame", "is longer than %d bytes", MaxFrame)
	}
	return nil
}

// isObject says whether a text is one JSON object without anything around it.
func isObject(text []byte) bool {
	if len(text) == 0 || text[0] != '{' || text[len(text)-1] != '}' {
		return false
	}
	_, err := dialect.SplitObject(text)
	return err == nil
}

// Time returns x-timestamp, or the zero time when there is none or it is not a number of milliseconds.
func (f Frame) Time() time.Time {
	ms, err := strconv.ParseInt(f.Timestamp, 10, 64)
	if err != nil || ms <= 0 || ms > 1<<53 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Consume makes the frame that carries a message to an application, still to be signed by SignFrame. data is
// WriteData's.
func Consume(fromSys, fromSysIP, streamID, msgID string, now time.Time, data []byte) Frame {
	return Frame{
		FromSys: fromSys, FromSysIP: fromSysIP, StreamID: streamID, Cmd: CmdConsume, MsgID: msgID,
		Timestamp: millis(now), Version: frameVersion, Data: data,
	}
}

// Produce makes the frame in which an application sends a message, still to be signed by SignFrame.
func Produce(streamID string, now time.Time, data []byte) Frame {
	return Frame{StreamID: streamID, Cmd: CmdProduce, Timestamp: millis(now), Version: frameVersion, Data: data}
}

// Ack answers a CONSUME with StatusSuccess or StatusFail: the headers and x-msgId are echoed. streamID is used when the
// frame had none, as the Java client does.
func (f Frame) Ack(status, streamID string) Frame {
	return Frame{
		FromSys: f.FromSys, FromSysIP: f.FromSysIP, StreamID: cmp.Or(f.StreamID, streamID),
		Cmd: CmdConsumeAck, MsgID: f.MsgID, Version: frameVersion, Status: status,
	}
}

// ProduceAck answers a PRODUCE under its stream-id: SUCCESS, with the id that the message was given.
func (f Frame) ProduceAck(msgID string) Frame {
	return Frame{StreamID: f.StreamID, Cmd: CmdProduceAck, MsgID: msgID, Version: frameVersion, Status: StatusSuccess}
}

// ProduceFail answers a PRODUCE under its stream-id: FAIL, with a code of the open API such as 40002 and a reason. What
// the Java writer could not carry of the reason is put right.
func (f Frame) ProduceFail(code, reason string) Frame {
	return Frame{
		StreamID: f.StreamID, Cmd: CmdProduceAck, Version: frameVersion,
		Status: StatusFail, Code: code, Error: writable(reason),
	}
}

// writable is a text without what cannot stand in a protocol member.
func writable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\', r == '{', r == '}':
			return '/'
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxProtocol {
		s = strings.ToValidUTF8(s[:maxProtocol], "")
	}
	return s
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// JudgeAck says what the x-status of a CONSUME_ACK means for a delivery.
func JudgeAck(status string) dialect.Verdict {
	switch status {
	case StatusSuccess:
		return dialect.Verdict{Kind: dialect.Accepted, Reason: "acknowledged SUCCESS"}
	case StatusFail:
		return dialect.Verdict{Kind: dialect.Retry, Reason: "acknowledged FAIL"}
	case "":
		return dialect.Verdict{Kind: dialect.Retry, Reason: "acknowledged without an x-status; it must be SUCCESS"}
	}
	return dialect.Verdict{Kind: dialect.Retry, Reason: "acknowledged with another x-status than SUCCESS"}
}

// StreamCounts is how many values the counter of StreamID takes before it begins again.
const StreamCounts = 200001

// StreamID makes the stream-id of a frame as the Java client does: "c", the time in milliseconds in eight digits to the
// base of 62, two that were drawn once for the process, and three of a counter. Only the remainder of process by 62*62
// and of count by StreamCounts matters.
func StreamID(now time.Time, process, count uint64) string {
	b := append(make([]byte, 0, 14), 'c')
	b = appendBase62(b, uint64(now.UnixMilli()), 8)
	b = appendBase62(b, process, 2)
	return string(appendBase62(b, count%StreamCounts, 3))
}

// appendBase62 writes the last digits of n, filled up with zeros.
func appendBase62(dst []byte, n uint64, digits int) []byte {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	start := len(dst)
	dst = append(dst, "00000000"[:digits]...)
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = alphabet[n%62]
		n /= 62
	}
	return dst
}
