package yunzhimeng_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/yunzhimeng"
)

// A callback is verified with the platform's public key. Time, nonce and signature come in headers.
func Example() {
	const key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8WxeRIgW3LFnNb9r2/j9Bof/tywojb+T/krGJOESqawrdJIMPVVcGhubRu15Le1HNucvScq+92MbEglqbHSYBw=="
	const body = `{"amount":"1000.00","orderNo":"GE0001","status":1}`
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Timestamp", "1760000000123")
	r.Header.Set("X-Nonce", "123456789012345678")
	r.Header.Set("X-EventCode", "FREIGHT_RECHAR")
	r.Header.Set("X-Signature", "MEUCIQDzDyFjjo0nzuIh7iBihAbZI1cXqk76DwVOGFTBz8xP7QIgTvQLqgzH95HfsdOk+GWr23ug0YM2zHsqDq9sCE3HB2o=")

	now := time.UnixMilli(1760000000456) // time.Now() outside of an example
	got, err := yunzhimeng.Dialect.Receive(dialect.Set("ivs_public_key", key),
		dialect.Inbound{Method: r.Method, Header: r.Header, Body: []byte(body), Now: now})
	fmt.Println(err, got.EventType, string(got.Payload))

	_, err = yunzhimeng.Dialect.Receive(dialect.Set("ivs_public_key", key),
		dialect.Inbound{Method: r.Method, Header: r.Header, Body: []byte(`{"amount":"9000.00"}`), Now: now})
	fmt.Println(err != nil)
	// Output:
	// <nil> FREIGHT_RECHAR {"amount":"1000.00","orderNo":"GE0001","status":1}
	// true
}
