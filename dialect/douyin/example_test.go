package douyin_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/douyin"
)

func Example() {
	body := `{"event":"life_trade_order_notify","client_key":"aw1","content":"{\"action\":\"pay_success\"}"}`
	r, _ := http.NewRequest("POST", "/callback", strings.NewReader(body))
	r.Header.Set("X-Douyin-Signature", "f498aa09accee15d53061da181a247a5586d55fc")
	r.Header.Set("Msg-Id", "7300000000000000001")

	settings := dialect.Set("client_secret", "0123456789abcdef0123456789abcdef")
	got, err := douyin.Dialect.Receive(settings, dialect.Inbound{Method: r.Method, Header: r.Header, Body: []byte(body)})
	switch {
	case err != nil:
		fmt.Println("answer 401:", err)
	case got.Reply != nil:
		fmt.Println("a verify_webhook; answer it with", string(got.Reply.Body))
	default:
		fmt.Println(got.EventType, string(got.Payload), got.EventID)
	}
	// Output: life_trade_order_notify.pay_success {"action":"pay_success"} 7300000000000000001
}
