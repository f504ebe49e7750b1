package alipay_test

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
)

// A service that takes Alipay's messages without anything else around it.
func Example() {
	settings := dialect.Set("alipay_public_key", "the key from the console", "app_id", "2013121700999429")
	http.HandleFunc("POST /alipay", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		got, err := alipay.Dialect.Receive(settings, dialect.Inbound{Method: r.Method, Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			http.Error(w, "fail", http.StatusUnauthorized)
			return
		}
		fmt.Println(got.EventType, string(got.Payload)) // store it here, by got.DedupKey, before answering
		_, _ = w.Write(alipay.Dialect.Reply(settings, dialect.Outcome{Received: &got}).Body)
	})
	fmt.Println("listening")
	// Output: listening
}

// A signed request made on one side and verified on the other.
func ExampleDialect() {
	platform := dialect.Set("app_id", "2013121700999429", "platform_private_key", privateKey)
	request, err := alipay.Dialect.Sign(platform, dialect.Outbound{
		EventType: "alipay.open.mini.version.audit.passed",
		Payload:   []byte(`{"mini_app_id":"2014072300007148"}`),
		Now:       time.UnixMilli(1516797622752),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	developer := dialect.Set("alipay_public_key", publicKey)
	got, err := alipay.Dialect.Receive(developer, dialect.Inbound{Body: request.Body, Now: time.UnixMilli(1516797622999)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(got.EventType)
	fmt.Println(string(got.Payload))
	// Output:
	// alipay.open.mini.version.audit.passed
	// {"mini_app_id":"2014072300007148"}
}

// Made for tests and used nowhere else.
const (
	publicKey  = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArBOZoua9xoid3LivDtIcg1G2LdHqPgaTyv7WZVA8+5ntxcVK/RzRSXwdjZvX+kdPl1EXXX6mRhppwFhrb+y4e8Xn9Y1XtkUlTSuossqDZOgM7yFDfVkEKRCerIOGeqnL/YWneIV8Sb4tHdJwe85xdDRVxrF6dTWa4Z6Yv/EamwBq0HzLiyBgeS+ESaQOgqmfAQPqE+G3OeUtH6Z2MtMInhNzPfr2yjstMtjElr/v4KQPO4yrHBsZkHSFNEZTpD5Q9PRimAklkp9VxqgT+n4idHrbp2+9LbrKsq7rHWJPP+Vr0ZQY2Se47u4D19g/yj9wZ4D1+/XFnF3vm/5ck4b9xwIDAQAB"
	privateKey = "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCsE5mi5r3GiJ3cuK8O0hyDUbYt0eo+BpPK/tZlUDz7me3FxUr9HNFJfB2Nm9f6R0+XURddfqZGGmnAWGtv7Lh7xef1jVe2RSVNK6iyyoNk6AzvIUN9WQQpEJ6sg4Z6qcv9had4hXxJvi0d0nB7znF0NFXGsXp1NZrhnpi/8RqbAGrQfMuLIGB5L4RJpA6CqZ8BA+oT4bc55S0fpnYy0wieE3M9+vbKOy0y2MSWv+/gpA87jKscGxmQdIU0RlOkPlD09GKYCSWSn1XGqBP6fiJ0etunb70tusqyrusdYk8/5WvRlBjZJ7ju7gPX2D/KP3BngPX79cWcXe+b/lyThv3HAgMBAAECggEAGMLXREwsucFV6fl/Y0QTy0e6TdybduJuaPMDud9ybwgG4YMS19pKOWdNP1/SE9coGk+Wa6M6XPMXDZELoLbxEwp25uw4V2eaxwCFzXh7sMz9c3mXYxWolhooow1oEAWX73rIjvyyVlAx4M0z13Ts+XpAb4+BXhVhHJ88Pr58hBouXHu52PWYn4hiUlueUd7fmgRKWrpzuLmB8bAR+FDbYMaj57vD3aV+hx8BbOtoU8c7aSb+2jDDk5rBEbLNw89OQoUOVggcqt1XaEkolMLdz5M4QlifaV9Ze5il/ANisrCHQCiEnlq9JSRTK0JPvEmkd8rm0Gptv+nUQCO/eJgq4QKBgQDT76Qg4MjUtONDlGyD69Xyn8mmLhVauhMy5PExzU81ebQo2g+3mzFYpLu8tY2WCuqaxrDNfLPVDW6UE3m0tP024uTAwH2f0/3FL0LJzKC9n0uZn2W1LIy9JTnZSDbd4avWKBFpMdsEzefsomUve8U6QckLREe+u+v9/kPEYx7M5wKBgQDP2myJCkOGCRXlnO+/wTy3JWoWGhYvpj02h14tu5X+ZUOfuiFAQicoImkwAOFsDu7VEnUQVwB/1E2FZpFgMnq3newMOYCsFsYYjGnQLH7QvVKNXBKdsAUbcG9JDohblNYjEvAohj1dvX5yigJ52OzUEhvn95afX5u0E7uAOTZMIQKBgAh2hE5Py5U61+xl6+NksnlqygmZw36I+aVJoRwE/8m532jWNFR3nQPWKC0D7vBz5SRjFMJP3Xp/e8/r6ys9IvNjIhFUXm/YbkTGe1tFkZGg38r1o4EVk1UmPGYhzRcVIOB/XxqdRAqwEjfP0EySG7EU2WtawaarKGRPF/OqpZs3AoGAPWxX3JuK3sY6kVMySmFpdtn4orVszwH6Xu3b9/nSVo5IUKBpiRrDhYm9ufDYrN0w2QiOTZjYTe5IRl7MIThpqW9ivS4VB0XnnoOIFXvAsiDwj1OhMLY+nCA60sUXqLCwI0dKbz9UTSpdfq2oE6f2PKlpU8CH42sWkT2vkDHYCOECgYABlbaajFfZTEaaV1LMz7qEim2zYtu1keUXHc76DVpyZwBso7NTG3kVbCPfVq5zg17WWyLmF3r1Uq8EQEPfZrvJtwaDN2wbS3vSpOA6bnsNt7z3IwmpKqLsTJLPBa5/X83vOzHCNldMi9y9FHlCHjbj7JuHmCQmse09wY8rCUGsLw=="
)
