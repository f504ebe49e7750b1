package dialecttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// The toy dialect: a JSON body {"type":…,"note":…,"data":{…}} with X-Sig, the hex HMAC-SHA256 of everything but the value
// of note, which is as unsigned as header X-Id. It is right in everything; the tests break one thing at a time.

const toyKey, toyOldKey = "correct horse battery", "staple of earlier days"

func toy() *dialect.Dialect {
	return &dialect.Dialect{
		Name:  "toy",
		Title: dialect.Text{En: "Toy", Zh: "玩具"},
		Fields: []dialect.Field{
			{
				Name: "key", Kind: dialect.KindText, Secret: true, Several: true, Receiving: dialect.Required, Sending: dialect.Required,
				Help: dialect.Text{En: "the key", Zh: "密钥"},
			},
			{
				Name: "mode", Kind: dialect.KindChoice, Choices: []string{"strict"}, Receiving: dialect.Optional,
				Help: dialect.Text{En: "the mode", Zh: "模式"},
			},
		},
		Check:            toyCheck,
		Receive:          toyReceive,
		Reply:            toyReply,
		Sign:             toySign,
		Judge:            toyJudge,
		Handshake:        toyHandshake,
		Policy:           toyPolicy,
		SignatureHeaders: []string{"x-sig"},
		Examples: []dialect.Example{{
			EventType: "made", Title: dialect.Text{En: "made", Zh: "已创建"}, Payload: []byte(`{"a":1}`),
		}},
	}
}

type toyBody struct {
	Type string          `json:"type"`
	Note string          `json:"note"`
	Data json.RawMessage `json:"data"`
}

func toyCheck(s dialect.Settings, _ dialect.Use) error {
	for _, k := range s.All("key") {
		if strings.TrimSpace(k) != k || strings.Contains(k, "\u200b") {
			return dialect.Problem{Field: "key", Text: "has a blank at an end"}
		}
	}
	return nil
}

func toyMAC(key string, body []byte, note string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(strings.Replace(string(body), `"note":"`+note+`"`, "", 1)))
	return hex.EncodeToString(m.Sum(nil))
}

func toyReceive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	if string(in.Body) == "ping" {
		return dialect.Received{Reply: &dialect.Reply{Status: 200, Body: []byte("pong")}}, nil
	}
	var b toyBody
	if err := json.Unmarshal(in.Body, &b); err != nil {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "is not JSON")
	}
	keys := s.All("key")
	if len(keys) == 0 {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSettings, "setting key", "is empty")
	}
	for i, key := range keys {
		if hmac.Equal([]byte(in.Header.Get("X-Sig")), []byte(toyMAC(key, in.Body, b.Note))) {
			return dialect.Received{
				EventType: b.Type, EventID: in.Header.Get("X-Id"), Payload: b.Data, Key: i,
				Platform: map[string]string{"note": b.Note}, DedupKey: toyMAC("", b.Data, "-"),
			}, nil
		}
	}
	return dialect.Received{}, dialect.Refuse(dialect.ReasonSignature, "header X-Sig", "does not match")
}

func toyReply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	return dialect.Reply{Status: o.Result.DefaultStatus(), Body: []byte("ok")}
}

func toySign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	if s.Get("key") == "" {
		return dialect.Request{}, dialect.Refuse(dialect.ReasonSettings, "setting key", "is empty")
	}
	body := fmt.Appendf(nil, `{"type":%q,"note":%q,"data":%s}`, o.EventType, o.Platform["note"], o.Payload)
	h := http.Header{"x-sig": {toyMAC(s.Get("key"), body, o.Platform["note"])}}
	return dialect.Request{Method: "POST", Header: h, Body: body}, nil
}

func toyJudge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	return dialect.JudgeStatus(r, func(status int) bool { return status == 200 })
}

func toyHandshake(s dialect.Settings, _ dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	r, err := toySign(s, dialect.Outbound{EventType: "ping", Payload: []byte("{}")})
	return r, func(r dialect.Response) dialect.Verdict { return toyJudge(s, r) }, err
}

func toyPolicy(dialect.Settings) dialect.Policy {
	return dialect.Policy{Deadline: time.Second, Schedule: []time.Duration{time.Minute}, DedupFor: time.Hour}
}

const toyText = `{"type":"made","note":"unsigned words","data":{"a":1}}`

func toySettings(keys ...string) map[string][]string { return map[string][]string{"key": keys} }

// toyFile has a vector of every sort, all of them right.
func toyFile() File {
	request := func(key string) *Request {
		return &Request{Body: toyText, Header: map[string]string{"x-sig": toyMAC(key, []byte(toyText), "unsigned words"), "x-id": "17"}}
	}
	want := Want{EventType: "made", EventID: "17", Payload: `{"a":1}`, Platform: map[string]string{"note": "unsigned words"}}
	rotated := want
	rotated.Key = 1
	holes := []Unsigned{{"body", "unsigned words"}, {"header", "X-Id"}}
	message := &Message{ID: "msg_1", EventType: "made", Payload: `{"a":1}`}
	signed := `{"type":"made","note":"","data":{"a":1}}`
	return File{Dialect: "toy", Vectors: []Vector{
		{Name: "good", Origin: "o", Do: "receive", Settings: toySettings(toyKey), Request: request(toyKey), Want: &want, Unsigned: holes,
			Reply: &Reply{Status: 200, Body: "ok"}},
		{Name: "rotated", Origin: "o", Do: "receive", Settings: toySettings(toyKey, toyOldKey), Request: request(toyOldKey), Want: &rotated, Unsigned: holes},
		{Name: "forged", Origin: "o", Do: "receive", Settings: toySettings(toyKey), Request: request(toyOldKey), Refuse: "signature"},
		{Name: "ping", Origin: "o", Do: "receive", Settings: toySettings(toyKey), Request: &Request{Body: "ping"}, Reply: &Reply{Status: 200, Body: "pong"}},
		{Name: "signed", Origin: "o", Do: "sign", Settings: toySettings(toyKey), Message: message, Request: &Request{
			Body: signed, Header: map[string]string{"x-sig": toyMAC(toyKey, []byte(signed), "")},
		}},
		{Name: "returned", Origin: "o", Do: "sign", Settings: toySettings(toyKey), Message: message, RoundTrip: toySettings(toyOldKey, toyKey)},
		{Name: "unsignable", Origin: "o", Do: "sign", Settings: map[string][]string{}, Message: message, Refuse: "settings"},
		{Name: "reply", Origin: "o", Do: "reply", Result: "forged", Reply: &Reply{Status: 401, Body: "ok"}},
		{Name: "reply to a message", Origin: "o", Do: "reply", Result: "stored", Settings: toySettings(toyKey), Request: request(toyKey), Reply: &Reply{Status: 200, Body: "ok"}},
		{Name: "judge", Origin: "o", Do: "judge", Response: &Response{Status: 503}, Verdict: "retry"},
	}}
}
