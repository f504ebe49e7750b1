package alipay

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// refusedFor wants a *dialect.Error of a reason whose text names the cause.
func refusedFor(t *testing.T, err error, reason dialect.Reason, text string) {
	t.Helper()
	var refusal *dialect.Error
	if !errors.As(err, &refusal) || refusal.Reason != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a refusal for %s that says %q", err, reason, text)
	}
}

const goodProtocol = `{"protocol":{"x-type":"message","x-cmd":"CONSUME"}`

func TestFramesThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxProtocol+1)
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no blank line"},
		{"no headers and no blank line", goodProtocol + "}", "no blank line"},
		{"line ends without CR", "stream-id:s1\n\n" + goodProtocol + "}", "no blank line"},
		{"a header without a value", "stream-id:\r\n\r\n" + goodProtocol + "}", "header stream-id: has no value"},
		{"a header without a colon", "from-sys\r\n\r\n" + goodProtocol + "}", "header from-sys: has no value"},
		{"a header of a colon alone", "from-sys-ip:::1\r\n\r\n" + goodProtocol + "}", "header from-sys-ip: has no value"},
		{"a header that is not UTF-8", "stream-id:\xff\r\n\r\n" + goodProtocol + "}", "header stream-id: holds"},
		{"a header with a control character", "stream-id:a\nb\r\n\r\n" + goodProtocol + "}", "header stream-id: holds"},
		{"endless headers", "stream-id:" + long + "\r\n\r\n" + goodProtocol + "}", "headers of more than"},
		{"no JSON", "\r\n\r\n", "JSON is not one JSON object"},
		{"cut JSON", "\r\n\r\n" + goodProtocol, "JSON is not one JSON object"},
		{"something behind the JSON", "\r\n\r\n" + goodProtocol + "}x", "JSON is not one JSON object"},
		{"an array", "\r\n\r\n[]", "JSON is not one JSON object"},
		{"not UTF-8", "\r\n\r\n" + goodProtocol + ",\"a\":\"\xff\"}", "JSON is not one JSON object"},
		{"data twice", "\r\n\r\n" + goodProtocol + `,"data":{},"data":{}}`, "two members of the same name"},
		{"no protocol", "\r\n\r\n{}", "member protocol: is missing"},
		{"protocol as a text", "\r\n\r\n" + `{"protocol":"x"}`, "member protocol: is not one JSON object"},
		{"a member twice", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"A","x-cmd":"B"}}`, "two members of the same name"},
		{"no x-type", "\r\n\r\n" + `{"protocol":{"x-cmd":"CONSUME"}}`, "member x-type: is missing"},
		{"x-type null", "\r\n\r\n" + `{"protocol":{"x-type":null,"x-cmd":"CONSUME"}}`, "member x-type: is missing"},
		{"another x-type", "\r\n\r\n" + `{"protocol":{"x-type":"event","x-cmd":"CONSUME"}}`, `is not "message"`},
		{"no x-cmd", "\r\n\r\n" + `{"protocol":{"x-type":"message"}}`, "member x-cmd: is missing"},
		{"a number for a text", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-timestamp":1541150001000}}`, "member x-timestamp: is not a JSON string, though"},
		{"a truth value for a text", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-status":true}}`, "member x-status: is not a JSON string"},
		{"an object for a text", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-msgId":{}}}`, "member x-msgId: is not a JSON string"},
		{"half of a surrogate pair", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-msgId":"\ud800"}}`, "member x-msgId"},
		{"a control character", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-msgId":"a\nb"}}`, "member x-msgId: holds control"},
		{"a long member", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"` + long + `"}}`, "member x-cmd: is longer"},
		{"data as a text", "\r\n\r\n" + goodProtocol + `,"data":"{}"}`, "member data: is not a JSON object"},
		{"data as an array", "\r\n\r\n" + goodProtocol + `,"data":[]}`, "member data: is not a JSON object"},
		{"data null", "\r\n\r\n" + goodProtocol + `,"data":null}`, "member data: is not a JSON object"},
		{"a giant", "\r\n\r\n" + goodProtocol + `,"data":{"a":"` + strings.Repeat("x", MaxFrame) + `"}}`, "is longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFrame([]byte(c.text))
			refusedFor(t, err, dialect.ReasonMalformed, c.want)
			if !sameFrame(f, Frame{}) {
				t.Errorf("a part of it is returned: %+v", f)
			}
		})
	}
}

func TestFramesThatAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       Frame
	}{
		{"an unknown command", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"DANCE"}}`, Frame{Cmd: "DANCE"}},
		{"a value with colons is cut", "from-sys-ip:fe80::1\r\nfrom-sys:a\r\n\r\n" + goodProtocol + "}", Frame{FromSys: "a", FromSysIP: "fe80", Cmd: CmdConsume}},
		{"unknown headers and members", "host:\r\nstream-id:s\r\n\r\n" + `{"more":1,"protocol":{"x-type":"message","x-new":7,"x-cmd":"CONSUME"}}`, Frame{StreamID: "s", Cmd: CmdConsume}},
		{"members that are null", "\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-msgId":null}}`, Frame{Cmd: CmdConsume}},
		{"data before protocol, and blanks", "\r\n\r\n" + `{ "data" : {"a" : 1} , "protocol":{"x-type":"message","x-cmd":"CONSUME"}} `, Frame{Cmd: CmdConsume, Data: []byte(`{"a" : 1}`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFrame([]byte(c.text))
			if err != nil || !sameFrame(f, c.want) {
				t.Errorf("got %+v (%v)", f, err)
			}
			if java, err := readFrameAsJava([]byte(c.text)); err != nil || !sameFrame(java, c.want) {
				t.Errorf("the Java client reads %+v (%v)", java, err)
			}
		})
	}
	t.Run("a frame of the greatest size", func(t *testing.T) {
		t.Parallel()
		text := "\r\n\r\n" + goodProtocol + `,"data":{"a":"`
		text += strings.Repeat("x", MaxFrame-len(text)-3) + `"}}`
		if _, err := ParseFrame([]byte(text)); err != nil || len(text) != MaxFrame {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	})
}

func TestFramesThatAreNotWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		frame Frame
		want  string
	}{
		{"a header with a colon", Frame{Cmd: CmdConsume, FromSysIP: "fe80::1"}, "header from-sys-ip"},
		{"a header with a line end", Frame{Cmd: CmdConsume, StreamID: "a\r\nb"}, "header stream-id"},
		{"long headers", Frame{Cmd: CmdConsume, StreamID: strings.Repeat("x", maxHeader)}, "headers of more than"},
		{"a quote", Frame{Cmd: CmdProduceAck, Error: `said "no"`}, "member x-error"},
		{"a backslash", Frame{Cmd: CmdProduceAck, Error: `a\b`}, "member x-error"},
		{"a control character", Frame{Cmd: CmdProduceAck, MsgID: "a\x00"}, "member x-msgId"},
		{"not UTF-8", Frame{Cmd: CmdProduceAck, Code: "\xff"}, "member x-code"},
		{"a long member", Frame{Cmd: CmdConsume, MsgID: strings.Repeat("x", maxProtocol+1)}, "member x-msgId: is longer"},
		{"no command", Frame{MsgID: "m"}, "member x-cmd: is missing"},
		{"data that is no object", Frame{Cmd: CmdConsume, Data: []byte(`"{}"`)}, "member data"},
		{"data with something behind it", Frame{Cmd: CmdConsume, Data: []byte(`{}{}`)}, "member data"},
		{"data with blanks around it", Frame{Cmd: CmdConsume, Data: []byte(` {}`)}, "member data"},
		{"a giant", Frame{Cmd: CmdConsume, Data: []byte(`{"a":"` + strings.Repeat("x", MaxFrame) + `"}`)}, "is longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := c.frame.Append([]byte("before"))
			refusedFor(t, err, dialect.ReasonMalformed, c.want)
			if string(out) != "before" {
				t.Errorf("a part of it is written: %.60q", out)
			}
		})
	}
}

// A reason of ours can hold anything; what the Java writer has no escape for is put right, and the rest kept.
func TestAReasonCanAlwaysBeWritten(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		`no "data":{`:                    "no 'data':/",
		"a\\b\r\nc\u0085":                "a/b  c ",
		"签名无效":                           "签名无效",
		"\xff":                           "?",
		strings.Repeat("é", maxProtocol): strings.Repeat("é", maxProtocol/2),
	} {
		f := Frame{StreamID: "s"}.ProduceFail("40002", reason)
		if f.Error != want {
			t.Errorf("%.40q becomes %.40q", reason, f.Error)
		}
		if _, err := f.Append(nil); err != nil {
			t.Error(err)
		}
	}
}

func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	t.Run("the client's own stream-id is used only where there is none", func(t *testing.T) {
		t.Parallel()
		if got := (Frame{StreamID: "s"}).Ack(StatusFail, "c").StreamID; got != "s" {
			t.Errorf("got %s", got)
		}
		if got := (Frame{}).Ack(StatusFail, "c").StreamID; got != "c" {
			t.Errorf("got %s", got)
		}
	})
	for status, kind := range map[string]dialect.Kind{
		StatusSuccess: dialect.Accepted, StatusFail: dialect.Retry, "": dialect.Retry, "success": dialect.Retry, "OK": dialect.Retry,
	} {
		if v := JudgeAck(status); v.Kind != kind || v.Reason == "" {
			t.Errorf("%q is judged %+v", status, v)
		}
	}
	t.Run("a time that is none", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"", "soon", "-1", "0", "99999999999999999"} {
			if at := (Frame{Timestamp: text}).Time(); !at.IsZero() {
				t.Errorf("%q is %s", text, at)
			}
		}
	})
}

func TestSignaturesOfFramesThatAreRefused(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	platform, app := longconnSides(t, false)
	good, err := ParseFrame(readLongconn(t).frame(t, "consume-1"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(with func(*Frame)) Frame { f := good; with(&f); return f }
	for _, c := range []struct {
		name     string
		settings dialect.Settings
		frame    Frame
		reason   dialect.Reason
		want     string
	}{
		{"no signature", app, change(func(f *Frame) { f.Sign = "" }), dialect.ReasonSignature, "must all be there"},
		{"no charset", app, change(func(f *Frame) { f.Charset = "" }), dialect.ReasonSignature, "must all be there"},
		{"no algorithm", app, change(func(f *Frame) { f.SignType = "" }), dialect.ReasonSignature, "must all be there"},
		{"another charset", app, change(func(f *Frame) { f.Charset = "GBK" }), dialect.ReasonMalformed, "not UTF-8"},
		{"an unknown algorithm", app, change(func(f *Frame) { f.SignType = "MD5" }), dialect.ReasonSignature, "none of RSA2"},
		{"another algorithm than was set", app.With(fSignType, RSA), good, dialect.ReasonSignature, "not the algorithm"},
		{"no base64", app, change(func(f *Frame) { f.Sign = "?" + f.Sign[1:] }), dialect.ReasonSignature, "member x-sign: the signature is not base64"},
		{"another key", app.With(fAlipayPublicKey, keys.Other.PublicSPKI), good, dialect.ReasonSignature, "member x-sign: no key in alipay_public_key"},
		{"no key", app.With(fAlipayPublicKey), good, dialect.ReasonSettings, "alipay_public_key"},
		{"other data", app, change(func(f *Frame) { f.Data = bytes.Replace(f.Data, []byte("0"), []byte("1"), 1) }), dialect.ReasonSignature, "x-sign"},
		{"data spelt otherwise", app, change(func(f *Frame) { f.Data = bytes.Replace(f.Data, []byte(":"), []byte(": "), 1) }), dialect.ReasonSignature, "x-sign"},
		{"no data", app, change(func(f *Frame) { f.Data = nil }), dialect.ReasonMalformed, "member data: is missing"},
		{"an acknowledgement", app, Frame{Cmd: CmdConsumeAck}, dialect.ReasonMalformed, "not a command that is signed"},
		{"the platform's message as the application's", platform, change(func(f *Frame) { f.Cmd = CmdProduce }), dialect.ReasonSignature, "app_public_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := VerifyFrame(c.settings, c.frame)
			refusedFor(t, err, c.reason, c.want)
			if c.frame.Cmd == CmdConsume {
				_, err = ReceiveFrame(c.settings, c.frame)
				refusedFor(t, err, c.reason, c.want)
			}
		})
	}
	t.Run("the second of two live keys", func(t *testing.T) {
		t.Parallel()
		key, err := VerifyFrame(app.With(fAlipayPublicKey, keys.Other.PublicSPKI, keys.Alipay.PublicSPKI), good)
		if err != nil || key != 1 {
			t.Errorf("key %d (%v)", key, err)
		}
	})
	t.Run("what cannot be signed", func(t *testing.T) {
		t.Parallel()
		_, err := SignFrame(app, good)
		refusedFor(t, err, dialect.ReasonSettings, fPlatformKey)
		_, err = SignFrame(platform.With(fSignType, SM2), good)
		refusedFor(t, err, dialect.ReasonSettings, fPlatformKey)
		_, err = SignFrame(platform, Frame{Cmd: CmdConsume, Data: []byte("[]")})
		refusedFor(t, err, dialect.ReasonMalformed, "nothing to sign")
		_, err = SignFrame(platform, Frame{Cmd: CmdProduceAck, Data: []byte("{}")})
		refusedFor(t, err, dialect.ReasonMalformed, "not a command that is signed")
	})
	t.Run("what is no CONSUME is not received", func(t *testing.T) {
		t.Parallel()
		_, err := ReceiveFrame(app, Frame{Cmd: CmdProduce})
		refusedFor(t, err, dialect.ReasonMalformed, "not CONSUME")
	})
}

func TestDataThatIsRefused(t *testing.T) {
	t.Parallel()
	header := `{"header":{"appId":"1","msgApi":"a.b"}`
	for _, c := range []struct{ name, text, want string }{
		{"no object", `[]`, "member data: is not one JSON object"},
		{"no header", `{"content":{}}`, "member data.header"},
		{"a header that is no object", `{"header":"a","content":{}}`, "member data.header"},
		{"no application", `{"header":{"msgApi":"a.b"},"content":{}}`, "appId"},
		{"an application as a number", `{"header":{"appId":1,"msgApi":"a.b"},"content":{}}`, "member appId: is not a JSON string"},
		{"an application that is none", `{"header":{"appId":"1 2","msgApi":"a.b"},"content":{}}`, "appId"},
		{"no name", `{"header":{"appId":"1"},"content":{}}`, "msgApi"},
		{"a name with a blank", `{"header":{"appId":"1","msgApi":"a b"},"content":{}}`, "msgApi"},
		{"a long name", `{"header":{"appId":"1","msgApi":"` + strings.Repeat("a", maxEventType+1) + `"},"content":{}}`, "msgApi"},
		{"no content", header + `}`, "content: is missing"},
		{"content as a text", header + `,"content":"{}"}`, "content: is not a JSON object"},
		{"content as an array", header + `,"content":[{}]}`, "content: is not a JSON object"},
		{"content null", header + `,"content":null}`, "content: is not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadData([]byte(c.text))
			refusedFor(t, err, dialect.ReasonMalformed, c.want)
		})
	}
	for _, c := range []struct {
		name   string
		data   Data
		reason dialect.Reason
		want   string
	}{
		{"no application", Data{MsgAPI: "a", Content: []byte("{}")}, dialect.ReasonSettings, fAppID},
		{"no name", Data{AppID: "1", Content: []byte("{}")}, dialect.ReasonMalformed, "event type"},
		{"a name that cannot be sent", Data{AppID: "1", MsgAPI: "订单", Content: []byte("{}")}, dialect.ReasonMalformed, "event type"},
		{"content that is no object", Data{AppID: "1", MsgAPI: "a", Content: []byte(`["a"]`)}, dialect.ReasonMalformed, "payload"},
		{"no content", Data{AppID: "1", MsgAPI: "a"}, dialect.ReasonMalformed, "payload"},
	} {
		t.Run("written: "+c.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.data.Append(nil)
			refusedFor(t, err, c.reason, c.want)
		})
	}
}

// A message that comes over both transports is recognised as one, and its content arrives as it was spelt.
func TestAFrameIsReceivedAsOverHTTP(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, false)
	signed := func(f Frame) Frame {
		f, err := SignFrame(platform, f)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const content = `{ "b":1.10, "a":"\u4e2d" }`
	data, err := Data{AppID: vectorApp, MsgAPI: "a.b", Content: []byte(content)}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReceiveFrame(app, signed(Consume("openchannel", "10.0.0.1", "s1", "id7", signedAt, data)))
	if err != nil {
		t.Fatal(err)
	}
	req, err := sign(platform, dialect.Outbound{EventType: "a.b", Payload: []byte(content), Now: signedAt, Platform: map[string]string{pNotifyID: "id7"}})
	if err != nil {
		t.Fatal(err)
	}
	http, err := receive(app, inbound(string(req.Body)))
	if err != nil {
		t.Fatal(err)
	}
	if got.EventType != http.EventType || got.EventID != http.EventID || got.Account != http.Account || got.DedupKey != http.DedupKey ||
		!bytes.Equal(got.Payload, http.Payload) || !got.Time.Equal(http.Time) || got.Unreadable != "" {
		t.Errorf("got %+v, over HTTP %+v", got, http)
	}
	for _, name := range []string{pAppID, pNotifyID, pUTCTimestamp, pSignType, pCharset} {
		if got.Platform[name] != http.Platform[name] {
			t.Errorf("%s is %q, over HTTP %q", name, got.Platform[name], http.Platform[name])
		}
	}
	t.Run("what cannot be read behind a right signature is kept", func(t *testing.T) {
		t.Parallel()
		raw := []byte(`{"header":{"appId":"` + vectorApp + `","msgApi":"a.b"},"content":"text"}`)
		got, err := ReceiveFrame(app, signed(Consume("", "", "", "id8", signedAt, raw)))
		if err != nil || !strings.Contains(got.Unreadable, "content") || !bytes.Equal(got.Payload, raw) || got.EventType != "" ||
			got.Account != vectorApp || got.DedupKey != DedupKey(vectorApp, "id8") {
			t.Errorf("got %+v (%v)", got, err)
		}
	})
	t.Run("a message without a usable id is recognised by its data", func(t *testing.T) {
		t.Parallel()
		for _, id := range []string{"", "a b", strings.Repeat("x", maxNotifyID+1)} {
			got, err := ReceiveFrame(app, signed(Consume("", "", "s", id, signedAt, data)))
			if err != nil || got.EventID != "" || got.DedupKey != textKey(vectorApp, data) {
				t.Errorf("%.20q: %+v (%v)", id, got, err)
			}
		}
	})
	t.Run("a message for another application", func(t *testing.T) {
		t.Parallel()
		_, err := ReceiveFrame(app.With(fAppID, "other"), signed(Consume("", "", "s", "id", signedAt, data)))
		refusedFor(t, err, dialect.ReasonSettings, fAppID)
	})
}

func TestQueriesThatAreRefused(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, true)
	register, err := RegisterQuery(app, signedAt, [16]byte{1}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, raw, want string }{
		{"nothing", "", "empty"},
		{"no pairs", "a&b", "not name=value"},
		{"half an escape", register + "&a=%2", "percent sign"},
		{"a repeated name", register + "&app_id=1", "twice"},
		{"too long", register + "&a=" + strings.Repeat("x", MaxQuery), "longer than"},
		{"an ampersand in a value", register + "&a=1%262", "several queries"},
		{"an equals sign in a name", register + "&a%3Db=1", "several queries"},
		{"no application", strings.Replace(register, "app_id=", "app=", 1), "app_id"},
		{"no application's id", strings.Replace(register, "app_id=", "app_id=%20", 1), "app_id"},
		{"another charset", strings.Replace(register, "charset=UTF-8", "charset=GBK", 1), "not UTF-8"},
		{"a date for the time", strings.Replace(register, "timestamp=", "timestamp=2018-", 1), "timestamp"},
		{"a control character", strings.Replace(register, "nonce=", "nonce=%0A", 1), "parameter nonce: holds control"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadQuery(c.raw)
			refusedFor(t, err, dialect.ReasonMalformed, c.want)
		})
	}
	q, err := ReadQuery(register)
	if err != nil {
		t.Fatal(err)
	}
	change := func(with func(*Query)) Query { out := q; with(&out); return out }
	keys := readKeys(t)
	for _, c := range []struct {
		name     string
		settings dialect.Settings
		query    Query
		now      time.Time
		reason   dialect.Reason
		want     string
	}{
		{"another application", platform.With(fAppID, "1"), q, signedAt, dialect.ReasonSettings, "not the application"},
		{"no algorithm", platform, change(func(q *Query) { q.SignType = "" }), signedAt, dialect.ReasonSignature, "sign_type"},
		{"another algorithm than was set", platform.With(fSignType, SM2), q, signedAt, dialect.ReasonSignature, "not the algorithm"},
		{"no signature", platform, change(func(q *Query) { q.sign = "" }), signedAt, dialect.ReasonSignature, "empty"},
		{"another text", platform, change(func(q *Query) { q.signed = []byte("a=1") }), signedAt, dialect.ReasonSignature, "no key in app_public_key"},
		{"another key", platform.With(fAppPublicKey, keys.Other.PublicSPKI), q, signedAt, dialect.ReasonSignature, "no key in app_public_key"},
		{"no key to judge by", platform.With(fAppPublicKey), q, signedAt, dialect.ReasonSettings, "setting app_public_key: is not set"},
		{"another certificate", platform, change(func(q *Query) { q.AppCertSN = strings.Repeat("0", 32) }), signedAt, dialect.ReasonSignature, "app_cert_sn"},
		{"a clock that is behind", platform, q, signedAt.Add(MaxSkew + time.Second), dialect.ReasonReplay, "clock"},
		{"a clock that is ahead", platform, q, signedAt.Add(-MaxSkew - time.Second), dialect.ReasonReplay, "clock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			refusedFor(t, VerifyRegister(c.settings, c.query, c.now), c.reason, c.want)
		})
	}
	t.Run("a clock that is just right enough", func(t *testing.T) {
		t.Parallel()
		if err := VerifyRegister(platform, q, signedAt.Add(MaxSkew)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a key instead of the certificate", func(t *testing.T) {
		t.Parallel()
		if err := VerifyRegister(platform.With(fAppPublicKey, keys.App.PublicSPKI), q, signedAt); err != nil {
			t.Error(err)
		}
	})
	t.Run("a register query is no upgrade", func(t *testing.T) {
		t.Parallel()
		refusedFor(t, VerifyUpgrade(platform, q, signedAt), dialect.ReasonMalformed, "link_token")
	})
	for name, s := range map[string]dialect.Settings{fAppID: app.With(fAppID), fAppPrivateKey: app.With(fAppPrivateKey), fRootCert: app.With(fRootCert)} {
		t.Run("the client without "+name, func(t *testing.T) {
			t.Parallel()
			_, err := RegisterQuery(s, signedAt, [16]byte{}, "")
			refusedFor(t, err, dialect.ReasonSettings, name)
			_, err = UpgradeQuery(s, "t", signedAt, "")
			refusedFor(t, err, dialect.ReasonSettings, name)
		})
	}
}

func TestRegisterAnswersThatAreRefused(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, true)
	keys := readKeys(t)
	good, err := RegisterAnswer(platform, Query{SignType: RSA2, AppCertSN: "x"}, "LT")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(response string) string {
		sign, err := mustPrivate(t, keys.Alipay.PrivatePKCS8).Sign(RSA2, []byte(response))
		if err != nil {
			t.Fatal(err)
		}
		return `{"response":` + response + `,"sign":"` + sign + `"}`
	}
	change := func(old, with string) string {
		out := strings.Replace(string(good), old, with, 1)
		if out == string(good) {
			t.Fatalf("there is no %s", old)
		}
		return out
	}
	for _, c := range []struct {
		name, body string
		reason     dialect.Reason
		want       string
	}{
		{"nothing", "", dialect.ReasonMalformed, "not one JSON object"},
		{"a page", "<html>", dialect.ReasonMalformed, "not one JSON object"},
		{"an endless one", strings.Repeat(" ", MaxRegisterAnswer) + "{}", dialect.ReasonMalformed, "longer than"},
		{"no response", "{}", dialect.ReasonMalformed, "member response"},
		{"a response that is no object", `{"response":"x"}`, dialect.ReasonMalformed, "member response"},
		{"two responses", `{"response":{},"response":{}}`, dialect.ReasonMalformed, "two members"},
		{"no code", answer(`{"link_token":"LT"}`), dialect.ReasonMalformed, "no code"},
		{"a code as a number", answer(`{"code":10000,"link_token":"LT"}`), dialect.ReasonMalformed, "member code: is not a JSON string"},
		{"no link token", answer(`{"code":"10000"}`), dialect.ReasonMalformed, "no link_token"},
		{"no signature", `{"response":{"code":"10000","link_token":"LT"}}`, dialect.ReasonSignature, "not signed"},
		{"another token", change(`"LT"`, `"LX"`), dialect.ReasonSignature, "no key in alipay_public_key"},
		{"another spelling", change(`{"code"`, `{ "code"`), dialect.ReasonSignature, "no key in alipay_public_key"},
		{"no base64", change(`"sign":"`, `"sign":"?`), dialect.ReasonSignature, "base64"},
		{"another certificate", change(readCertificates(t)["alipay-cert"].SN, "00"), dialect.ReasonSignature, "alipay_cert_sn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadRegisterAnswer(app, []byte(c.body))
			refusedFor(t, err, c.reason, c.want)
		})
	}
	t.Run("the platform's words are passed on with what to do", func(t *testing.T) {
		t.Parallel()
		for sub, want := range map[string]string{
			"isv.invalid-app-id": fAppID, "isv.invalid-signature": fAppPrivateKey, "isv.invalid-timestamp": "clock", "isv.other": "isv.other",
		} {
			_, err := ReadRegisterAnswer(app, RegisterRefusal("40002", "Invalid Arguments", sub, "said \"no\"\n"))
			var refused *RegisterRefused
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "said 'no'") {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("a client in key mode does not mind the serial", func(t *testing.T) {
		t.Parallel()
		_, keyMode := longconnSides(t, false)
		if token, err := ReadRegisterAnswer(keyMode, good); err != nil || token != "LT" {
			t.Errorf("got %q (%v)", token, err)
		}
	})
	t.Run("answers that cannot be made", func(t *testing.T) {
		t.Parallel()
		for _, token := range []string{"", `a"b`, "a}b", "a b", strings.Repeat("x", 257)} {
			_, err := RegisterAnswer(platform, Query{SignType: RSA2}, token)
			refusedFor(t, err, dialect.ReasonMalformed, "link_token")
		}
		_, err := RegisterAnswer(platform.With(fPlatformCert), Query{SignType: RSA2, AppCertSN: "x"}, "LT")
		refusedFor(t, err, dialect.ReasonSettings, fPlatformCert)
		_, err = RegisterAnswer(platform.With(fPlatformKey), Query{SignType: RSA2}, "LT")
		refusedFor(t, err, dialect.ReasonSettings, fPlatformKey)
		_, err = RegisterAnswer(platform, Query{SignType: SM2}, "LT")
		refusedFor(t, err, dialect.ReasonSettings, fPlatformKey)
	})
}

func TestZones(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"zone=GZ00A; Path=/": "GZ00A", "zone=A": "A", " zone=A ;x": "A", "zone=": "", "session=1; zone=A": "", "zone=a b": "", "zone=a\"": "",
	} {
		for _, name := range []string{"set-cookie", "Set-Cookie", "Set-cookie"} {
			if got := ReadZone(http.Header{"Date": {"zone=X"}, name: {"session=1", line}}); got != want {
				t.Errorf("%s %q: %q, not %q", name, line, got, want)
			}
		}
	}
	if got := ZoneCookie("GZ00A"); got != "zone=GZ00A;" {
		t.Errorf("the cookie is %q", got)
	}
}

func TestCheckHoldsCertificatesAgainstKeys(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, true)
	certs := readCertificates(t)
	for _, c := range []struct {
		name     string
		settings dialect.Settings
		use      dialect.Use
		field    string
		want     string
	}{
		{"a certificate of another key", app.With(fAppCert, certs["alipay-cert"].PEM), dialect.Receiving, fAppCert, "is not the certificate of app_private_key"},
		{"a key for the certificate", app.With(fAppCert, readKeys(t).App.PublicSPKI), dialect.Receiving, fAppCert, "certificate"},
		{"no roots", app.With(fRootCert), dialect.Receiving, fRootCert, "needed beside"},
		{"roots that are none", app.With(fRootCert, "x"), dialect.Receiving, fRootCert, "certificate"},
		{"the platform's certificate of another key", platform.With(fPlatformCert, certs["app-cert"].PEM), dialect.Sending, fPlatformCert, "is not the certificate of platform_private_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			problems := Dialect.Validate(c.settings, c.use, false)
			if len(problems) != 1 || problems[0].Field != c.field || !strings.Contains(problems[0].Text, c.want) {
				t.Errorf("got %v", problems)
			}
		})
	}
}
