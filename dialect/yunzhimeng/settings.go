package yunzhimeng

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// The names of the settings. The four keys are called as in the platform's manual, where "sign" is the receiver's pair
// and "ivs" the platform's.
const (
	setIVSPublic     = "ivs_public_key"
	setSignSecret    = "sign_secret_key"
	setIVSPrivate    = "ivs_private_key"
	setSignPublic    = "sign_public_key"
	setSignedText    = "signed_text"
	setAlgorithm     = "signature_algorithm"
	setSigEncoding   = "signature_encoding"
	setTimeUnit      = "timestamp_unit"
	setFields        = "encrypted_fields"
	setCipher        = "field_cipher"
	setFieldEncoding = "field_encoding"
	setPlainFields   = "plain_fields"
	setSuccess       = "success"
	setRecharge      = "recharge_code"
	setTestCode      = "test_event_code"
	setMaxSkew       = "max_skew"
	setDedupFor      = "dedup_for"
	setDeadline      = "deadline"
	setSchedule      = "retry_schedule"
)

// The defaults and choices that more than one place knows.
const (
	defaultSignedText  = "body_le64ts_le64nonce"
	defaultSigEncoding = "der_base64"
	defaultCodec       = "base64"
	defaultTestCode    = "CALLBACK_TEST"
	unitMilliseconds   = "ms"
	unitSeconds        = "s"
	plainKeep          = "keep"
	plainFlag          = "flag"
	successStatus      = "http_200"
	successCode        = "json_code_200"
	successText        = "text_success"
	rechargeAsGiven    = "as_given"
	rechargePrinted    = "FREIGHT_RECHAR"
	rechargeWhole      = "FREIGHT_RECHARGE"
)

// defaultFields is the beginning of the list in the platform's demo, which is all of it that could be read.
var defaultFields = []string{"idCardNum", "phone", "password", "idCardNo", "idCard"}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var fields = slices.Concat(keyFields, signatureFields, cipherFields, deliveryFields)

var keyFields = []dialect.Field{
	{
		Name: setIVSPublic, Kind: dialect.KindKey, Several: true, Shared: true, Receiving: dialect.Required,
		Help: dialect.Text{
			En: "The platform's public key, which checks X-Signature. Yunzhimeng's staff hand it over; PEM or one line of base64 (X.509). Several keys may be live during a change.",
			Zh: "服务端（运之盟）公钥，用于验签。由运之盟技术人员提供；PEM 或单行 base64（X.509）。更换期间可同时填写多个。",
		},
	},
	{
		Name: setSignSecret, Kind: dialect.KindKey, Secret: true, Several: true, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "Your own private key, which opens encrypted fields. PEM or one line of base64 (PKCS#8). Without it fields are delivered as they came.",
			Zh: "客户端（接口对接方）私钥，用于解密涉密字段。PEM 或单行 base64（PKCS#8）。不填写则按原样投递。",
		},
	},
	{
		Name: setIVSPrivate, Kind: dialect.KindKey, Secret: true, Several: true, Shared: true, Sending: dialect.Required,
		Help: dialect.Text{
			En: "The platform's private key, which signs callbacks; the first of several signs. PEM or one line of base64 (PKCS#8).",
			Zh: "服务端（平台）私钥，用于签名；填写多个时由第一个签名。PEM 或单行 base64（PKCS#8）。",
		},
	},
	{
		Name: setSignPublic, Kind: dialect.KindKey, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "The receiver's public key, to which the listed fields are encrypted. Without it they go out in clear. PEM or one line of base64 (X.509).",
			Zh: "客户端（接口对接方）公钥，用于加密涉密字段；不填写则不加密。PEM 或单行 base64（X.509）。",
		},
	},
}

var signatureFields = []dialect.Field{
	{
		Name: setSignedText, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: defaultSignedText, Choices: sortedNames(textForms),
		Help: dialect.Text{
			En: "What is signed. The manual does not say; the default is the likeliest of seven forms. le64 and be64 are 8-byte integers, ts and nonce are digits, lines ends each part with a line feed. Under \"body\" time and nonce are not signed.",
			Zh: "待签名内容。官方文档未说明，默认值为七种可能中最可能的一种。le64、be64 为 8 字节整数，ts、nonce 为十进制数字，lines 为每段后加换行。选 body 时时间戳与随机数不参与签名。",
		},
	},
	{
		Name: setAlgorithm, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: algorithmAuto, Choices: []string{algorithmAuto, sha256WithECDSA, sha1WithECDSA, sm3WithSM2, sha256WithRSA},
		Help: dialect.Text{
			En: "How the signature is made. auto takes it from the key: SM3withSM2 on sm2p256v1, SHA256withECDSA on other curves, SHA256withRSA for RSA.",
			Zh: "签名算法。auto 由密钥决定：sm2p256v1 用 SM3withSM2，其他曲线用 SHA256withECDSA，RSA 用 SHA256withRSA。",
		},
	},
	{
		Name: setSigEncoding, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: defaultSigEncoding, Choices: sortedNames(sigFormats),
		Help: dialect.Text{
			En: "How X-Signature is written: DER or r and s side by side (raw), in base64 or hex.",
			Zh: "X-Signature 的写法：DER 或 r、s 直接拼接（raw），base64 或十六进制。",
		},
	},
	{
		Name: setTimeUnit, Kind: dialect.KindChoice, Shared: true, Sending: dialect.Optional,
		Default: unitMilliseconds, Choices: []string{unitMilliseconds, unitSeconds},
		Help: dialect.Text{
			En: "The unit of X-Timestamp when sending. When receiving it is told by size.",
			Zh: "发送时 X-Timestamp 的单位；接收时按数值大小判断。",
		},
	},
	{
		Name: setMaxSkew, Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "half of dedup_for",
		Help: dialect.Text{
			En: "How far the signed time may be from now, both ways, before the request is refused as a replay. At most half of dedup_for, so that what was forgotten is too old to come again.",
			Zh: "签名时间与当前时间允许的最大偏差（前后），超出视为重放。不超过 dedup_for 的一半，使已遗忘的消息必然过期。",
		},
	},
}

var cipherFields = []dialect.Field{
	{
		Name: setFields, Kind: dialect.KindList, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: strings.Join(defaultFields, ","),
		Help: dialect.Text{
			En: "The members whose strings are encrypted, at any depth of the body. The default is the readable beginning of the list in the platform's demo.",
			Zh: "需要加密的字段名，任意层级的字符串值。默认值为官方示例中可读到的部分。",
		},
	},
	{
		Name: setCipher, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: cipherAuto, Choices: append([]string{cipherAuto}, sortedNames(fieldCiphers)...),
		Help: dialect.Text{
			En: "How fields are encrypted. auto takes it from the key: sm2_c1c3c2 on sm2p256v1, ecies (BouncyCastle) on other curves, rsa_pkcs1 for RSA.",
			Zh: "字段加密算法。auto 由密钥决定：sm2p256v1 用 sm2_c1c3c2，其他曲线用 ecies（BouncyCastle），RSA 用 rsa_pkcs1。",
		},
	},
	{
		Name: setFieldEncoding, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: defaultCodec, Choices: sortedNames(codecs),
		Help: dialect.Text{En: "The text form of an encrypted field.", Zh: "加密字段的文本形式。"},
	},
	{
		Name: setPlainFields, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional,
		Default: plainKeep, Choices: []string{plainKeep, plainFlag},
		Help: dialect.Text{
			En: "What a listed field in clear means: keep takes it as it is, flag marks the message as unreadable.",
			Zh: "涉密字段为明文时：keep 原样保留，flag 将消息标记为不可读。",
		},
	},
}

var deliveryFields = []dialect.Field{
	{
		Name: setSuccess, Kind: dialect.KindChoice, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Default: successStatus, Choices: []string{successStatus, successCode, successText},
		Help: dialect.Text{
			En: "What acknowledges a callback: any answer with HTTP 200, HTTP 200 with JSON whose code is 200, or HTTP 200 with the text success.",
			Zh: "何为成功：HTTP 200；HTTP 200 且 JSON 中 code 为 200；HTTP 200 且正文为 success。",
		},
	},
	{
		Name: setRecharge, Kind: dialect.KindChoice, Shared: true, Sending: dialect.Optional,
		Default: rechargeAsGiven, Choices: []string{rechargeAsGiven, rechargePrinted, rechargeWhole},
		Help: dialect.Text{
			En: "How the recharge event is spelled when sending. The manual prints FREIGHT_RECHAR, probably FREIGHT_RECHARGE cut short. Receiving takes both as they come.",
			Zh: "发送时网货充值事件的编码。官方文档印作 FREIGHT_RECHAR，可能是 FREIGHT_RECHARGE 被截断。接收时原样保留。",
		},
	},
	{
		Name: setTestCode, Kind: dialect.KindText, Shared: true, Sending: dialect.Optional, Default: defaultTestCode,
		Help: dialect.Text{
			En: "The event code of the signed test callback that verifies an endpoint. The platform has no such test; choose a code that the receiver acknowledges without effect.",
			Zh: "验证回调地址时所发测试通知的事件编码。平台本身无此功能；请选择接收方会确认且无副作用的编码。",
		},
	},
	{
		Name: setDedupFor, Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{En: "How long a callback is remembered to recognise its repeats.", Zh: "去重记忆时长。"},
	},
	{
		Name: setDeadline, Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "5s",
		Help: dialect.Text{En: "How long one call may take. The manual does not say.", Zh: "单次调用超时时间，官方文档未说明。"},
	},
	{
		Name: setSchedule, Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "5s,30s",
		Help: dialect.Text{
			En: "The waits between calls, with commas. The manual promises three calls in all and no spacing.",
			Zh: "各次调用之间的间隔，逗号分隔。官方文档规定最多调用 3 次，未说明间隔。",
		},
	},
}

// memory is how long the receiver remembers a callback.
func memory(s dialect.Settings) time.Duration {
	if d := s.Duration(setDedupFor, defaultMemory); d > 0 {
		return d
	}
	return defaultMemory
}

// skew is how far a signed time may be off. It is never more than half of the memory: a message is accepted no earlier
// than skew before its time and no later than skew after it, so that its key is still remembered as long as it is valid.
func skew(s dialect.Settings) time.Duration {
	most := memory(s) / 2
	if d := s.Duration(setMaxSkew, most); d > 0 && d < most {
		return d
	}
	return most
}
