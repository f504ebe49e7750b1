package standard_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
)

// A handler that verifies a webhook: the raw body, the headers and the time are all that it needs.
func Example() {
	settings := dialect.Set("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	body := []byte(`{"test": 2432232314}`)

	got, err := standard.Dialect.Receive(settings, dialect.Inbound{Header: header, Body: body, Now: time.Unix(1614265330, 0)})
	fmt.Println(got.EventID, string(got.Payload), err)
	// Output: msg_p5jXN8AQM9LWM0D4loKWxJek {"test": 2432232314} <nil>
}

// Signing any body: the headers are all that is added.
func ExampleSign() {
	settings := dialect.Set("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	header, err := standard.Sign(settings, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	fmt.Println(header.Get("webhook-signature"), err)
	// Output: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= <nil>
}
