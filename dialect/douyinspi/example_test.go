package douyinspi_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/douyinspi"
)

func Example() {
	body := `{"order_id":"800001"}`
	r, _ := http.NewRequest("POST", "/spi?client_key=awtestclientkey01&timestamp=1760000000123", strings.NewReader(body))
	r.Header.Set("x-life-sign", "503f2eead9079f22a30f5ef89cf7de0d084d2375651634645ae9a4d1a300619c")

	settings := dialect.Set("client_secret", "0123456789abcdef0123456789abcdef")
	got, err := douyinspi.Dialect.Receive(settings, dialect.Inbound{
		Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: []byte(body),
		Now: time.UnixMilli(1760000000500), // time.Now() outside of an example
	})
	if err != nil {
		fmt.Println("answer 401:", err)
		return
	}
	fmt.Println(got.Account, string(got.Payload))
	answer := douyinspi.Dialect.Reply(settings, dialect.Outcome{Result: dialect.Stored, Received: &got})
	fmt.Println(answer.Status, string(answer.Body))
	// Output:
	// awtestclientkey01 {"order_id":"800001"}
	// 200 {"data":{"error_code":0,"description":""}}
}
