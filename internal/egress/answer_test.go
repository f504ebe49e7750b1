package egress

import (
	"bufio"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// answers are heads, each with whether commonAnswer is to read it.
var answers = map[string]bool{
	okAnswer:                          true,
	"HTTP/1.1 204 No Content\r\n\r\n": true,
	"HTTP/1.1 204\r\nA: b\r\n\r\n":    true,
	"HTTP/1.1 204 \r\nA: b\r\n\r\n":   true,
	"HTTP/1.1 304 x\r\nETag: \"a\"\r\nContent-Length: 7\r\n\r\n":                                        true,
	"HTTP/1.1 500 No: way\r\ncontent-length:\t0 \r\nset-cookie: a\r\nServer:\r\nSet-Cookie: b\r\n\r\n":  true,
	"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 03\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n": true,
	"HTTP/1.1 200 OK\r\nX: \x80\xff\tz\r\nContent-Length: 1\r\n\r\n":                                    true,
	"HTTP/1.1 999 x\r\nContent-Length: 1\r\n\r\n":                                                       true,
	"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + okAnswer:                                                  false,
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n":                       false,
	"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n":                                                      false,
	"HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\n":                                                     false,
	"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n":                                                     false,
	"HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\n":                                                       false,
	"HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n":                                                      false,
	"HTTP/1.1 +20 OK\r\nContent-Length: 1\r\n\r\n":                                                      false,
	"http/1.1 200 OK\r\nContent-Length: 1\r\n\r\n":                                                      false,
	"HTTP/1.1 200 OK\nContent-Length: 1\n\n":                                                            false,
	"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 1\r\n\r\n":                                                false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n":                                                          false,
	"HTTP/1.1 200 OK\r\nDate: x\r\n\r\n":                                                                false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n":                                 false,
	"HTTP/1.1 204 OK\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n":                                 false,
	"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n":                                                     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n":                                                   false,
	"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n":                                                       false,
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n":                                   false,
	"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n":                                                     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n folded\r\n\r\n":                                           false,
	"HTTP/1.1 200 OK\r\n Content-Length: 1\r\n\r\n":                                                     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nno colon\r\n\r\n":                                          false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n: no name\r\n\r\n":                                         false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: \x00\r\n\r\n":                                           false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: b\rc\r\n\r\n":                                           false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n":     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ntransfer-encoding: identity\r\n\r\n":                       false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTrailer: A\r\n\r\n":                                        false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nPragma: no-cache\r\n\r\n":                                  false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n":                                 false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive, close\r\n\r\n":                     false,
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n":       false,
	"":         false,
	"\r\n\r\n": false,
}

func TestCommonAnswersAreReadAndOthersAreLeft(t *testing.T) {
	t.Parallel()
	for raw, common := range answers {
		if got := checkAnswer(t, raw); got != common {
			t.Errorf("%q: read %v, want %v", raw, got, common)
		}
	}
	br := bufio.NewReader(strings.NewReader(okAnswer))
	_, _ = br.Peek(1)
	if _, ok := commonAnswer(br, http.MethodHead); ok {
		t.Error("an answer to HEAD has no body, whatever its length says")
	}
}

// checkAnswer compares commonAnswer with http.ReadResponse, and returns whether it read the answer.
func checkAnswer(t *testing.T, raw string) bool {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(raw))
	_, _ = br.Peek(1)
	got, ok := commonAnswer(br, http.MethodPost)
	if !ok {
		if rest, _ := io.ReadAll(br); string(rest) != raw {
			t.Errorf("%q: it was read from and left", raw)
		}
		return false
	}
	theirs := bufio.NewReader(strings.NewReader(raw))
	res, err := http.ReadResponse(theirs, nil)
	if err != nil {
		t.Errorf("%q: read, and http.ReadResponse says %v", raw, err)
		return true
	}
	length := res.ContentLength
	if res.Body == http.NoBody {
		length = 0
	}
	if got.status != res.StatusCode || got.length != length || res.Close || !reflect.DeepEqual(got.header, res.Header) {
		t.Errorf("%q: %d %d %q, want %d %d %q, close %v", raw, got.status, got.length, got.header, res.StatusCode, length, res.Header, res.Close)
	}
	body, failed := io.ReadAll(&counted{br, got.length})
	want, wantErr := io.ReadAll(res.Body)
	if string(body) != string(want) || failed != wantErr {
		t.Errorf("%q: body %q %v, want %q %v", raw, body, failed, want, wantErr)
	}
	mine, _ := io.ReadAll(br)
	rest, _ := io.ReadAll(theirs)
	if string(mine) != string(rest) {
		t.Errorf("%q: left %q, want %q", raw, mine, rest)
	}
	return true
}

// FuzzCommonAnswer holds commonAnswer to what http.ReadResponse makes of the same bytes.
func FuzzCommonAnswer(f *testing.F) {
	for raw := range answers {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) { checkAnswer(t, raw) })
}
