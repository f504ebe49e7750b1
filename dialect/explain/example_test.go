package explain_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/douyin"
	"github.com/waypost/waypost/dialect/explain"
)

// A proxy added a line end behind the body.
func ExampleRequest() {
	why := explain.Request(&douyin.Dialect, dialect.Set("client_secret", "0123456789abcdef0123456789abcdef"), dialect.Inbound{
		Method: "POST",
		Header: http.Header{"X-Douyin-Signature": {"33262f4ba4b06b5755d6d8786189e623c9ef14ba"}},
		Body:   []byte(`{"event":"ping","client_key":"aw1","content":"{}"}` + "\n"),
		Now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}, explain.Limits{})
	for _, f := range why.Findings {
		fmt.Println(f.Sure, f.Code, f.Where)
		fmt.Println(f.Text.En)
		fmt.Println(f.Text.Zh)
	}
	// Output:
	// certain line_end_added body
	// A line end was added behind the text.
	// 文本末尾多了一个换行。
}
