package yunzhimeng

import "github.com/waypost/waypost/dialect"

// examples are the events of section 7.1 of the manual. Their codes and titles are the platform's. Their bodies are made
// up: the section that describes them (7.3) is not public. ACCEPT_WAYBILL stands there twice, and the recharge event's
// code may have been cut short in print, so that both of its spellings are here.
var examples = []dialect.Example{
	example("INVOICE_CREATE", "Invoice requested", "发票申请", `{"invoiceNo":"FP202601010001","orderNo":"DD202601010001","invoiceStatus":"REGISTERED","invoiceAmount":"12800.00","taxRate":"0.09","buyerName":"测试物流有限公司","registerTime":"2026-01-01 10:00:00"}`),
	example("COMPANY_AUDIT", "Company audited", "企业审核", `{"companyId":"QY10001","companyName":"测试物流有限公司","creditCode":"91310000MA1K000000","auditStatus":"PASS","auditRemark":"","auditTime":"2026-01-01 10:05:00"}`),
	example("USER_AUDIT", "Personal user audited", "个人用户审核", `{"userId":"YH10001","userName":"张三","phone":"13800138000","idCardNum":"11010119900307123X","auditStatus":"PASS","auditRemark":"","auditTime":"2026-01-01 10:10:00"}`),
	example("FREIGHT_RECHAR", "Freight account recharged (code as the manual prints it)", "网货充值（官方文档所印编码）", `{"rechargeNo":"CZ202601010001","companyId":"QY10001","amount":"100000.00","rechargeStatus":"SUCCESS","bankSerialNo":"2026010100000001","rechargeTime":"2026-01-01 10:15:00"}`),
	example("FREIGHT_RECHARGE", "Freight account recharged (code in full, probable)", "网货充值（可能的完整编码）", `{"rechargeNo":"CZ202601010002","companyId":"QY10001","amount":"50000.00","rechargeStatus":"SUCCESS","bankSerialNo":"2026010100000002","rechargeTime":"2026-01-01 10:20:00"}`),
	example("CONTRACT_SIGN", "Contract signed", "合同签署", `{"contractNo":"HT202601010001","contractName":"网络货运服务合同","companyId":"QY10001","signStatus":"SIGNED","signTime":"2026-01-01 10:25:00"}`),
	example("WAYBILL_CONTRACT", "Transport contract signed", "运输合同签署", `{"contractNo":"YS202601010001","waybillNo":"YD202601010001","driverName":"张三","idCardNo":"11010119900307123X","signStatus":"SIGNED","signTime":"2026-01-01 10:30:00"}`),
	example("COLLECTION_CONTRACT_SIGN", "Collection contract signed", "代收合同签署", `{"contractNo":"DS202601010001","payeeName":"李四","idCardNo":"110101199003071233","driverName":"张三","signStatus":"SIGNED","signTime":"2026-01-01 10:35:00"}`),
	example("OPEN_ACCOUNT", "Account opened", "开户", `{"accountNo":"ZH10001","accountType":"PERSONAL","accountName":"张三","phone":"13800138000","idCard":"11010119900307123X","openStatus":"SUCCESS","openTime":"2026-01-01 10:40:00"}`),
	example("CREATE_WAYBILL", "Waybill created", "运单创建", `{"waybillNo":"YD202601010001","orderNo":"DD202601010001","waybillStatus":"CREATED","goodsName":"钢材","goodsWeight":"32.50","freightAmount":"6800.00","createTime":"2026-01-01 10:45:00"}`),
	example("ACCEPT_WAYBILL", "Waybill accepted by the driver", "运单接单", `{"waybillNo":"YD202601010001","waybillStatus":"ACCEPTED","plateNumber":"京A12345","driver":{"name":"张三","phone":"13800138000"},"acceptTime":"2026-01-01 10:50:00"}`),
	example("CAR_DRIVER", "Vehicle and driver audited", "运力审核", `{"carId":"CL10001","plateNumber":"京A12345","drivers":[{"name":"张三","phone":"13800138000","idCardNum":"11010119900307123X"}],"auditStatus":"PASS","auditTime":"2026-01-01 10:55:00"}`),
	example("CREATE_ORDER", "Order created", "创建订单", `{"orderNo":"DD202601010001","orderStatus":"CREATED","loadAddress":"北京市大兴区","unloadAddress":"天津市滨海新区","goodsName":"钢材","createTime":"2026-01-01 11:00:00"}`),
	example("UPDATE_WAYBILL", "Waybill edited", "运单编辑", `{"waybillNo":"YD202601010001","waybillStatus":"ACCEPTED","freightAmount":"7000.00","updateTime":"2026-01-01 11:05:00"}`),
	example("PICK_GOODS", "Departure reported over the interface", "起运", `{"waybillNo":"YD202601010001","waybillStatus":"TRANSPORTING","loadWeight":"32.50","pickTime":"2026-01-01 11:10:00"}`),
	example("ARRIVE", "Arrival reported over the interface", "运抵", `{"waybillNo":"YD202601010001","waybillStatus":"ARRIVED","unloadWeight":"32.48","arriveTime":"2026-01-01 15:10:00"}`),
	example("DRIVER_PICK_GOODS", "Driver departed", "司机起运", `{"waybillNo":"YD202601010002","waybillStatus":"TRANSPORTING","driverName":"张三","pickTime":"2026-01-01 11:15:00"}`),
	example("DRIVER_ARRIVE", "Driver arrived", "司机运抵", `{"waybillNo":"YD202601010002","waybillStatus":"ARRIVED","driverName":"张三","arriveTime":"2026-01-01 15:15:00"}`),
	example("PAY_WAYBILL", "Waybill paid", "运单支付", `{"waybillNo":"YD202601010001","payNo":"ZF202601010001","payAmount":"7000.00","payStatus":"SUCCESS","payTime":"2026-01-01 16:00:00"}`),
	example("COMMISSION", "Commission withdrawn", "佣金提现", `{"withdrawNo":"TX202601010001","amount":"350.00","withdrawStatus":"SUCCESS","withdrawTime":"2026-01-01 17:00:00"}`),
}

func example(code, en, zh, payload string) dialect.Example {
	return dialect.Example{EventType: code, Title: dialect.Text{En: en, Zh: zh}, Payload: []byte(payload)}
}
