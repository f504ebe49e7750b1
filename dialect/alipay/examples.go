package alipay

import "github.com/waypost/waypost/dialect"

// examples are the six messages of mini-program development by third-party platforms. The misspelt min_app_id of the
// second is the platform's.
var examples = []dialect.Example{
	{
		EventType: "alipay.open.auth.appauth.cancelled",
		Title:     dialect.Text{En: "A merchant withdrew its authorisation of the third-party application", Zh: "第三方应用授权取消通知"},
		Payload:   []byte(`{"app_auth_token":"211203BB6e8df9252c9e179d9f4c94d57d510X00","app_id":"2014072300007148","auth_app_id":"2013072300101234","user_id":"2088100000034011"}`),
	},
	{
		EventType: "alipay.open.mini.merchant.confirmed",
		Title:     dialect.Text{En: "A merchant answered the request to create a mini program", Zh: "商户确认服务商代创建小程序结果通知"},
		Payload:   []byte(`{"order_no":"2394834823942343","out_order_no":"23948392483253534535","min_app_id":"20218324729872","status":"PROCESS","pid":"2088002306330746"}`),
	},
	{
		EventType: "alipay.open.mini.merchant.fastregister.changed",
		Title:     dialect.Text{En: "A merchant answered the request to create a trial mini program", Zh: "商户确认服务商代创建试用小程序结果通知"},
		Payload:   []byte(`{"order_no":"2394834823942343","out_order_no":"23948392483253534535","merchant_app_id":"20218324729872","status":"CREATE_MINI_APP_SUCCESS","app_name":"张三的试用小程序","merchant_id":"208121234234324234234324"}`),
	},
	{
		EventType: "alipay.open.mini.version.audit.passed",
		Title:     dialect.Text{En: "A version of a mini program passed review", Zh: "小程序审核通过通知"},
		Payload:   []byte(`{"mini_app_id":"2014072300007148"}`),
	},
	{
		EventType: "alipay.open.mini.version.audit.rejected",
		Title:     dialect.Text{En: "A version of a mini program was rejected", Zh: "小程序审核驳回通知"},
		Payload:   []byte(audit("REJECT")),
	},
	{
		EventType: "alipay.open.mini.version.baseaudit.passed",
		Title:     dialect.Text{En: "A version of a mini program passed the basic review but may not be promoted", Zh: "小程序审核不可营销通知"},
		Payload:   []byte(audit("PASS")),
	},
}

// audit is the content of the two messages about a review that did not pass in full.
func audit(base string) string {
	const reason = `{"audit_images":["xxx.png"],"memos":[{"memo":"JS错误检测:发现JS错误,请及时优化","memo_image_list":["xxx.png"]}]}`
	return `{"mini_app_id":"2014072300007148","bundle_id":"com.alipay.alipaywallet","mini_app_version":"0.0.1",` +
		`"audit_reason":"JS错误检测:发现JS错误,请及时优化","base_audit":"` + base + `","promote_audit":"REJECT",` +
		`"base_audit_reason":` + reason + `,"promote_audit_reason":` + reason + `}`
}
