package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func idlePacker() *packer { return newPacker(nil) }

// back packs a message and reads it again.
func back(t *testing.T, p *packer, m *hook.Message) (packed []byte) {
	t.Helper()
	packed, size := p.pack(m)
	head, body, payload, err := p.unpack(packed)
	if err != nil {
		t.Fatalf("%q cannot be read: %v", packed, err)
	}
	if !bytes.Equal(payload, m.Payload) || payload == nil {
		t.Fatalf("the payload came back as %q, not %q", payload, m.Payload)
	}
	if m.Raw == nil {
		if head != nil || body != nil {
			t.Fatal("a published message has a request")
		}
		return packed
	}
	u := unpacker{b: head}
	if u.text() != m.Raw.Method || u.text() != m.Raw.Query || fmt.Sprint(u.lists()) != fmt.Sprint(map[string][]string(m.Raw.Header)) || u.err != nil {
		t.Fatalf("the head came back as %q", head)
	}
	if !bytes.Equal(body, m.Raw.Body) || body == nil {
		t.Fatalf("the body came back as %q, not %q", body, m.Raw.Body)
	}
	if size < len(m.Raw.Body) {
		t.Fatalf("a body of %d bytes counts as %d", len(m.Raw.Body), size)
	}
	return packed
}

func received(body, payload string) *hook.Message {
	return &hook.Message{Source: 7, Payload: []byte(payload), Raw: &hook.Raw{
		Method: "POST", Query: "a=b", Header: http.Header{"X-A": {"1", "\xff"}, "X-B": nil}, Body: []byte(body),
	}}
}

func TestContentComesBackToTheByte(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 20)
	for name, m := range map[string]*hook.Message{
		"published":                          {App: 1, Payload: []byte(`{"a": 1.00, "b":"\u00e9" }`)},
		"published, empty":                   {App: 1},
		"published, long":                    {App: 1, Payload: []byte(long)},
		"the body":                           received(`{"a":1}`, `{"a":1}`),
		"a part of the body":                 received(`{"content":{"n": 1},"x":"`+long+`"}`, `{"n": 1}`),
		"a text in the body":                 received(`{"a":"\"","content":"{\"n\":\"\\u00e9\\n\\/\u4f60\ud83d\ude00\/\b\f\r\t\"}","x":2}`, "{\"n\":\"\\u00e9\\n\\/你😀/\b\f\r\t\"}"),
		"apart":                              received("biz_content=%7B%22n%22%3A1%7D", `{"n":1}`),
		"an empty body":                      received("", ""),
		"an empty payload":                   received(`{"a":"b"}`, ""),
		"bytes that are no text":             received("\xff\x00\"\xfe\\\"", "\xfe"),
		"a text that never ends":             received(`{"content":"{\"n\":1}`, `{"n":1}`),
		"half of a surrogate pair":           received(`{"content":"\ud83d"}`, "\xed\xa0\xbd"),
		"the wrong half behind one":          received(`{"content":"\ud83d\u0041"}`, "?A"),
		"an escape that there is not":        received(`{"content":"\x41b"}`, "Ab"),
		"an escape that is cut short":        received(`{"content":"a\u00"}`, "a"),
		"a backslash before the closing one": received(`{"a":"\\","content":"\\\\"}`, `\\\`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back(t, idlePacker(), m)
		})
	}
}

func TestAPayloadThatIsATextOfTheBodyIsNotStoredTwice(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"order":"` + strings.Repeat("x\t\"", 100) + `"}`)
	text, err := json.Marshal(string(payload))
	check(t, err)
	m := received(`{"type":"a","body":`+string(text)+`}`, string(payload))
	plain := layOut(nil, m)
	if plain[0] != textOfBody || len(plain) > len(m.Raw.Body)+100 {
		t.Fatalf("%d bytes of kind %d for a body of %d", len(plain), plain[0], len(m.Raw.Body))
	}
	back(t, idlePacker(), m)
}

// A damaged row may claim any length; it is not given the memory for it.
func TestARowThatClaimsToBeHugeIsRefused(t *testing.T) {
	t.Parallel()
	p := idlePacker()
	for _, block := range [][]byte{{packedAlone, 0xff, 0xff, 0xff, 0xff, 0x0f}, {packedAlone, 0x81, 0x80, 0x80, 0x80, 0x01, 0}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, _, err := p.unpack(block)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errContent) || sane(block[1:]) {
			t.Errorf("%x: %v", block, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > maxPlain {
			t.Errorf("%x: %d bytes were allocated", block, grown)
		}
	}
}

// Whatever is read off a damaged disk is an error or a content, never a panic.
func FuzzContent(f *testing.F) {
	p := idlePacker()
	for _, m := range []*hook.Message{received(`{"c":"{\"n\":1}"}`, `{"n":1}`), received("a=%7B", "{"), {Payload: []byte("x")}} {
		packed, _ := p.pack(m)
		f.Add(packed)
	}
	f.Add([]byte{packedPlain, textOfBody, 0, 200, 0})
	f.Add([]byte{packedAgainst, 1, 2, 3})
	f.Add([]byte{packedAlone, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, body, payload, err := p.unpack(b); err == nil && payload == nil {
			t.Fatalf("%q reads as %q without a payload", b, body)
		}
	})
}

// FuzzText holds findText to encoding/json: what that decodes, byte for byte, is found.
func FuzzText(f *testing.F) {
	f.Add(`{"n":1}`, `{"a":"`, `"}`)
	f.Add("\u2028\x7f<>&\\\"\n", `"\"":"`, `","`)
	f.Fuzz(func(t *testing.T, payload, before, after string) {
		text, err := json.Marshal(payload)
		if err != nil {
			t.Skip()
		}
		back(t, idlePacker(), received(before+string(text)+after, payload))
	})
}

// orders are messages of a stream: members that all have, and values that each has of its own.
type orders struct{ r *rand.Rand }

func (o orders) next() *hook.Message {
	m := received(fmt.Sprintf(`{"orderNumber":"%016x","buyerNickName":"%x","createdAt":"%d","deliveryAddress":{"street":"%x"},"totalAmount":%d}`,
		o.r.Uint64(), o.r.Uint32(), o.r.Uint32(), o.r.Uint64(), o.r.IntN(1e6)), "")
	m.Payload = m.Raw.Body
	return m
}

func TestAStreamIsCompressedAgainstWhatItsMessagesShare(t *testing.T) {
	t.Parallel()
	kept := make(chan *dictionary, 1)
	p := newPacker(func(ctx context.Context, d *dictionary) error { kept <- d; return nil })
	defer p.close()
	o := orders{rand.New(rand.NewPCG(1, 2))}
	rare := "a-value-that-few-messages-have"
	alone := 0
	for i := range learnFrom + judgeBy {
		m := o.next()
		if i < learnFrom/6 {
			m.Raw.Header.Set("X-Rare", rare)
		}
		alone = len(back(t, p, m))
	}
	d := <-kept
	p.learning.Wait()
	if !bytes.Contains(d.content, []byte("orderNumber")) || !bytes.Contains(d.content, []byte("deliveryAddress")) {
		t.Errorf("the dictionary lacks what all messages have: %q", d.content)
	}
	if bytes.Contains(d.content, []byte("few-messages")) {
		t.Errorf("the dictionary keeps what few messages say: %q", d.content)
	}
	packed := back(t, p, o.next())
	if packed[0] != packedAgainst || len(packed) > alone*3/4 {
		t.Errorf("%d bytes of kind %d with a dictionary, %d without", len(packed), packed[0], alone)
	}
	other := newPacker(nil)
	if _, _, _, err := other.unpack(packed); err == nil {
		t.Error("what was packed against a dictionary is read without it")
	}
	again, err := newDictionary(d.id, d.stream, d.content)
	check(t, err)
	other.add(again)
	if _, _, _, err := other.unpack(packed); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestMessagesWithNothingInCommonHaveNoDictionary(t *testing.T) {
	t.Parallel()
	p := newPacker(func(ctx context.Context, d *dictionary) error {
		t.Errorf("a dictionary was kept: %q", d.content)
		return nil
	})
	defer p.close()
	r := rand.New(rand.NewPCG(3, 4))
	for range 3 * (learnFrom + judgeBy) {
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		back(t, p, &hook.Message{App: 5, Payload: b})
	}
}

// The dictionary is on the disk before anything is packed against it, and it is there after a restart.
func TestDictionariesOutliveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openWith(t, dir, keyOf(t, 1), nil)
	now := time.Now()
	app := hook.Application{ID: 100, CreatedAt: now}
	check(t, db.CreateApplication(t.Context(), app))
	o := orders{rand.New(rand.NewPCG(5, 6))}
	var sent []*hook.Message
	accept := func(n int) {
		for range n {
			m := o.next()
			m.ID, m.App, m.CreatedAt = hook.MessageID(1000+len(sent)), app.ID, now
			out, err := db.Accept(t.Context(), []hook.Accept{{Message: *m}})
			check(t, err)
			check(t, out[0].Err)
			sent = append(sent, m)
		}
	}
	accept(learnFrom + judgeBy)
	db.packs.learning.Wait()
	accept(3)
	for range 2 {
		if n := countRows(t, db, `SELECT count(*) FROM payloads WHERE substr(packed, 1, 1) = x'02'`); n != 3 {
			t.Errorf("%d messages are packed against the dictionary, want 3", n)
		}
		for _, want := range sent {
			m, err := db.Load(t.Context(), want.ID)
			check(t, err)
			if !bytes.Equal(m.Payload, want.Payload) || !bytes.Equal(m.Raw.Body, want.Raw.Body) {
				t.Fatalf("message %d came back as %q", want.ID, m.Payload)
			}
		}
		check(t, db.Close())
		db = openWith(t, dir, keyOf(t, 1), nil)
	}
	accept(1)
	if n := countRows(t, db, `SELECT count(*) FROM payloads WHERE substr(packed, 1, 1) = x'02'`); n != 4 {
		t.Errorf("after a restart %d messages are packed against the dictionary, want 4", n)
	}
}

func countRows(t *testing.T, db *DB, sql string) (n int) {
	t.Helper()
	check(t, db.read(t.Context(), func(c *conn) error {
		text, err := c.one(sql)
		_, _ = fmt.Sscan(text, &n)
		return err
	}))
	return n
}

// A store of before schema 5 has contents in columns of their own, and keys in full.
func TestRowsOfBeforeAreRead(t *testing.T) {
	t.Parallel()
	db := openWith(t, t.TempDir(), keyOf(t, 1), nil)
	now := time.Now()
	check(t, db.CreateApplication(t.Context(), hook.Application{ID: 100, CreatedAt: now}))
	m := received(`{"content":{"n":1}}`, `{"n":1}`)
	m.ID, m.App, m.CreatedAt = 1000, 100, now
	in := hook.Accept{Message: *m, Dedup: hook.Dedup{Scope: "s", Key: "k", Keep: time.Hour}}
	_, err := db.Accept(t.Context(), []hook.Accept{in})
	check(t, err)
	k := newKey(keySame, 100, "s", "k", now.UnixMilli(), time.Hour)
	check(t, db.do(t.Context(), func(t *tx) error {
		t.remembered = nil
		if err := t.query(`DELETE FROM key_news`).exec(); err != nil {
			return err
		}
		err := t.query(`INSERT INTO keys (hash, full, message, expires) VALUES (?, ?, 1000, ?)`).int(k.hash).blob(k.full).int(k.expires).exec()
		if err != nil {
			return err
		}
		return t.query(`UPDATE payloads SET head = ?, body = ?, payload = NULL, at = 11, size = 7, packed = NULL`).
			blob(packHead(nil, m.Raw)).blob(m.Raw.Body).exec()
	}))
	got, err := db.Load(t.Context(), 1000)
	check(t, err)
	if string(got.Payload) != `{"n":1}` || string(got.Raw.Body) != string(m.Raw.Body) || got.Raw.Query != "a=b" {
		t.Errorf("got %+v", got)
	}
	out, err := db.Accept(t.Context(), []hook.Accept{in})
	check(t, err)
	if !out[0].Duplicate || out[0].Message.ID != 1000 {
		t.Errorf("a key in full is not recognised: %+v", out[0])
	}
}
