package pandapon_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/pandapon"
)

func Example() {
	body := `{"messageType":"ORDER_CREATE","messageBody":"{\"orderId\":\"1\"}","messagePlatform":1,"timestamp":"1779263269913"}`
	r, _ := http.NewRequest("POST", "/callback", strings.NewReader(body))
	r.Header.Set("Authorization", "a3c85d714334d61df213da0382dac8f90c490403c64921815e909b350dd252ee")

	settings := dialect.Set("access_secret", "test-access-secret-0123456789abcdef")
	got, err := pandapon.Dialect.Receive(settings, dialect.Inbound{Method: r.Method, Header: r.Header, Body: []byte(body)})
	if err != nil {
		fmt.Println("answer 401:", err)
		return
	}
	fmt.Println(got.EventType, string(got.Payload), got.Platform["messagePlatform"])
	// Output: ORDER_CREATE {"orderId":"1"} 1
}
