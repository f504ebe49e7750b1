package douyinmini

import "github.com/waypost/waypost/dialect"

// examples are callbacks of the trade system. The members of a payment are the ones that were seen; of a refund no
// sample was, so it has those that both must share.
var examples = []dialect.Example{
	{
		EventType: "payment",
		Title:     dialect.Text{En: "Payment result", Zh: "支付结果"},
		Payload:   []byte(`{"app_id":"tt0001","out_order_no":"o1","order_id":"800001","status":"SUCCESS","total_amount":9900}`),
	},
	{
		EventType: "refund",
		Title:     dialect.Text{En: "Refund result", Zh: "退款结果"},
		Payload:   []byte(`{"app_id":"tt0001","order_id":"800001","status":"SUCCESS","message":"退款成功，原路返回"}`),
	},
}
