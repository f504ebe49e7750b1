package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// bodies makes business objects of real variety: each begins as one of the dialect's documented examples with numbers of its
// own, and grows by members of many kinds up to a size that varies around 1 KiB. About a third of the bytes are random
// (ids, tokens, signatures), as in what platforms send: bodies from one template would flatter whatever compresses them.
type bodies struct {
	r        *rand.Rand
	examples []dialect.Example
	kinds    int // event types that the messages are spread over; 0 = those of the examples
}

const (
	smallest = 700 // bytes of a payload; sizes are even between these, 1 KiB in the middle
	largest  = 1348
)

func newBodies(seed uint64, examples []dialect.Example, kinds int) *bodies {
	if len(examples) == 0 {
		examples = []dialect.Example{{EventType: "BENCH", Payload: []byte("{}")}}
	}
	return &bodies{rand.New(rand.NewPCG(seed, 1)), examples, kinds}
}

// next makes the payload of one message, with its mark in it.
func (b *bodies) next(job uint32, n int) dialect.Example {
	e := b.examples[b.r.IntN(len(b.examples))]
	if b.kinds > 0 {
		e.EventType = kindName(n % b.kinds)
		e.Payload = fmt.Appendf(nil, `{"type":%q}`, e.EventType) // the standard dialect reads it there
	}
	size := smallest + b.r.IntN(largest-smallest+1)
	out := make([]byte, 0, largest+256)
	out = append(out, bytes.TrimSuffix(bytes.TrimRight(e.Payload, " \r\n"), []byte("}"))...)
	b.renumber(out)
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = fmt.Appendf(out, `"bench_mark":"%s"`, mark(job, n))
	for len(out) < size-1 {
		out = b.member(out, size-2-len(out))
	}
	e.Payload = append(out, '}')
	return e
}

// sign makes a platform's request of a message.
func (b *bodies) sign(d *dialect.Dialect, sending dialect.Settings, e dialect.Example) (dialect.Request, error) {
	now := time.Now()
	var seed [32]byte
	copy(seed[:], b.random(len(seed)))
	req, err := d.Sign(sending, dialect.Outbound{
		ID: "bench_" + hex.EncodeToString(seed[:10]), EventType: e.EventType, Payload: e.Payload, Platform: e.Platform,
		Created: now, Now: now, Seed: seed,
	})
	if err != nil {
		return req, fmt.Errorf("make a message in %s: %w", d.Name, err)
	}
	return req, nil
}

// kindName is the i-th event type of messages that are spread over several.
func kindName(i int) string { return fmt.Sprintf("bench.kind%04d", i) }

// renumber gives every long number other digits, as ids have.
func (b *bodies) renumber(text []byte) {
	const long = 9
	for i := 0; i < len(text); i++ {
		end := i
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		if end-i >= long {
			for k := max(i+1, end-12); k < end; k++ {
				text[k] = byte('0' + b.r.IntN(10))
			}
		}
		i = max(i, end)
	}
}

// member appends one more member. room is what the body has left for it; a small rest is filled up exactly.
func (b *bodies) member(out []byte, room int) []byte {
	const shortest = len(`,"x0":""`)
	start := len(out)
	out = fmt.Appendf(out, `,"%s_%d":`, pick(b.r, memberNames), b.r.IntN(90)+10)
	out = b.value(out)
	if len(out)-start <= room-shortest {
		return out
	}
	out = append(out[:start], `,"x0":"`...)
	for range max(0, room-shortest+1) {
		out = append(out, hexDigits[b.r.IntN(16)])
	}
	return append(out, '"')
}

const hexDigits = "0123456789abcdef"

func (b *bodies) value(out []byte) []byte {
	r := b.r
	switch r.IntN(10) {
	case 0:
		return strconv.AppendInt(out, r.Int64N(1e15), 10)
	case 1:
		return strconv.AppendInt(out, int64(r.IntN(100_000)), 10)
	case 2:
		at := time.Date(2026, 1, 1, 0, 0, r.IntN(20_000_000), 0, time.UTC)
		return at.AppendFormat(out, `"2006-01-02 15:04:05"`)
	case 3:
		return fmt.Appendf(out, `"%s"`, hex.EncodeToString(b.random(8+r.IntN(17))))
	case 4:
		return fmt.Appendf(out, `"https://img%d.example.com/%s.jpg?x=%d"`, r.IntN(9), base64.RawURLEncoding.EncodeToString(b.random(12+r.IntN(20))), r.IntN(999))
	case 5:
		return fmt.Appendf(out, `"1%d****%04d"`, 30+r.IntN(69), r.IntN(10_000))
	case 6:
		return b.list(out)
	case 7:
		return fmt.Appendf(out, `"%s"`, base64.StdEncoding.EncodeToString(b.random(24+r.IntN(24))))
	case 8:
		return strconv.AppendBool(out, r.IntN(2) == 0)
	}
	return b.sentence(out)
}

// list is a list of items, as an order has.
func (b *bodies) list(out []byte) []byte {
	out = append(out, '[')
	for i := range 1 + b.r.IntN(2) {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"skuId":%d,"title":`, b.r.Int64N(1e12))
		out = b.sentence(out)
		out = fmt.Appendf(out, `,"price":%d,"num":%d}`, b.r.IntN(99_999), 1+b.r.IntN(9))
	}
	return append(out, ']')
}

func (b *bodies) sentence(out []byte) []byte {
	out = append(out, '"')
	for range 2 + b.r.IntN(5) {
		w := pick(b.r, words)
		if last, _ := utf8.DecodeLastRune(out); last < utf8.RuneSelf && out[len(out)-1] != '"' {
			out = append(out, ' ')
		}
		out = append(out, w...)
	}
	return append(out, '"')
}

func (b *bodies) random(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(b.r.Uint32())
	}
	return out
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

var memberNames = []string{
	"buyerId", "sellerId", "shopName", "outTradeNo", "skuList", "address", "remark", "couponId", "logisticsNo", "payChannel",
	"updateTime", "amount", "discount", "openId", "traceId", "refundReason", "imageUrl", "status", "phone", "province",
	"city", "warehouse", "expireAt", "verifyCode", "poiId", "staff", "invoice", "taxNo", "deviceId", "extra",
}

var words = []string{
	"订单", "退款", "已发货", "优惠券", "门店", "北京市", "上海市浦东新区", "快递", "签收", "用户", "商品", "库存", "待支付", "核销", "审核通过",
	"生鲜", "蓝色", "大号", "加急", "电子发票", "会员", "积分", "满减", "晚上送达", "放在门口", "请勿折叠", "广东省深圳市", "小程序", "版本", "回调",
	"order", "paid", "shipped", "refund", "coffee", "latte", "large", "blue", "express", "warehouse", "north", "gate", "invoice",
	"gift", "member", "store", "pickup", "urgent", "fragile", "morning", "cotton", "shirt", "phone", "case", "battery", "tea",
}
