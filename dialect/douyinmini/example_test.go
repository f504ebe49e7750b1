package douyinmini_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/douyinmini"
)

func Example() {
	body := `{"timestamp":"1760000000","nonce":"1234","msg":"{\"msg\":\"支付成功😀\"}","type":"payment",` +
		`"msg_signature":"b3eb2770abce8c8b658eaa0dce060e8040d57f98"}`
	r, _ := http.NewRequest("POST", "/callback", strings.NewReader(body))

	settings := dialect.Set("scheme", "legacy", "token", "testpaytoken")
	got, err := douyinmini.Dialect.Receive(settings, dialect.Inbound{
		Method: r.Method, Header: r.Header, Body: []byte(body),
		Now: time.Unix(1760000001, 0), // time.Now() outside of an example
	})
	if err != nil {
		fmt.Println("answer 401:", err)
		return
	}
	fmt.Println(got.EventType, string(got.Payload))
	answer := douyinmini.Dialect.Reply(settings, dialect.Outcome{Result: dialect.Stored, Received: &got})
	fmt.Println(answer.Status, string(answer.Body))
	// Output:
	// payment {"msg":"支付成功😀"}
	// 200 {"err_no":0,"err_tips":"success"}
}
