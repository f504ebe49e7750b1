package simulate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// The languages of a report.
const (
	English = "en"
	Chinese = "zh"
)

// Languages are those that Options.Lang may name.
func Languages() []string { return []string{English, Chinese} }

// worded is an argument of a text that reads differently in each language.
type worded interface{ in(lang string) string }

type words dialect.Text

func (w words) in(lang string) string {
	if lang == Chinese {
		return w.Zh
	}
	return w.En
}

// word is one entry of the catalogue: what was seen, and what to do about it.
type word struct {
	level      Level
	text, mend words
}

// say fills a text in. Its arguments are plain values or worded ones.
func say(lang string, text words, args ...any) string {
	args = slices.Clone(args)
	for i, a := range args {
		if w, ok := a.(worded); ok {
			args[i] = w.in(lang)
		}
	}
	return fmt.Sprintf(text.in(lang), args...)
}

// look finds the words of a finding: those of the whole key, else those of its code.
func look(key string) word {
	if w, ok := catalogue[key]; ok {
		return w
	}
	code, _, _ := strings.Cut(key, ":")
	return catalogue[code]
}

// Codes lists every code that a finding may have, in the order of the alphabet.
func Codes() []string {
	var out []string
	for key := range catalogue {
		code, _, _ := strings.Cut(key, ":")
		out = append(out, code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var (
	verifyFirst = words{
		"Compute the signature over the raw bytes of the request before anything else reads them, compare in constant time, and answer 401 when it differs.",
		"在解析之前先对请求的原始字节验签（常量时间比较），不一致时返回 401。",
	}
	storeThenAnswer = words{
		"Store the message, answer, and do the work afterwards from the store.",
		"先落库、立即应答，再从库中异步处理。",
	}
	exactly = words{
		"Answer exactly what the platform's page asks for: no quotes, no JSON around it, no line end.",
		"严格按平台文档的内容应答：不加引号、不包 JSON、不带换行。",
	}
	dedup = words{
		"Remember the id of each message in the same transaction as its effect; answer a known one with the acknowledgement and do nothing else.",
		"在同一事务中记录消息编号与业务结果；收到已处理过的消息时直接按成功应答，不再处理。",
	}
)

// catalogue has the words of every finding, by code or by code and kind.
var catalogue = map[string]word{
	"https": {LevelNote,
		words{"the platform pushes to https URLs only", "平台只向 https 地址推送"},
		words{"Give the receiver a certificate before its URL is entered in the platform's console.", "在平台控制台填写地址前，请为接收服务配置证书。"}},
	"late": {LevelError,
		words{"answered after %s: the platform's limit is %s", "%s 后才应答：平台的时限为 %s"}, storeThenAnswer},
	"late:none": {LevelError,
		words{"gave no answer in time (%[2]s): the platform's limit is %[1]s", "未在时限内应答：平台的时限为 %[1]s"}, storeThenAnswer},
	"over_agreed": {LevelError,
		words{"99 %% of the answers took up to %s: %s are agreed", "99%% 的应答耗时达 %s：约定为 %s"}, storeThenAnswer},
	"slow": {LevelWarning,
		words{"answered after %s: the platform's limit is %s", "%s 后才应答：平台的时限为 %s，余量不足"}, storeThenAnswer},
	"unreachable": {LevelError,
		words{"could not be reached: %s", "无法连接：%s"},
		words{"Check that the service runs, listens at this address, and does not close connections before it answers.", "检查服务是否运行、是否监听该地址，以及是否在应答前关闭连接。"}},
	"wrong_words": {LevelError,
		words{"%s: the platform does not take that for an acknowledgement", "%s：平台不把这视为确认"}, exactly},
	"loose_words": {LevelWarning,
		words{"answered %q: taken for the word, which the platform's documents print without line end, blanks or capitals", "应答 %q：可视为确认，但平台文档中的写法不带换行、空格或大写字母"}, exactly},
	"redirect": {LevelError,
		words{"%s: platforms do not follow redirects", "%s：平台不会跟随重定向"},
		words{"Enter the final URL (https, with or without the slash at its end), or answer at this one.", "填写最终地址（注意 https 与末尾斜杠），或在当前地址直接应答。"}},
	"rejected": {LevelError,
		words{"%s to a rightly signed message: do both sides hold the same key?", "%s：签名正确的消息被拒绝，双方密钥是否一致？"},
		words{"Compare the key on both sides; then check that the raw body is verified, not what a parser made of it.", "核对双方密钥；并确认验签使用的是原始请求体，而不是解析后的内容。"}},
	"failing": {LevelNote,
		words{"%s: the platform repeats such a message on its schedule", "%s：平台会按计划重试这样的消息"},
		words{"Nothing, when this was meant; else read the receiver's log.", "若为有意则无需处理；否则请查看接收服务的日志。"}},
	"gave_up": {LevelError,
		words{"was never acknowledged: the platform gives up after %s", "始终未确认：平台在 %s后放弃"},
		words{"Read the receiver's log; what the platform gave up must be fetched by its query API.", "查看接收服务的日志；平台放弃的消息只能通过查询接口补取。"}},
	"not_signed": {LevelError,
		words{"cannot be signed: %s", "无法加签：%s"},
		words{"Correct the payload or the settings of the simulated platform.", "请修正消息内容或模拟平台的设置。"}},
	"handshake_failed": {LevelError,
		words{"did not pass the platform's verification of the URL: %s", "未通过平台的地址验证：%s"},
		words{"Answer the console's request as its page says, at once and without a redirect.", "按平台文档应答控制台的验证请求，立即应答且不要重定向。"}},
	"challenge_rounded": {LevelError,
		words{"changed the challenge: sent %s, got %s", "challenge 被改变：发送 %s，收到 %s"},
		words{"Echo the digits as they came: a parser that makes a float64 of every number changes those above 2^53.", "原样返回数字：把数字解析为 float64 会改变大于 2^53 的值。"}},
	"duplicate_refused": {LevelError,
		words{"did not acknowledge a message that it had acknowledged before (%s): the platform would repeat it again", "对已确认过的消息没有再次确认（%s）：平台会继续重试"}, dedup},
	"processed_twice": {LevelError,
		words{"the same message was processed twice: %d processed, %d expected", "同一消息被处理了两次：已处理 %d 条，应为 %d 条"}, dedup},
	"failed_after_work": {LevelError,
		words{"did the work and then answered with an error, so that the repeat was processed again: %d processed, %d sent", "处理完成后却应答失败，导致重试的消息被再次处理：已处理 %d 条，发送 %d 条"},
		words{"Commit the work and the message's id together, and answer by what was committed.", "业务结果与消息编号须在同一事务提交，并据提交结果应答。"}},
	"lost": {LevelError,
		words{"acknowledged %d messages and processed %d: what was acknowledged never comes again", "确认了 %d 条消息，只处理了 %d 条：已确认的消息不会再来"}, storeThenAnswer},
	"probe_failed": {LevelError,
		words{"the probe could not say how much was processed: %s", "探针无法给出已处理的数量：%s"},
		words{"The probe URL must answer 200 with a whole number, or JSON with a member count.", "探针地址须以 200 返回一个整数，或带 count 成员的 JSON。"}},
	"check_said_no": {LevelError,
		words{"the check command said no: %s", "检查命令给出否定结果：%s"},
		words{"Look at what the command counts: each message must have been processed once.", "查看该命令的统计：每条消息应恰好处理一次。"}},
	"forged_accepted": {LevelError,
		words{"%s to a message %s: anybody could send such messages", "%s：接受了%s的消息，任何人都能伪造"}, verifyFirst},
	"forged_unanswered": {LevelWarning,
		words{"gave no answer to a message %s (%s): it should be refused", "对%s的消息没有应答（%s）：应予拒绝"}, verifyFirst},
	"not_forged": {LevelNote,
		words{"no message %s was sent: %s", "没有发送%s的消息：%s"},
		words{"Nothing: this forgery is not possible here.", "无需处理：此处无法构造这种伪造。"}},
	"parses_first": {LevelError,
		words{"%s to a request %s: it reads what strangers send before it verifies it", "%s：收到%s的请求时出错，说明在验签之前就解析了内容"}, verifyFirst},
	"old_accepted": {LevelError,
		words{"%s to a message whose signed time is 30 days old: whoever recorded one can send it again", "%s：接受了签名时间为 30 天前的消息，录下的消息可被重放"},
		words{"Refuse a signed time that is further from now than the time for which ids are remembered.", "签名时间与当前相差超过消息编号记忆时长的请求应拒绝。"}},
	"replay_broke": {LevelError,
		words{"%s to the very bytes of an earlier message: a repeat must be acknowledged or refused, not fail", "%s：对完全相同的请求应确认或拒绝，而不是出错"}, dedup},
	"rotation_refused": {LevelError,
		words{"%s to a message signed with the next key: messages are lost while the key is changed", "%s：拒绝了用新密钥签名的消息，换密钥期间会丢失消息"},
		words{"Hold two keys for the time of the change, and accept a signature of either.", "换密钥期间同时配置新旧两个密钥，任一验签通过即接受。"}},
	"answered_early": {LevelError,
		words{"answered %s before the whole body had arrived: it cannot have verified it", "请求体尚未收全就应答 %s：不可能已验签"},
		words{"Read the whole body, verify it, store it, and only then answer.", "读完整个请求体、验签、落库之后再应答。"}},
	"slow_body_refused": {LevelError,
		words{"%s to a message whose body came slowly", "%s：请求体传输较慢时未能接收"},
		words{"Read until the end of the body (Content-Length), not what one read call returns.", "按 Content-Length 读完请求体，不要只读一次。"}},
	"gbk_refused": {LevelError,
		words{"%s to a rightly signed message in GBK", "%s：拒绝了签名正确的 GBK 消息"},
		words{"Verify the bytes as they came; decode them with the charset that the request names only afterwards.", "对原始字节验签，之后再按请求的 charset 解码。"}},
	"reserialised": {LevelError,
		words{"%s to a rightly signed message %s: it verifies what a parser made of the text, not the text that came", "%s：拒绝了%s且签名正确的消息，说明验签的是重新序列化的内容，而不是收到的原文"},
		words{"Verify the bytes as they came: blanks, line ends and escapes are part of what is signed.", "对收到的原文验签：空格、换行、转义都在签名范围内。"}},
	"emoji_refused": {LevelError,
		words{"%s to a message with emoji and rare characters", "%s：拒绝了含 emoji 与生僻字的消息"},
		words{"Store text with four-byte characters (utf8mb4 in MySQL), and decode as UTF-8.", "以支持四字节字符的编码存储（MySQL 用 utf8mb4），并按 UTF-8 解码。"}},
	"number_refused": {LevelError,
		words{"%s to a message with numbers above 2^53", "%s：拒绝了含大于 2^53 的数字的消息"},
		words{"Read ids as text or 64-bit integers, never as floating-point numbers.", "编号按文本或 64 位整数解析，不要用浮点数。"}},
	"not_back": {LevelError,
		words{"the receiver does not work again after its connection was cut: %s", "连接断开后接收方没有恢复：%s"},
		words{"Watch the connection, register anew when it ends, and go on trying.", "监测连接，断开后重新注册并持续重试。"}},
	"event_refused": {LevelError,
		words{"%s to the event %s: the platform repeats what is not acknowledged, and adds events without asking", "%s：未确认事件 %s，平台会一直重试，且会随时新增事件"},
		words{"Acknowledge events that you do not know, and keep or drop them.", "对未知事件也要确认，然后保存或忽略。"}},
	"disorder_refused": {LevelError,
		words{"%s to a message that came in another order", "%s：消息乱序到达时未能接收"},
		words{"Store what comes first and wait for the rest; no platform promises an order.", "先保存先到的消息，等待其余消息；没有平台保证顺序。"}},
}
