package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// chinese is the language other than English that facts are told in.
const chinese = "zh"

// storyTexts is the one catalogue of what a message's story can say, by code. Words in braces are parameters of the fact. Codes
// and parameters are part of the API: programs tell the story in other words or languages by them.
var storyTexts = map[string]dialect.Text{
	"message.published": {
		En: "Accepted at {at} through the API, with the event type {eventType}.",
		Zh: "{at} 通过 API 接收，事件类型为 {eventType}。",
	},
	"message.received": {
		En: "Accepted at {at} from the source {source} ({dialect}), with the event type {eventType}.",
		Zh: "{at} 由来源 {source}（{dialect}）接收，事件类型为 {eventType}。",
	},
	"message.received-gone": {
		En: "Accepted at {at} from the source {source}, which was deleted since, with the event type {eventType}.",
		Zh: "{at} 由来源 {source} 接收（该来源之后已被删除），事件类型为 {eventType}。",
	},
	"message.from": {
		En: "It was sent from {remote}.",
		Zh: "发送方地址为 {remote}。",
	},
	"message.eventId": {
		En: "Its sender calls it {eventId}.",
		Zh: "发送方给它的编号是 {eventId}。",
	},
	"message.unreadable": {
		En: "Its signature was right, but its content could not be read: {reason}.",
		Zh: "签名正确，但内容无法读取：{reason}。",
	},
	"message.expired": {
		En: "Its content has been removed: it cannot be sent any more.",
		Zh: "内容已被清除，无法再发送。",
	},
	"message.deliverAt": {
		En: "It was to be sent at {deliverAt}, not at once.",
		Zh: "按要求不立即发送，而是在 {deliverAt} 发送。",
	},
	"message.noEndpoints": {
		En: "The application has no endpoints.",
		Zh: "该应用没有任何端点。",
	},

	"endpoint.chosen": {
		En: "There is a delivery of the message to this endpoint.",
		Zh: "该消息有发往此端点的投递。",
	},
	"endpoint.deleted": {
		En: "The endpoint was deleted; what was pending for it was canceled.",
		Zh: "该端点已被删除，待投递的内容已取消。",
	},
	"endpoint.changed": {
		En: "The endpoint was changed at {updatedAt}, after the message was accepted; what follows is as it is configured now.",
		Zh: "该端点在 {updatedAt}（消息接收之后）被修改过；以下按当前配置说明。",
	},
	"endpoint.later": {
		En: "No delivery: the endpoint was made at {createdAt}, after the message was accepted.",
		Zh: "没有投递：端点创建于 {createdAt}，晚于消息接收时间。",
	},
	"endpoint.flag": {
		En: "No delivery: the event type {eventType} needs one of the feature flags {flags}, and the application has none of them.",
		Zh: "没有投递：事件类型 {eventType} 需要功能标志 {flags} 之一，而该应用都没有。",
	},
	"endpoint.polled": {
		En: "Nothing is sent to it: the endpoint is polled, and its messages are fetched.",
		Zh: "不会主动发送：该端点采用拉取方式，由对方来取消息。",
	},
	"endpoint.disabled": {
		En: "No delivery: the endpoint is disabled.",
		Zh: "没有投递：端点已停用。",
	},
	"endpoint.type": {
		En: "No delivery: its event types ({filterTypes}) do not include {eventType}.",
		Zh: "没有投递：端点订阅的事件类型（{filterTypes}）不包含 {eventType}。",
	},
	"endpoint.channel": {
		En: "No delivery: none of its channels ({channels}) is a channel of the message ({messageChannels}).",
		Zh: "没有投递：端点的频道（{channels}）与消息的频道（{messageChannels}）没有交集。",
	},
	"endpoint.other": {
		En: "No delivery was made, though it would match as configured now: its settings were others then, or the message was sent to one endpoint only.",
		Zh: "没有投递；按当前配置是匹配的：当时的配置不同，或该消息只发给了某一个端点。",
	},

	"attempts.earlier": {
		En: "The attempts before these are not shown.",
		Zh: "更早的尝试未列出。",
	},
	"attempt.success": {
		En: "{which} at {at}: answered {status} after {ms} ms, accepted.",
		Zh: "{at}，{which}：{ms} 毫秒后应答 {status}，已接受。",
	},
	"attempt.retry": {
		En: "{which} at {at}: answered {status} after {ms} ms, not accepted: {reason}.",
		Zh: "{at}，{which}：{ms} 毫秒后应答 {status}，未被接受：{reason}。",
	},
	"attempt.silent": {
		En: "{which} at {at}: no complete answer, ended after {ms} ms: {reason}.",
		Zh: "{at}，{which}：没有得到完整应答，{ms} 毫秒后结束：{reason}。",
	},
	"attempt.unsent": {
		En: "{which} at {at}: nothing was sent: {reason}.",
		Zh: "{at}，{which}：没有发出请求：{reason}。",
	},
	"attempt.refused": {
		En: "{which} at {at}: answered {status} after {ms} ms, refused for good: {reason}.",
		Zh: "{at}，{which}：{ms} 毫秒后应答 {status}，被明确拒收：{reason}。",
	},
	"attempt.gone": {
		En: "{which} at {at}: answered {status} after {ms} ms, the endpoint is gone: {reason}.",
		Zh: "{at}，{which}：{ms} 毫秒后应答 {status}，端点已不存在：{reason}。",
	},

	"state.delivered": {
		En: "It is delivered; nothing more is sent.",
		Zh: "已送达，不再发送。",
	},
	"state.refused": {
		En: "It is given up, because it was refused for good; once the cause is mended, waypost resend {message} sends it again.",
		Zh: "已放弃：被明确拒收；原因排除后，可用 waypost resend {message} 重新发送。",
	},
	"state.exhausted": {
		En: "It is given up: all {attempts} attempts of the schedule were made; once the cause is mended, waypost resend {message} sends it again.",
		Zh: "已放弃：重试计划中的 {attempts} 次尝试均已用完；原因排除后，可用 waypost resend {message} 重新发送。",
	},
	"state.canceled": {
		En: "It is canceled: nothing is sent any more on schedule.",
		Zh: "已取消：不再按计划发送。",
	},
	"next.planned": {
		En: "Attempt {n} is planned for {at}.",
		Zh: "第 {n} 次尝试计划在 {at}。",
	},
	"next.plannedOf": {
		En: "Attempt {n} of {total} is planned for {at}.",
		Zh: "第 {n} 次尝试（共 {total} 次）计划在 {at}。",
	},
	"next.due": {
		En: "Attempt {n} has been due since {at}: it is under way, or waits for its turn.",
		Zh: "第 {n} 次尝试自 {at} 起到期：正在进行或排队等候。",
	},
	"next.paused": {
		En: "Attempt {n} waits, because the endpoint is paused.",
		Zh: "第 {n} 次尝试在等待：端点已暂停。",
	},
	"next.unverified": {
		En: "Attempt {n} waits, because the endpoint is not verified yet.",
		Zh: "第 {n} 次尝试在等待：端点尚未通过验证。",
	},
	"next.unheard": {
		En: "Attempt {n} waits until somebody listens for this endpoint.",
		Zh: "第 {n} 次尝试在等待：目前没有人监听此端点。",
	},

	"next.unconnected": {
		En: "Attempt {n} waits until the application {appId} has a long connection open.",
		Zh: "第 {n} 次尝试在等待：应用 {appId} 目前没有长连接。",
	},
	"change.connect": {
		En: "Start the client of the application {appId}: it registers at {host}/websocket/register.do and keeps the connection. What waits is sent at once. Refused tries are in the log of the server.",
		Zh: "启动应用 {appId} 的长连接客户端：它在 {host}/websocket/register.do 注册并保持连接，等待中的消息会立即发送。被拒绝的连接见服务器日志。",
	},
	"change.listen": {
		En: "Listen: waypost listen --app {app} --endpoint {endpoint} --forward http://127.0.0.1:3000/hook.",
		Zh: "开始监听：waypost listen --app {app} --endpoint {endpoint} --forward http://127.0.0.1:3000/hook。",
	},
	"change.enable": {
		En: "Enable the endpoint (it is disabled: {reason}), then send the message again: waypost resend, or waypost recover for all.",
		Zh: "启用端点（停用原因：{reason}），然后重新发送：单条用 waypost resend，批量用 waypost recover。",
	},
	"change.unpause": {
		En: "Set paused to false: what is pending is sent at once.",
		Zh: "把 paused 设为 false，待投递的消息会立即发送。",
	},
	"change.verify": {
		En: "Verify the endpoint (POST …/endpoint/{endpoint}/verify), or set requireVerified to false.",
		Zh: "验证端点（POST …/endpoint/{endpoint}/verify），或把 requireVerified 设为 false。",
	},
	"change.resend": {
		En: "Send it again by hand: waypost resend {message} --endpoint {endpoint}.",
		Zh: "手动重发：waypost resend {message} --endpoint {endpoint}。",
	},
	"change.replay": {
		En: "waypost recover --missing --endpoint {endpoint} sends what was accepted before it would match.",
		Zh: "用 waypost recover --missing --endpoint {endpoint} 补发此前未匹配的消息。",
	},
	"change.flag": {
		En: "Give the application one of the feature flags {flags}; then waypost recover --missing sends the message.",
		Zh: "给应用加上功能标志 {flags} 之一，再用 waypost recover --missing 补发。",
	},
	"change.filterTypes": {
		En: "Add {eventType} to the endpoint's filterTypes; then waypost recover --missing sends the message.",
		Zh: "在端点的 filterTypes 中加入 {eventType}，再用 waypost recover --missing 补发。",
	},
	"change.channels": {
		En: "Add a channel of the message to the endpoint's channels, or set them to null; then waypost recover --missing sends the message.",
		Zh: "在端点的 channels 中加入消息的频道，或设为 null，再用 waypost recover --missing 补发。",
	},
	"change.timeout": {
		En: "Raise timeoutMs, which is {timeoutMs} now, or let the receiver answer before it works on the message.",
		Zh: "调大 timeoutMs（当前 {timeoutMs}），或让接收方先应答再处理。",
	},
	"change.timeoutSeen": {
		En: "Raise timeoutMs, which is {timeoutMs} now, or let the receiver answer before it works on the message: the slowest of its last answers that came took {slowestMs} ms.",
		Zh: "调大 timeoutMs（当前 {timeoutMs}），或让接收方先应答再处理：最近收到的应答中最慢的用了 {slowestMs} 毫秒。",
	},
	"change.credentials": {
		En: "The receiver answered {status}: set the same {setting} on both sides, or the header that it asks for. Whether the receiver checks the raw body, byte for byte, is the next thing to look at.",
		Zh: "接收方应答 {status}：请核对双方的 {setting} 是否一致，或补上它要求的请求头；其次检查接收方是否对原始请求体逐字节验签。",
	},
	"change.redirect": {
		En: "The receiver answered {status}, and redirects are not followed: set url to the final address.",
		Zh: "接收方应答 {status}，而重定向不会被跟随：请把 url 改成最终地址。",
	},
	"change.path": {
		En: "The receiver answered {status}: set url to the path that takes POST requests.",
		Zh: "接收方应答 {status}：请把 url 改成接受 POST 请求的路径。",
	},
	"change.rate": {
		En: "The receiver answered 429: set throttleRate to what it can take.",
		Zh: "接收方应答 429：请把 throttleRate 设为它能承受的速率。",
	},
	"change.throttle": {
		En: "The endpoint's throttleRate of {rate} a second is the limit: raise it, or remove it, if the receiver can take more.",
		Zh: "受端点 throttleRate（每秒 {rate} 次）限制：如果接收方能承受，请调大或取消。",
	},
	"change.appThrottle": {
		En: "The application's throttleRate of {rate} a second is the limit: raise it, or remove it, if the receivers can take more.",
		Zh: "受应用 throttleRate（每秒 {rate} 次）限制：如果接收方能承受，请调大或取消。",
	},
	"change.address": {
		En: "The address is not one that endpoints may reach: set url to a public one, or let the organisation add it to the application's allowCidrs.",
		Zh: "该地址不允许访问：请把 url 改成公网地址，或由组织把它加入应用的 allowCidrs。",
	},
	"change.client": {
		En: "No setting here: the application's client ended the connection, or lost it, before it acknowledged. Its log at the time of the attempt says more.",
		Zh: "无需修改这里的设置：应用的长连接客户端在确认之前断开了连接，请查看它在该时间的日志。",
	},
	"change.unreachable": {
		En: "Nobody answers at {url}: start the receiver, mend its network or certificate, or set url to where it is.",
		Zh: "{url} 没有应答：请启动接收方、修复网络或证书，或把 url 改成正确地址。",
	},
	"change.forward": {
		En: "The service behind waypost listen does not answer: start it, or listen with --forward and the address where it is.",
		Zh: "waypost listen 背后的服务没有应答：请启动它，或用 --forward 指定它所在的地址重新监听。",
	},
	"change.forwardPath": {
		En: "The service behind waypost listen answered {status}: listen with --forward and the URL that takes POST requests; redirects are not followed.",
		Zh: "waypost listen 背后的服务应答 {status}：请用 --forward 指定接受 POST 请求的地址重新监听；重定向不会被跟随。",
	},
	"change.recover": {
		En: "Mend the receiver, then waypost recover --endpoint {endpoint} sends what was given up. A longer retrySchedule would have gone on trying.",
		Zh: "修复接收方后，用 waypost recover --endpoint {endpoint} 补发已放弃的消息。更长的 retrySchedule 会继续重试。",
	},
	"change.receiver": {
		En: "No setting here: the reason is in the receiver, whose log at the time of the attempt says more.",
		Zh: "无需修改这里的设置：原因在接收方，请查看它在该时间的日志。",
	},

	"which.scheduled": {En: "Attempt {n}", Zh: "第 {n} 次尝试"},
	"which.manual":    {En: "An attempt by hand", Zh: "手动重发"},
	"which.noReason":  {En: "no reason is known", Zh: "原因未知"},
	"which.all":       {En: "none", Zh: "无"},
}

// storyText is a text of the catalogue in a language, with its parameters filled in.
func storyText(code, lang string, params map[string]string) string {
	text := storyTexts[code].En
	if lang == chinese {
		text = storyTexts[code].Zh
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		pairs = append(pairs, "{"+name+"}", params[name])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
