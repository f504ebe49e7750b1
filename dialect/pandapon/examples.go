package pandapon

import "github.com/waypost/waypost/dialect"

// examples are the events that PandaPon's documentation and that of its sibling Xport show: order and after-sales
// messages. The codes are an open set.
var examples = []dialect.Example{
	{
		EventType: "ORDER_CREATE",
		Title:     dialect.Text{En: "Order created", Zh: "订单创建"},
		Platform:  map[string]string{"messagePlatform": "1"},
		Payload: []byte(`{"orderId":"3300000000000000101","orderNo":"PO2026052000101","orderStatus":"WAITING_FOR_PAYMENT","payStatus":1,` +
			`"totalAmount":12800,"shippingFee":800,"productAmount":12000,"refundAmount":0,"refundStatus":null,"closeReason":null,` +
			`"tbCreateTime":"2026-05-20 15:40:00","payTime":null}`),
	},
	{
		EventType: "ORDER_PAY_SUCCESS",
		Title:     dialect.Text{En: "Order paid", Zh: "订单支付成功"},
		Platform:  map[string]string{"messagePlatform": "1"},
		Payload: []byte(`{"orderId":"3300000000000000101","orderNo":"PO2026052000101","orderStatus":"WAITING_FOR_SENT","payStatus":2,` +
			`"totalAmount":12800,"shippingFee":800,"productAmount":12000,"refundAmount":0,"refundStatus":null,"closeReason":null,` +
			`"tbCreateTime":"2026-05-20 15:40:00","payTime":"2026-05-20 15:42:31"}`),
	},
	{
		EventType: "ORDER_CANCEL",
		Title:     dialect.Text{En: "Order cancelled by the buyer", Zh: "买家取消订单"},
		Platform:  map[string]string{"messagePlatform": "0"},
		Payload: []byte(`{"orderId":"3300000000000000102","orderNo":"PO2026052000102","orderStatus":"CANCEL","payStatus":1,` +
			`"totalAmount":5900,"shippingFee":0,"productAmount":5900,"refundAmount":0,"refundStatus":null,"closeReason":"buyer_cancel",` +
			`"tbCreateTime":"2026-05-20 16:02:10","payTime":null}`),
	},
	{
		EventType: "ORDER_BUYER_VIEW_ORDER_PRICE_MODIFY",
		Title:     dialect.Text{En: "Order price changed", Zh: "订单改价"},
		Platform:  map[string]string{"messagePlatform": "1"},
		Payload: []byte(`{"orderId":"3300000000000000103","orderNo":"PO2026052000103","orderStatus":"WAITING_FOR_PAYMENT","payStatus":1,` +
			`"totalAmount":11800,"shippingFee":300,"productAmount":11500,"refundAmount":0,"refundStatus":null,"closeReason":null,` +
			`"tbCreateTime":"2026-05-20 16:20:45","payTime":null}`),
	},
	{
		EventType: "ORDER_BUYER_VIEW_ORDER_BUYER_REFUND",
		Title:     dialect.Text{En: "After-sales: refund requested", Zh: "售后退款"},
		Platform:  map[string]string{"messagePlatform": "1"},
		Payload:   []byte(`{"refundId":"TQ3300000000000000901","orderId":"3300000000000000101"}`),
	},
}
