package alipay

import "github.com/waypost/waypost/dialect"

// The names of the settings.
const (
	fAppID           = "app_id"
	fAlipayPublicKey = "alipay_public_key"
	fAppPrivateKey   = "app_private_key"
	fPlatformKey     = "platform_private_key"
	fAppPublicKey    = "app_public_key"
	fAESKey          = "aes_key"
	fSignType        = "sign_type"
	fCharset         = "charset"
	fRuleOverrides   = "rule_overrides"
	fCertSN          = "alipay_cert_sn"
	fMaxAge          = "max_age"
	fDedupFor        = "dedup_for"
	fGatewayContent  = "gateway_check_biz_content"
	fAckWord         = "ack_word"
	fAckStatus       = "ack_status"
	fDeadline        = "deadline"
	fRetryTable      = "retry_table"
	fRetrySchedule   = "retry_schedule"
)

// The choices of settings whose facts are not settled.
const (
	ackAnyCase       = "any_case"
	ackStrict        = "strict"
	ackInternational = "international"

	certSNSigned   = "signed"
	certSNUnsigned = "unsigned"

	tableMessage       = "message"
	tablePayment       = "payment"
	tablePaymentLegacy = "payment-legacy"
)

var fields = []dialect.Field{
	{
		Name: fAppID, Kind: dialect.KindText, Receiving: dialect.Optional, Sending: dialect.Required,
		Help: dialect.Text{
			En: "The application that receives. Receiving: a message for another one is refused; not set = any that the key verifies.",
			Zh: "接收消息的应用 APPID。接收时:其他应用的消息会被拒绝;不填则密钥能验签的都接收。",
		},
	},
	{
		Name: fAlipayPublicKey, Kind: dialect.KindKey, Several: true, Shared: true, Receiving: dialect.Required,
		Help: dialect.Text{
			En: "Alipay's public key, or in certificate mode the content of alipayCertPublicKey_RSA2.crt. In the console: the application, development settings, signing method. Not the application's own public key.",
			Zh: "支付宝公钥;证书模式填 alipayCertPublicKey_RSA2.crt 的内容。在开放平台控制台:应用 - 开发设置 - 接口加签方式。不是应用公钥。",
		},
	},
	{
		Name: fAppPrivateKey, Kind: dialect.KindKey, Secret: true, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "The application's private key, made by the developer. The answer to the gateway check is signed with it, and whatever a long connection sends.",
			Zh: "应用私钥,由开发者生成。用于对应用网关验证的响应以及长连接发出的内容加签。",
		},
	},
	{
		Name: fPlatformKey, Kind: dialect.KindKey, Secret: true, Several: true, Shared: true, Sending: dialect.Required,
		Help: dialect.Text{
			En: "The sending platform's private key. Its public half is what developers enter as the Alipay public key. The first one signs.",
			Zh: "发送方(平台)的私钥,其公钥即开发者填写的“支付宝公钥”。使用第一个加签。",
		},
	},
	{
		Name: fAppPublicKey, Kind: dialect.KindKey, Several: true, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "The developer's application public key, or the certificate. With it, the answer to the gateway check must be signed; not set = only its form is judged. A long connection needs it.",
			Zh: "开发者的应用公钥或应用公钥证书。填写后校验应用网关验证响应的签名;不填则只检查格式。长连接必填。",
		},
	},
	{
		Name: fAESKey, Kind: dialect.KindText, Secret: true, Several: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "The application's key for content encryption (AES, base64). Receiving: all live keys open. Sending: when set, content is encrypted with the first.",
			Zh: "接口内容加密方式中的 AES 密钥(base64)。接收时所有有效密钥均可解密;发送时设置后用第一个加密。",
		},
	},
	{
		Name: fSignType, Kind: dialect.KindChoice, Choices: []string{RSA2, RSA, SM2}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: RSA2,
		Help: dialect.Text{
			En: "The signature algorithm. Sending: RSA2 when not set. Receiving: when set, only this one is accepted, also where a request names none; not set = what the request names, and one that names none is refused.",
			Zh: "签名算法。发送默认 RSA2。接收时:设置后只接受该算法(请求未带 sign_type 时也按此验签);不设置则按请求中的 sign_type,未带则拒绝。",
		},
	},
	{
		Name: fCharset, Kind: dialect.KindChoice, Choices: []string{charsetUTF8, charsetGBK}, Sending: dialect.Optional, Default: charsetUTF8,
		Help: dialect.Text{
			En: "The charset in which messages are sent and signed.",
			Zh: "发送消息及签名使用的字符集。",
		},
	},
	{
		Name: fRuleOverrides, Kind: dialect.KindList, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "Messages that are signed by another rule than usual, each as name=V1 or name=V2. Usual is V1 (sign_type not signed), and V2 for requests with service and no msg_method.",
			Zh: "签名规则与默认不同的消息,每项为 消息名=V1 或 消息名=V2。默认 V1(sign_type 不参与签名);带 service 且无 msg_method 的请求为 V2。",
		},
	},
	{
		Name: fCertSN, Kind: dialect.KindChoice, Choices: []string{certSNSigned, certSNUnsigned}, Shared: true,
		Receiving: dialect.Optional, Default: certSNSigned,
		Help: dialect.Text{
			En: "Whether a parameter alipay_cert_sn of a message is covered by the signature, which is not known. unsigned: a message that fails with it is tried without it, and the parameter is dropped.",
			Zh: "消息中的 alipay_cert_sn 是否参与签名(官方未明确)。unsigned:带上验签失败时去掉该参数再验,并丢弃它。",
		},
	},
	{
		Name: fMaxAge, Kind: dialect.KindDuration, Receiving: dialect.Optional, Default: "half of dedup_for",
		Help: dialect.Text{
			En: "Refuse messages whose signed time is further from now than this. At most half of dedup_for, which is the limit when not set: it is not certain that a repeat carries a new time.",
			Zh: "拒绝签名时间与当前相差超过该值的消息。不得超过 dedup_for 的一半,不设置时即为该值:无法确定重发时是否更新时间。",
		},
	},
	{
		Name: fDedupFor, Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{
			En: "How long a notify_id is remembered. A signed time further from now than half of it is refused as a replay.",
			Zh: "notify_id 的去重时长。签名时间与当前相差超过其一半的请求按重放拒绝。",
		},
	},
	{
		Name: fGatewayContent, Kind: dialect.KindBool, Receiving: dialect.Optional, Default: "false",
		Help: dialect.Text{
			En: "Answer the gateway check with the application's public key in biz_content, as older consoles wanted.",
			Zh: "应用网关验证的响应中带 biz_content(应用公钥),旧版控制台需要。",
		},
	},
	{
		Name: fAckWord, Kind: dialect.KindChoice, Choices: []string{ackAnyCase, ackStrict, ackInternational}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: ackAnyCase,
		Help: dialect.Text{
			En: "The acknowledgement. any_case: success in any case, blanks around it allowed. strict: exactly success. international: SUCCESS, which is then also what a receiver answers.",
			Zh: "应答内容。any_case:success 不区分大小写,允许首尾空白;strict:必须恰好为 success;international:SUCCESS(接收方也如此应答)。",
		},
	},
	{
		Name: fAckStatus, Kind: dialect.KindChoice, Choices: []string{"200", "2xx"}, Shared: true, Sending: dialect.Optional, Default: "200",
		Help: dialect.Text{
			En: "The HTTP status that an acknowledgement must have; the platform's documents name none.",
			Zh: "应答的 HTTP 状态码要求;官方文档未说明。",
		},
	},
	{
		Name: fDeadline, Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "16s",
		Help: dialect.Text{
			En: "How long one attempt may take. 16 s stands in a delivery record of the platform; it is no promise.",
			Zh: "单次推送的超时时间。16 秒取自平台的推送记录,并非承诺。",
		},
	},
	{
		Name: fRetryTable, Kind: dialect.KindChoice, Choices: []string{tableMessage, tablePayment, tablePaymentLegacy}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: tableMessage,
		Help: dialect.Text{
			En: "Which of the platform's tables spaces the attempts. message: 2m 10m 10m 1h 2h 6h 15h. payment: three at once, then 4m 10m 10m 1h 2h 6h 15h. payment-legacy: without the three.",
			Zh: "重试间隔表。message:2m 10m 10m 1h 2h 6h 15h;payment:先立即重发三次,再 4m 10m 10m 1h 2h 6h 15h;payment-legacy:无立即重发。",
		},
	},
	{
		Name: fRetrySchedule, Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "Own waits between attempts, with commas, instead of a table.",
			Zh: "自定义重试间隔,逗号分隔,代替间隔表。",
		},
	},
}
