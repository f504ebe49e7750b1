package aop1688

import "github.com/waypost/waypost/dialect"

// examples are the order and logistics topics of the platform, by the names that it uses (its typing error in one of them included). The
// members are those of the one sample that was seen, which is of ORDER_BUYER_VIEW_ORDER_PAY.
var examples = []dialect.Example{
	order("ORDER_BUYER_VIEW_BUYER_MAKE", dialect.Text{En: "Order placed", Zh: "创建订单（买家视角）"}),
	{
		EventType: "ORDER_BUYER_VIEW_ORDER_PAY",
		Title:     dialect.Text{En: "Order paid", Zh: "订单付款（买家视角）"},
		Payload: []byte(`{"buyerMemberId":"b2b-1","orderId":1675390194205400001,"currentStatus":"waitsellersend","sellerMemberId":"b2b-2",` +
			`"msgSendTime":"2026-05-20 15:47:49"}`),
		Platform: map[string]string{"userInfo": "b2b-1"},
	},
	order("ORDER_BUYER_VIEW_ANNOUNCE_SENDGOODS", dialect.Text{En: "Goods sent", Zh: "订单发货（买家视角）"}),
	order("ORDER_BUYER_VIEW_PART_PART_SENDGOODS", dialect.Text{En: "Part of the goods sent", Zh: "订单部分发货（买家视角）"}),
	order("ORDER_BUYER_VIEW_ORDER_COMFIRM_RECEIVEGOODS", dialect.Text{En: "Receipt confirmed", Zh: "订单确认收货（买家视角）"}),
	order("ORDER_BUYER_VIEW_ORDER_SUCCESS", dialect.Text{En: "Order completed", Zh: "交易成功（买家视角）"}),
	order("ORDER_BUYER_VIEW_ORDER_SELLER_CLOSE", dialect.Text{En: "Order closed by the seller", Zh: "卖家关闭订单（买家视角）"}),
	order("ORDER_BUYER_VIEW_ORDER_BUYER_CLOSE", dialect.Text{En: "Order closed by the buyer", Zh: "买家关闭订单（买家视角）"}),
	order("LOGISTICS_BUYER_VIEW_TRACE", dialect.Text{En: "Logistics of an order changed", Zh: "物流单状态变更（买家视角）"}),
}

func order(kind string, title dialect.Text) dialect.Example {
	return dialect.Example{
		EventType: kind,
		Title:     title,
		Payload: []byte(`{"buyerMemberId":"b2b-1","orderId":1675390194205400001,"sellerMemberId":"b2b-2",` +
			`"msgSendTime":"2026-05-20 15:47:49"}`),
		Platform: map[string]string{"userInfo": "b2b-1"},
	}
}
