package douyin

import "github.com/waypost/waypost/dialect"

// examples are the events whose content the platform's pages show: certificates (trade.certificate.notify) and orders
// (trade.order.notify) of the life services. The platform's from_user_id is in the sample, not in the table of members.
var examples = []dialect.Example{
	{
		EventType: "life_trade_certificate_notify.verify",
		Title:     dialect.Text{En: "Certificate redeemed", Zh: "券核销"},
		Platform:  map[string]string{"from_user_id": "f6e35c98-1e53-4943-ad6d-f476f869deab"},
		Payload:   []byte(`{"action":"verify","msg_time":1760000000,"certificate":{"order_id":"800001","certificate_id":"700001","account_id":"900001"}}`),
	},
	{
		EventType: "life_trade_certificate_notify.verify_cancel",
		Title:     dialect.Text{En: "Redemption revoked (third-party code)", Zh: "撤销核销（三方码）"},
		Payload:   []byte(`{"action":"verify_cancel","msg_time":1760000060,"certificate":{"order_id":"800001","certificate_id":"700001","code":"3RD/CODE+01 ==","account_id":"900001"}}`),
	},
	{
		EventType: "life_trade_certificate_notify.refund_success",
		Title:     dialect.Text{En: "Certificate refunded", Zh: "券退款成功"},
		Payload:   []byte(`{"action":"refund_success","msg_time":1760000120,"certificate":{"order_id":"800001","certificate_id":"700001","account_id":"900001"}}`),
	},
	{
		EventType: "life_trade_order_notify.pay_success",
		Title:     dialect.Text{En: "Order paid", Zh: "订单支付成功"},
		Payload:   []byte(`{"action":"pay_success","msg_time":1760000003,"order":{"order_id":"800002","account_id":"900001","pay_amount":9900,"original_amount":12800,"create_time":1759999990,"pay_time":1760000000}}`),
	},
}
