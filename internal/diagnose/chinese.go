package diagnose

import (
	"regexp"
	"strings"
	"sync"
)

// phrase is a sentence of another package that is one of a closed set, in both languages. {1} and {2} stand for what differs.
type phrase struct{ en, zh string }

// phrases are refusals of dialects, and reasons for which an attempt is not accepted. The first that fits is taken.
var phrases = []phrase{
	// Parts of a request.
	{"header {1}", "请求头 {1}"},
	{"parameter {1}", "参数 {1}"},
	{"URL parameter {1}", "URL 参数 {1}"},
	{"body member {1}", "请求体成员 {1}"},
	{"content member {1}", "content 成员 {1}"},
	{"setting {1}", "设置 {1}"},
	{"body", "请求体"},
	{"method", "请求方法"},
	{"form", "表单"},
	{"signed time", "签名时间"},

	// Refusals of dialects.
	{"matches the body under none of the live secrets", "用任何一个有效密钥对请求体计算，都得不到这个签名"},
	{"matches messageBody under none of the live secrets", "用任何一个有效密钥对 messageBody 计算，都得不到这个签名"},
	{"holds a separator, so the signed text can be read in two ways; it counts as forged", "含有分隔符，被签名的内容有两种读法，按伪造处理"},
	{"cannot be decoded: is it whole, and is {1} right?", "无法解码：它是否完整？设置 {1} 是否正确？"},
	{"matches the parameters under none of the live secrets", "用任何一个有效密钥对参数计算，都得不到这个签名"},
	{"matches URL parameters and body under none of the live secrets", "用任何一个有效密钥对 URL 参数和请求体计算，都得不到这个签名"},
	{"matches time, nonce and body under none of the live keys", "用任何一个有效密钥对时间戳、随机串和请求体计算，都得不到这个签名"},
	{"matches timestamp, nonce and msg under none of the live tokens", "用任何一个有效 token 对 timestamp、nonce 和 msg 计算，都得不到这个签名"},
	{"no key in {1} verifies it with {2}", "{1} 中没有密钥能按 {2} 验证它"},
	{"no key in {1} is of the kind that {2} needs", "{1} 中没有 {2} 所需类型的密钥"},
	{"is missing", "缺失"},
	{"is missing; setting {1} can name the algorithm", "缺失；可用设置 {1} 指定算法"},
	{"is none of RSA2, RSA and SM2", "不是 RSA2、RSA 或 SM2"},
	{"is not the algorithm of setting {1}", "与设置 {1} 指定的算法不同"},
	{"is not the application of setting {1}", "不是设置 {1} 中的应用"},
	{"is not hexadecimal", "不是十六进制"},
	{"is not 64 hexadecimal digits alone", "不是恰好 64 位十六进制数字"},
	{"is not base64", "不是 base64"},
	{"the signature is empty", "签名为空"},
	{"the signature is too long", "签名过长"},
	{"the signature is not base64", "签名不是 base64"},
	{"the signature has blanks in it: its plus signs were not percent-encoded on the way", "签名中有空格：加号在传输途中没有做百分号编码"},
	{"the signature is broken into lines; it must be one line of base64", "签名被折行；应为一行 base64"},
	{"the signature is not base64 with its padding: something was cut off on the way", "签名不是带填充的 base64：途中被截断"},
	{"is not POST", "不是 POST"},
	{"is not JSON", "不是 JSON"},
	{"is there more than once", "出现了多次"},
	{"is there more than once: which one counts cannot be told", "出现了多次，无法判断以哪一个为准"},
	{"is not set", "没有设置"},
	{"is not set, so no signature can be judged", "没有设置，无法判断签名"},
	{"is not set or not an application's id", "没有设置，或不是应用的编号"},
	{"is no time in seconds", "不是以秒为单位的时间"},
	{"is missing or no time in milliseconds", "缺失，或不是以毫秒为单位的时间"},
	{"is missing or no time, and setting {1} wants one", "缺失或不是时间，而设置 {1} 要求有时间"},
	{"is further from now than setting {1} allows", "与当前时间相差超过设置 {1} 允许的范围"},
	{"is further from now than half of the time that messages are remembered; see setting {1}", "与当前时间相差超过消息记忆时间的一半；见设置 {1}"},
	{"is older than the setting {1} allows", "早于设置 {1} 允许的时间"},
	{"is right, but {1} seconds from our time, and {2} are allowed: a replay, or a clock that is wrong", "签名正确，但与本机时间相差 {1} 秒，允许 {2}：可能是重放，或某一方的时钟不准"},
	{"is missing or none of RSA2, RSA and SM2", "缺失，或不是 RSA2、RSA、SM2 之一"},
	{"is not the serial of the certificate in setting {1}", "不是设置 {1} 中证书的序列号"},
	{"says success and is not signed", "表示成功，但没有签名"},
	{"x-charset, x-signType and x-sign must all be there", "x-charset、x-signType 和 x-sign 必须齐全"},
	{"is a form, but has none of Alipay's parameters", "是表单，但没有支付宝的任何参数"},
	{"is not a form with Alipay's parameters", "不是带有支付宝参数的表单"},
	{"the request cannot be read", "请求无法读取"},

	// What happened to a request of ours.
	{"{1} refused the connection", "{1} 拒绝连接"},
	{"{1} cannot be reached from here", "从这里无法到达 {1}"},
	{"{1} did not accept the connection in time", "{1} 未及时接受连接"},
	{"could not connect to {1}", "无法连接 {1}"},
	{"the name {1} does not exist", "域名 {1} 不存在"},
	{"the name {1} has no address", "域名 {1} 没有地址"},
	{"the name {1} could not be looked up in time", "域名 {1} 未能及时解析"},
	{"the name {1} could not be looked up", "域名 {1} 无法解析"},
	{"the TLS handshake with {1} took too long", "与 {1} 的 TLS 握手超时"},
	{"{1}: the certificate is for another name", "{1}：证书属于另一个域名"},
	{"{1}: the certificate is signed by an authority that is not trusted here", "{1}：证书的签发机构不受信任"},
	{"{1}: the certificate has expired or is not yet valid", "{1}：证书已过期或尚未生效"},
	{"{1}: the certificate is not valid", "{1}：证书无效"},
	{"{1}: the other side does not speak TLS on this port", "{1}：对方在该端口上不使用 TLS"},
	{"{1}: the other side refused the TLS handshake ({2})", "{1}：对方拒绝 TLS 握手（{2}）"},
	{"{1}: the connection broke during the TLS handshake", "{1}：TLS 握手时连接中断"},
	{"{1}: the TLS handshake did not succeed", "{1}：TLS 握手未成功"},
	{"the deadline passed while waiting for the listener's answer", "等待监听方应答时超过时限"},
	{"the listener could not deliver it: dial tcp {1}: connect: connection refused", "监听方无法送达：{1} 拒绝连接"},
	{"the deadline passed while looking up the name {1}", "解析域名 {1} 时超过时限"},
	{"the deadline passed while connecting to {1}", "连接 {1} 时超过时限"},
	{"the deadline passed during the TLS handshake with {1}", "与 {1} 做 TLS 握手时超过时限"},
	{"the deadline passed {1}", "超过时限（{1}）"},
	{"the connection was closed {1}", "连接被关闭（{1}）"},
	{"the connection broke {1}", "连接中断（{1}）"},
	{"the answer is not valid HTTP/1.1", "应答不是有效的 HTTP/1.1"},
	{"{1} is {2}, which endpoints may not reach", "{1} 是不允许访问的地址（{2}）"},
	{"the name {1} leads to {2}, which endpoints may not reach", "域名 {1} 指向不允许访问的地址（{2}）"},
	{"an error of this server, see its log", "本服务器出错，见其日志"},
	{"this server cannot send in the dialect {1}", "本服务器无法以方言 {1} 发送"},
	{"messages have run out of attempts since {1} without one success", "自 {1} 起，消息的尝试次数都已用完，没有一次成功"},
	{"the endpoint said that it is gone: {1}", "端点表示自己已不存在：{1}"},

	// Answers.
	{"answered success", "应答 success"},
	{"answered fail", "应答 fail"},
	{"answered the challenge", "正确应答了 challenge"},
	{"answered an empty body; the body must be the word success", "应答体为空；应为 success 一词"},
	{"answered something else than the word success", "应答的不是 success 一词"},
	{"answered success with something around it or in other letters; the body must be the bare word", "应答的 success 前后有其他内容或大小写不同；应只有这个词"},
	{"answered a whole page instead of the one word success", "应答了整个页面，而不是 success 一词"},
	{"the answer has no number err_no", "应答中没有数字 err_no"},
	{"the answer has no number data.error_code", "应答中没有数字 data.error_code"},
	{"answered {1} with webhook-delivery: disable", "应答 {1}，并带有 webhook-delivery: disable"},
	{"answered {1} with webhook-delivery: abort-message", "应答 {1}，并带有 webhook-delivery: abort-message"},
	{"answered {1}, but not with JSON whose code is 200", "应答 {1}，但内容不是 code 为 200 的 JSON"},
	{"answered {1}, but not with the text success", "应答 {1}，但内容不是 success"},
	{"answered {1}", "应答 {1}"},
}

var compiled = sync.OnceValue(func() []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, p := range phrases {
		text := regexp.QuoteMeta(p.en)
		text = strings.NewReplacer(`\{1\}`, `(\S+(?: \S+){0,3})`, `\{2\}`, `(.+)`).Replace(text)
		list = append(list, regexp.MustCompile("^"+text+"$"))
	}
	return list
})

// Original stands before what is not said in Chinese.
const Original = "原文："

// Chinese says in Chinese what a dialect, the engine or the network said in English, where it is one of a known set of sentences.
// Anything else is given back with a mark that it is the original: words of a receiver, of a driver, or rare ones of ours.
func Chinese(text string) string {
	if text == "" {
		return ""
	}
	for i, r := range compiled() {
		m := r.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		out := phrases[i].zh
		pairs := []string{}
		for n, v := range m[1:] {
			pairs = append(pairs, "{"+string(rune('1'+n))+"}", v)
		}
		return strings.NewReplacer(pairs...).Replace(out)
	}
	return Original + text
}
