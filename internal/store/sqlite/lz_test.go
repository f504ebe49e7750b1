package sqlite

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/waypost/waypost/internal/hook"
)

// held checks that the library reads what encode made.
func held(t *testing.T, d *dictionary, src []byte) (size int) {
	t.Helper()
	b := d.table.encode(nil, src)
	if got, err := d.read.Decode(nil, b); err != nil || !bytes.Equal(got, src) {
		t.Fatalf("%q is read as %q, %v", src, got, err)
	}
	if limit := maxEncoded(len(src)); len(b) > limit {
		t.Fatalf("%d bytes of %d, more than there is room for (%d)", len(b), len(src), limit)
	}
	plain := bytes.Clone(src)
	if packed := compress(plain, d); !bytes.Equal(packed[:len(src)], src) || (len(src) <= maxLZ && !bytes.HasSuffix(packed, b)) {
		t.Fatalf("%q is packed as %q, its block is %q", src, packed, b)
	}
	return len(b)
}

func dictionaryOf(t testing.TB, text string) *dictionary {
	t.Helper()
	d, err := newDictionary(1, 1, s2.MakeDict([]byte(text), nil).Bytes())
	check(t, err)
	return d
}

func TestBlocksAreReadByTheLibrary(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz-", 5) + `{"orderNumber":"`
	d := dictionaryOf(t, text)
	r := rand.New(rand.NewPCG(7, 8))
	noise := make([]byte, maxLZ)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, src := range []string{
		"", "a", "abc", "abcd", text, text + text, text[len(text)-20:] + text[:90], strings.Repeat("x", 70), strings.Repeat("xyz ", maxLZ/4),
		`QRSTUVWXYZ#"QRSTUVWXYZ#`, // what comes before the copy is also the end of the dictionary
		string(noise), string(noise[:61]), string(noise[:300]) + text[3:100] + string(noise[:300]), string(noise[:20000]) + string(noise[:12000]),
	} {
		held(t, d, []byte(src))
	}
	long := string(noise[:700])
	d = dictionaryOf(t, long)
	for n := range len(long) { // a copy of every length: from the dictionary, from before, from far before; and with the offset of the last one
		held(t, d, []byte(long[:n]))
		held(t, d, []byte("+"+long[1:max(1, n)]+"#"+long[1:max(1, n)]+"#"))
		held(t, d, []byte(string(noise[1000:1700])+string(noise[2000:5000])+string(noise[1000:1000+n])))
		held(t, d, []byte(long[:20]+"#"+long[21:max(21, n)]))
	}
}

// What one step of the search looks for is missed by another, so all steps are tried: what is found must not make a block longer than there
// is room for.
func TestShortCopiesInNoiseTakeNoMoreRoomThanThereIs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	d := dictionaryOf(t, "a dictionary of sixteen bytes and more")
	for gap := 1; gap < 600; gap += 7 {
		src := make([]byte, 0, maxLZ)
		for range 3000 {
			src = append(src, byte(r.Uint32()))
		}
		for at := 0; len(src)+gap+lzHashed <= maxLZ; at = (at + 11) % 900 {
			src = append(src, src[at:at+lzHashed]...)
			for range gap {
				src = append(src, byte(r.Uint32()))
			}
		}
		held(t, d, src)
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte("a dictionary of sixteen bytes and more"), []byte("sixteen bytes and more of a dictionary of sixteen"))
	f.Fuzz(func(t *testing.T, text, src []byte) {
		made := s2.MakeDict(text[:min(len(text), maxDictionary)], nil)
		if made == nil || len(src) > maxLZ {
			t.Skip()
		}
		d, err := newDictionary(1, 1, made.Bytes())
		if err != nil {
			t.Skip()
		}
		held(t, d, src)
	})
}

// varied makes messages of about 1 KiB as platforms send them: half of the bytes are names and words that come again, and half are ids,
// numbers and tokens that do not.
type varied struct{ r *rand.Rand }

func (v varied) next() *hook.Message {
	names := []string{"buyerId", "outTradeNo", "address", "couponId", "updateTime", "amount", "imageUrl", "status", "warehouse", "expireAt", "verifyCode"}
	words := []string{"订单", "已发货", "优惠券", "北京市", "上海市浦东新区", "待支付", "order", "shipped", "coffee", "large", "blue", "store", "cotton"}
	token := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(v.r.Uint32())
		}
		return b
	}
	body := fmt.Appendf(nil, `{"type":"contact.created","timestamp":"2026-01-01T00:00:00.000000Z","data":{"id":"%x","fullName":"%s"}`, token(16), words[v.r.IntN(len(words))])
	for size := 600 + v.r.IntN(500); len(body) < size; {
		body = fmt.Appendf(body, `,"%s_%d":`, names[v.r.IntN(len(names))], v.r.IntN(90)+10)
		switch v.r.IntN(5) {
		case 0:
			body = fmt.Appendf(body, `%d`, v.r.Int64N(1e15))
		case 1:
			body = fmt.Appendf(body, `"2026-%02d-%02d %02d:%02d:00"`, 1+v.r.IntN(12), 1+v.r.IntN(28), v.r.IntN(24), v.r.IntN(60))
		case 2:
			body = fmt.Appendf(body, `"https://img%d.example.com/%x.jpg"`, v.r.IntN(9), token(12))
		case 3:
			body = fmt.Appendf(body, `"%s %s %s"`, words[v.r.IntN(len(words))], words[v.r.IntN(len(words))], words[v.r.IntN(len(words))])
		default:
			body = fmt.Appendf(body, `"%s"`, base64.StdEncoding.EncodeToString(token(24)))
		}
	}
	m := received(string(append(body, '}')), "")
	m.Payload = m.Raw.Body
	m.Raw.Header.Set("Webhook-Id", fmt.Sprintf("msg_%x", token(10)))
	m.Raw.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(token(32)))
	m.Raw.Header.Set("Webhook-Timestamp", strconv.Itoa(1_790_000_000+v.r.IntN(1e6)))
	return m
}

// What is packed once and read for years must not grow by a change of the encoder that only looks at its speed.
func TestAMessageTakesNoMoreThanItDid(t *testing.T) {
	t.Parallel()
	v := varied{rand.New(rand.NewPCG(11, 12))}
	samples := make([][]byte, learnFrom)
	for i := range samples {
		samples[i] = layOut(nil, v.next())
	}
	d := dictionaryOf(t, string(shared(samples)))
	plain, packed, librarys := 0, 0, 0
	for range 500 {
		src := layOut(nil, v.next())
		plain += len(src)
		packed += held(t, d, src)
		librarys += len(d.read.Encode(make([]byte, s2.MaxEncodedLen(len(src))), src))
	}
	if packed*100 > plain*55 || packed > librarys {
		t.Errorf("%d bytes became %d, those of the library are %d", plain/500, packed/500, librarys/500)
	}
}

func BenchmarkPack(b *testing.B) {
	v := varied{rand.New(rand.NewPCG(1, 2))}
	kept := make(chan struct{}, 1)
	for _, name := range []string{"alone", "against a dictionary"} {
		p := newPacker(func(context.Context, *dictionary) error { kept <- struct{}{}; return nil })
		if name == "alone" {
			p.closed = true
		} else {
			for range learnFrom + judgeBy {
				p.pack(v.next())
			}
			<-kept
			p.close()
		}
		b.Run(name, func(b *testing.B) {
			messages := make([]*hook.Message, 256)
			for i := range messages {
				messages[i] = v.next()
			}
			in, out, n := 0, 0, 0
			b.ReportAllocs()
			for b.Loop() {
				packed, size := p.pack(messages[n%len(messages)])
				in, out, n = in+size, out+len(packed), n+1
			}
			b.ReportMetric(float64(out)/float64(n), "B/message")
			b.ReportMetric(float64(out)/float64(in), "ratio")
		})
	}
}
