package aop1688_test

import (
	"fmt"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/aop1688"
)

func Example() {
	body := "message=%7B%22data%22%3A%7B%22orderId%22%3A1%7D%2C%22msgId%22%3A42%2C%22type%22%3A%22ORDER_BUYER_VIEW_ORDER_PAY%22%7D" +
		"&_aop_signature=D3E06A3F53DE5C01C1D2DBB23F60CD3C94E8444C"

	settings := dialect.Set("app_secret", "test-app-secret")
	got, err := aop1688.Dialect.Receive(settings, dialect.Inbound{Body: []byte(body)})
	if err != nil {
		fmt.Println("answer 401:", err)
		return
	}
	fmt.Println(got.EventType, string(got.Payload), got.EventID)
	// Output: ORDER_BUYER_VIEW_ORDER_PAY {"orderId":1} 42
}
