package simulate

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
)

// AllHabits stands for every habit that the platform has.
const AllHabits = "all"

// habit is something that platforms, or strangers in their name, do on bad days.
type habit struct {
	name  string
	right words // what a receiver does right that takes it
	// try does it and notes findings. It returns why it was not tried, or the zero value.
	try func(ctx context.Context, r *run) (skipped words)
}

// habits are in the order in which a run tries them: what later ones build on comes first.
var habits = []habit{
	{"challenge", words{"echoes a challenge above 2^53 digit for digit", "原样返回大于 2^53 的 challenge"}, tryChallenge},
	{"forged", words{"refuses messages that the platform did not sign", "拒绝不是平台签名的消息"}, tryForged},
	{"corrupted", words{"refuses broken requests without breaking itself", "拒绝损坏的请求且自身不出错"}, tryCorrupted},
	{"old", words{"refuses a signed time of 30 days ago", "拒绝签名时间为 30 天前的消息"}, tryOld},
	{"duplicates", words{"acknowledges a repeat", "对重复推送再次确认"}, tryDuplicates},
	{"replay", words{"bears the same bytes twice", "能承受完全相同的请求"}, tryReplay},
	{"disorder", words{"takes messages in any order", "能接收乱序的消息"}, tryDisorder},
	{"rotation", words{"takes messages signed with the next key", "接受用新密钥签名的消息"}, tryRotation},
	{"slow-body", words{"waits for a body that comes slowly", "能等待传输缓慢的请求体"}, trySlowBody},
	{"gbk", words{"takes messages in GBK", "能接收 GBK 消息"}, tryGBK},
	{"pretty", words{"takes JSON with line ends and blanks", "能接收带换行缩进的 JSON"}, tryPretty},
	{"unicode-escapes", words{`takes \u escapes`, `能接收 \u 转义`}, tryEscapes},
	{"emoji", words{"takes emoji and rare characters", "能接收 emoji 与生僻字"}, tryEmoji},
	{"big-numbers", words{"takes numbers above 2^53", "能接收大于 2^53 的数字"}, tryBigNumbers},
	{"reconnect", words{"comes back after its connection was cut, and acknowledges again", "连接断开后会重连，并继续确认消息"}, tryReconnect},
	{"event-names", words{"acknowledges events that it does not know", "确认未知的事件"}, tryEventNames},
}

// HabitNames lists the habits in the order in which they are tried.
func HabitNames() []string {
	var names []string
	for _, h := range habits {
		names = append(names, h.name)
	}
	return names
}

// checkHabits refuses what is no habit.
func checkHabits(names []string) error {
	for _, n := range names {
		if n != AllHabits && !slices.Contains(HabitNames(), n) {
			return fmt.Errorf("simulate: there is no habit %q; there are %s, and all", n, strings.Join(HabitNames(), ", "))
		}
	}
	return nil
}

func (o *Options) has(name string) bool {
	return slices.Contains(o.Habits, name) || slices.Contains(o.Habits, AllHabits)
}

// tryHabits does the chosen habits, one after the other.
func (r *run) tryHabits(ctx context.Context) {
	for _, h := range habits {
		if !r.has(h.name) || ctx.Err() != nil {
			continue
		}
		r.enter(h.name, h.right)
		if why := h.try(ctx, r); why != (words{}) {
			r.skip(why)
		}
	}
}

var (
	notAcknowledged = words{"not judged: plain messages are not acknowledged", "未判断：普通消息都没有得到确认"}
	notReached      = words{"not judged: the receiver cannot be reached", "未判断：无法连接到接收方"}
	noSuchHabit     = words{"not tried: this platform does not do that", "未尝试：该平台没有这种情况"}
	notOfPayload    = words{"not tried: the payload is no JSON object", "未尝试：消息内容不是 JSON 对象"}
)

// healthy says whether plain messages are acknowledged at all: else nothing can be said about odd ones.
func (r *run) healthy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.Totals.Acknowledged > 0
}

// deaf says whether nobody is there: then nothing can be said about what it would refuse.
func (r *run) deaf() bool { return !r.healthy() && r.found("unreachable") }

// variant is a rightly signed message that looks different from the plain ones.
type variant struct {
	habit    string
	number   int    // tells the variants of a habit apart, and picks the event
	key      string // of the finding when it is not acknowledged
	args     []any  // of the finding, after the answer
	edit     func(*dialect.Outbound) bool
	settings dialect.Settings // nil = the run's
	change   func(*dialect.Request)
	slow     bool
}

// good sends a variant, which must be acknowledged. An answer of 5xx gets a second chance, as the platform gives it.
func (r *run) good(ctx context.Context, v variant) (req dialect.Request, out dialect.Outbound, a answer, ok bool) {
	out = r.fresh(v.habit, v.number)
	if v.edit != nil && !v.edit(&out) {
		return req, out, a, false
	}
	for attempt := 1; attempt <= 2; attempt++ {
		var err error
		if req, err = r.sign(v, out); err != nil {
			r.find("not_signed", err.Error())
			return req, out, a, false
		}
		if a, ok = r.sendSlowly(ctx, req, v.slow); !ok {
			return req, out, a, false
		}
		r.recordHabit(v.habit, out, a, attempt)
		if a.status/100 != 5 {
			break
		}
	}
	switch {
	case a.verdict.Kind == dialect.Accepted:
		r.expected++
	case a.failed != nil && a.failed.Kind == egress.KindTimeout:
		r.find("late:none", millis(r.deadline), a.failed.Text)
	default:
		r.find(v.key, append([]any{a}, v.args...)...)
	}
	return req, out, a, true
}

func (r *run) sign(v variant, out dialect.Outbound) (dialect.Request, error) {
	settings := v.settings
	if settings == nil {
		settings = r.Settings
	}
	out.Now = r.Now()
	req, err := r.Dialect.Sign(settings, out)
	if err == nil && v.change != nil {
		v.change(&req)
	}
	return req, err
}

// fresh makes a message that no receiver has seen, of the events in turn.
func (r *run) fresh(habit string, number int) dialect.Outbound {
	return r.outbound("habit/"+habit, len(r.events())+number)
}

func (r *run) recordHabit(habit string, out dialect.Outbound, a answer, attempt int) {
	rec := Record{
		Kind: StepHabit, Habit: habit, ID: out.ID, EventType: out.EventType, Attempts: attempt, Status: a.status,
		Acknowledged: a.verdict.Kind == dialect.Accepted, Reason: a.verdict.Reason, LatencyMs: ms(a.took),
	}
	r.count(func(t *Totals) { t.Habits++ })
	r.step(StepHabit, &rec, a, 0)
	r.record(rec)
}

const mostOfEach = 20 // messages that one habit sends

func tryDuplicates(ctx context.Context, r *run) words {
	if !r.healthy() {
		return notAcknowledged
	}
	var sent []dialect.Outbound
	for i := range min(len(r.events()), mostOfEach) {
		_, out, a, ok := r.good(ctx, variant{habit: "duplicates", number: i, key: "rejected"})
		if ok && a.verdict.Kind == dialect.Accepted {
			sent = append(sent, out)
		}
	}
	before, known := r.align(ctx)
	for _, out := range sent {
		r.repeat(ctx, out, 2)
	}
	r.judgeRepeats(ctx, before, known, len(sent))
	return words{}
}

func tryReplay(ctx context.Context, r *run) words {
	if !r.healthy() {
		return notAcknowledged
	}
	req, out, a, ok := r.good(ctx, variant{habit: "replay", key: "rejected"})
	if !ok || a.verdict.Kind != dialect.Accepted {
		return words{}
	}
	before, known := r.align(ctx)
	for range 2 {
		if a, ok = r.send(ctx, req, r.judge); !ok {
			return words{}
		}
		r.recordHabit("replay", out, a, 1)
		switch {
		case a.failed != nil || a.status/100 == 5:
			r.find("replay_broke", a)
		case a.verdict.Kind != dialect.Accepted && !signsTime(r.Dialect):
			r.find("duplicate_refused", a) // without a time, the platform's own repeats have the same bytes
		}
	}
	r.judgeRepeats(ctx, before, known, 1)
	return words{}
}

func tryDisorder(ctx context.Context, r *run) words {
	if !r.healthy() {
		return notAcknowledged
	}
	for i := min(len(r.events()), mostOfEach) - 1; i >= 0; i-- {
		r.good(ctx, variant{habit: "disorder", number: i, key: "disorder_refused"})
	}
	return words{}
}

func tryRotation(ctx context.Context, r *run) words {
	switch {
	case r.nextKey == nil:
		return words{"not tried: there is no second key; give the setting of the key twice, the present one first", "未尝试：没有第二个密钥；请把密钥设置填写两次，当前的在前"}
	case !r.healthy():
		return notAcknowledged
	}
	for i := range 2 {
		r.good(ctx, variant{habit: "rotation", number: i, key: "rotation_refused", settings: r.nextKey})
	}
	return words{}
}

func tryOld(ctx context.Context, r *run) words {
	if !signsTime(r.Dialect) || r.Link != nil {
		return words{"not tried: the platform signs no time", "未尝试：该平台的签名不含时间"}
	}
	if r.deaf() {
		return notReached
	}
	if r.found("forged_accepted") {
		return words{"not judged: signatures are not checked at all", "未判断：签名根本没有校验"}
	}
	out := r.fresh("old", 0)
	out.Now = out.Now.Add(-30 * 24 * time.Hour)
	out.Created = out.Now
	req, err := r.Dialect.Sign(r.Settings, out)
	if err != nil {
		r.find("not_signed", err.Error())
		return words{}
	}
	a, ok := r.send(ctx, req, r.judge)
	if !ok {
		return words{}
	}
	r.recordHabit("old", out, a, 1)
	if a.verdict.Kind == dialect.Accepted {
		r.find("old_accepted", a)
	}
	return words{}
}

// signsTime says whether a signature of the platform covers a time of which a receiver can judge the age.
func signsTime(d *dialect.Dialect) bool { return d.Name != "pandapon" && d.Name != "douyin" }

func tryForged(ctx context.Context, r *run) words {
	if r.deaf() {
		return notReached
	}
	forgers := r.makeForgers()
	if r.Link != nil {
		forgers = append(forgers, forger{"without a signature", words{"without a signature", "没有签名"}, r.Settings, r.Link.dropSignature})
	} else if len(r.Dialect.SignatureHeaders) == 0 {
		forgers = append(forgers, forger{"without a signature", words{"without a signature", "没有签名"}, r.Settings, dropFormSignature})
	}
	for i := range forgers {
		r.forge(ctx, job{number: len(r.events()) + i, forger: &forgers[i]})
	}
	return words{}
}

// dropFormSignature takes the signature out of a form.
func dropFormSignature(req *dialect.Request, _ dialect.Outbound) bool {
	pairs := strings.Split(string(req.Body), "&")
	kept := slices.DeleteFunc(slices.Clone(pairs), isSignaturePair)
	req.Body = []byte(strings.Join(kept, "&"))
	return len(kept) < len(pairs)
}

func isSignaturePair(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	return name == "sign" || name == "_aop_signature"
}

// corruptions are requests as no platform makes them: what a scanner or a broken proxy sends.
var corruptions = []struct {
	words  words
	change func(r *run, req *dialect.Request)
}{
	{words{"with half of its body", "请求体只有一半"}, func(_ *run, req *dialect.Request) { req.Body = req.Body[:len(req.Body)/2] }},
	{words{"with half of its signature", "签名只有一半"}, halveSignature},
	{words{"with noise for a body", "请求体为乱码"}, func(_ *run, req *dialect.Request) {
		req.Body = []byte("\x00\xff\xfe{\"\x80%zz&=&\r\n]]>\x00")
	}},
}

func halveSignature(r *run, req *dialect.Request) {
	h := http.Header{}
	for name, values := range req.Header {
		if slices.Contains(r.Dialect.SignatureHeaders, strings.ToLower(name)) && len(values) > 0 {
			values = []string{values[0][:len(values[0])/2]}
		}
		h[name] = values
	}
	req.Header = h
	pairs := strings.Split(string(req.Body), "&")
	for i, p := range pairs {
		if isSignaturePair(p) {
			pairs[i] = p[:(len(p)+strings.IndexByte(p, '='))/2]
		}
	}
	req.Body = []byte(strings.Join(pairs, "&"))
}

func tryCorrupted(ctx context.Context, r *run) words {
	if r.Link != nil {
		return words{"not tried: what is no frame is dropped without an answer", "未尝试：不成帧的内容会被直接丢弃，没有应答"}
	}
	if r.deaf() {
		return notReached
	}
	ignores := r.found("forged_accepted") // then it takes anything, which has been said
	for i, c := range corruptions {
		out := r.fresh("corrupted", i)
		req, err := r.Dialect.Sign(r.Settings, out)
		if err != nil {
			r.find("not_signed", err.Error())
			return words{}
		}
		c.change(r, &req)
		a, ok := r.send(ctx, req, r.judge)
		if !ok {
			return words{}
		}
		r.recordHabit("corrupted", out, a, 1)
		switch {
		case a.verdict.Kind == dialect.Accepted && !ignores:
			r.find("forged_accepted:"+c.words.En, a, c.words)
		case a.failed != nil && a.failed.Kind == egress.KindTimeout:
			r.find("forged_unanswered:"+c.words.En, c.words, a.failed.Text)
		case a.failed != nil || a.status/100 == 5 && a.status != http.StatusServiceUnavailable:
			r.find("parses_first:"+c.words.En, a, c.words)
		}
	}
	return words{}
}
