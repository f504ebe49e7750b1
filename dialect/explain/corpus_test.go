package explain_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/dialect/dialecttest"
	"github.com/waypost/waypost/dialect/explain"
)

const (
	secret  = "0123456789abcdef0123456789abcdef"
	another = "fedcba9876543210fedcba9876543210"
	whsec   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func mac(h func() hash.Hash, key, text string) []byte {
	m := hmac.New(h, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func sum(h hash.Hash, text string) []byte {
	h.Write([]byte(text))
	return h.Sum(nil)
}

// The requests that the corpus starts from: vectors, and bodies that are signed here by the standard library.
const (
	business = `{"orderId":"800001","buyer":"张三 <zs@example.com>","note":"a/b + c & d","amount":12.50,"items":[{"sku":"x1","n":2},{"sku":"x2","n":1}],"url":"https://example.com/a?b=1"}`
	pretty   = "{\n  \"event\": \"order_notify\",\n  \"client_key\": \"aw1\",\n  \"content\": \"{}\"\n}"
	webhook  = `{"type":"order.paid","timestamp":"2026-01-01T00:00:00Z","data":{"buyer":"张三","note":"a/b <c> & d","amount":12.50,"big":9007199254740993,"z":1,"a":2}}`
)

func douyinPush(body string) request {
	return request{dialect.Set("client_secret", secret), dialect.Inbound{
		Method: "POST", Now: now, Body: []byte(body), Header: canonicalHeader(map[string]string{
			"Content-Type": "application/json", "Msg-Id": "7300000000000000001",
			"X-Douyin-Signature": hex.EncodeToString(sum(sha1.New(), secret+body))}),
	}}
}

func douyinBody(content string) string {
	return `{"event":"order_notify","client_key":"aw1","from_user_id":"u-1","content":` + string(dialect.Quote(content)) + `,"log_id":"20260101000000ABCDEF"}`
}

func pandaponPush(inner string) request {
	body := `{"messageType":"ORDER_CREATE","messageBody":` + string(dialect.Quote(inner)) + `,"messagePlatform":"1","timestamp":"1760000000000"}`
	return request{dialect.Set("access_secret", secret), dialect.Inbound{
		Method: "POST", Now: now, Body: []byte(body), Header: canonicalHeader(map[string]string{
			"Content-Type": "application/json", "Authorization": hex.EncodeToString(mac(sha256.New, secret, inner))}),
	}}
}

func webhooks(body string) request {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(whsec, "whsec_"))
	return request{dialect.Set("secret", whsec), dialect.Inbound{
		Method: "POST", Now: now, Body: []byte(body), Header: canonicalHeader(map[string]string{
			"Content-Type": "application/json", "Webhook-Id": "msg_1", "Webhook-Timestamp": "1767225600",
			"Webhook-Signature": "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, string(key), "msg_1.1767225600."+body))}),
	}}
}

// bases are the right requests by name; what is none of them is a vector.
func base(t *testing.T, d, name string) request {
	t.Helper()
	switch d + " " + name {
	case "douyin business":
		return douyinPush(douyinBody(business))
	case "douyin pretty":
		return douyinPush(pretty)
	case "douyin escaped":
		return douyinPush(asciiOnly(douyinBody(business)))
	case "douyin upper":
		return douyinPush(upperEscapes(douyinBody(business)))
	case "douyin php":
		return douyinPush(phpSlashes(asciiOnly(douyinBody(business))))
	case "douyin go":
		return douyinPush(goHTML(douyinBody(business)))
	case "pandapon business":
		return pandaponPush(business)
	case "pandapon spaced":
		return pandaponPush(likePython(false)(t, business))
	case "pandapon escaped":
		return pandaponPush(asciiOnly(business))
	case "pandapon newline":
		return pandaponPush(business + "\n")
	case "standard webhook":
		return webhooks(webhook)
	case "standard spaced":
		return webhooks(likePython(false)(t, webhook))
	case "standard python":
		return webhooks(likePython(true)(t, webhook))
	case "standard pretty":
		return webhooks(indented("  ")(t, webhook))
	case "standard newline":
		return webhooks(webhook + "\n")
	case "standard float":
		return webhooks(`{"type":"order.paid","data":{"price":12.0,"tax":1.0}}`)
	}
	return vector(t, d, name)
}

func vectors(t *testing.T, d string) []dialecttest.Vector {
	t.Helper()
	b, err := os.ReadFile("../" + d + "/vectors.json")
	must(t, err)
	var f dialecttest.File
	must(t, json.Unmarshal(b, &f))
	return f.Vectors
}

func vector(t *testing.T, d, name string) request {
	t.Helper()
	for _, v := range vectors(t, d) {
		if v.Name == name {
			return fromVector(t, v)
		}
	}
	t.Fatalf("there is no vector %q of %s", name, d)
	return request{}
}

func fromVector(t *testing.T, v dialecttest.Vector) request {
	t.Helper()
	r := request{v.Settings, dialect.Inbound{Method: v.Request.Method, Query: v.Request.Query, Body: []byte(v.Request.Body), Now: now}}
	if r.in.Method == "" {
		r.in.Method = "POST"
	}
	if v.Request.BodyB64 != "" {
		b, err := base64.StdEncoding.DecodeString(v.Request.BodyB64)
		must(t, err)
		r.in.Body = b
	}
	if v.Now != "" {
		at, err := time.Parse(time.RFC3339, v.Now)
		must(t, err)
		r.in.Now = at
	}
	r.in.Header = canonicalHeader(v.Request.Header)
	return r
}

// A row of the corpus: a right request, what happens to it, and the causes that must be named. Causes joined by + are
// both needed. Where | stands between, the accidents leave the very same bytes, so that any of them is right.
type row struct {
	dialect, base, name string
	happens             accident
	want                string
}

const (
	dySig   = "X-Douyin-Signature"
	ppSig   = "Authorization"
	stdSig  = "Webhook-Signature"
	yzmSig  = "X-Signature"
	yzmBase = "p256/body_le64ts_le64nonce/chinese"
	yzmJSON = "p256/body_le64ts_le64nonce/json_in_json"
	yzmBody = "p256/body_le64ts_le64nonce/freight_recharge_basic"
)

func resign(header string, sign func(body string) string) accident {
	return func(t *testing.T, r *request) {
		onHeader(header, func(*testing.T, string) string { return sign(string(r.in.Body)) })(t, r)
	}
}

var corpus = slices.Concat(douyinCorpus, pandaponCorpus, standardCorpus, alipayCorpus, yunzhimengCorpus, otherCorpus, restCorpus)

// TestCorpus wants every broken request of the corpus diagnosed rightly: the cause named for certain, or hinted at where
// it cannot be proved, and nothing else called certain.
func TestCorpus(t *testing.T) {
	t.Parallel()
	table := all.Table()
	right, count := 0, 0
	for _, c := range corpus {
		r := base(t, c.dialect, c.base)
		name := c.dialect + ": " + c.base + ": " + c.name
		if c.happens != nil {
			c.happens(t, &r)
		}
		if _, err := table[c.dialect].Receive(r.settings, r.in); err == nil {
			t.Errorf("%s: what happened broke nothing", name)
			continue
		}
		count++
		got := explain.Request(table[c.dialect], r.settings, r.in, explain.Limits{})
		codes := certain(got)
		if means(c.want, codes) || hinted(c.want, got) {
			right++
			continue
		}
		if len(codes) > 0 {
			t.Errorf("%s: said to be %v for certain, want %s", name, codes, c.want)
		} else {
			t.Errorf("%s: not known, want %s (%d tries, whole %v): %s", name, c.want, got.Tried, got.Whole, got.Refused)
		}
	}
	t.Logf("%d of %d diagnosed rightly", right, count)
	if count < 120 {
		t.Errorf("only %d broken requests", count)
	}
}

// means compares codes without regard to their order.
func means(want string, codes []string) bool {
	codes = slices.Sorted(slices.Values(codes))
	return slices.ContainsFunc(strings.Split(want, "|"), func(one string) bool {
		return slices.Equal(slices.Sorted(slices.Values(strings.Split(one, "+"))), codes)
	})
}

// hinted is for what cannot be undone, and so not be proved: then a hint must name it, and nothing may be certain.
func hinted(want string, e explain.Explanation) bool {
	code, isHint := strings.CutPrefix(want, "?")
	return isHint && !e.Proved() && slices.ContainsFunc(e.Findings, func(f explain.Finding) bool { return f.Code == code })
}

func certain(e explain.Explanation) (codes []string) {
	for _, f := range e.Findings {
		if f.Sure == explain.Certain {
			codes = append(codes, f.Code)
		}
	}
	return codes
}
