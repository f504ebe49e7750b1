package standard

import "github.com/waypost/waypost/dialect"

// examples have the event types that the spec names, in the shape that it recommends.
var examples = []dialect.Example{
	{
		EventType: "contact.created",
		Title:     dialect.Text{En: "A contact was created", Zh: "联系人已创建"},
		Payload:   []byte(`{"type":"contact.created","timestamp":"2026-01-01T00:00:00.000000Z","data":{"id":"8f0c2a54-51a7-4d0e-9a3e-7c1d9e2b6f10","type":"contact","fullName":"李雷","phoneNumber":"+86 10 5555 0100"}}`),
	},
	{
		EventType: "user.created",
		Title:     dialect.Text{En: "A user was created", Zh: "用户已创建"},
		Payload:   []byte(`{"type":"user.created","timestamp":"2026-01-01T00:00:01.000000Z","data":{"id":"0b7f3c1e-2f64-4a8b-b1de-5d9f6a1c7e22"}}`),
	},
	{
		EventType: "invoice.paid",
		Title:     dialect.Text{En: "An invoice was paid", Zh: "账单已支付"},
		Payload:   []byte(`{"type":"invoice.paid","timestamp":"2026-01-01T00:00:02.000000Z","data":{"id":"inv_2041","amount":"128.50","currency":"CNY"}}`),
	},
}
