package lean_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// post is a plain request.
func post(path, body string, lines ...string) string {
	text := "POST " + path + " HTTP/1.1\r\nHost: x.example:80\r\n"
	for _, l := range lines {
		text += l + "\r\n"
	}
	return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// paths are what ways knows.
var paths = []string{
	"/in/abc", "/unread", "/part", "/shut", "/close", "/options", "/none", "/same", "/nothing", "/guess", "/untyped", "/coded",
	"/short", "/long", "/length", "/flush", "/hint", "/panic", "/abort",
}

// requests are what the two servers have to agree on, and from which others are made by chance.
func requests() []string {
	var out []string
	for _, p := range paths {
		out = append(out, post(p, "the whole body")+post("/in/next", "{}"), post(p, ""))
	}
	long := strings.Repeat("x", 3000)
	for _, lines := range [][]string{
		{"Connection: keep-alive"}, {"connection: Keep-Alive"}, {"Connection: close"}, {"Connection: keep-alive, close"}, {"Connection:"},
		{"X-A: 1", "X-A: 2", "x-a:3"}, {"X-A:"}, {"X-A: \t a b \t "}, {"X-A: é"}, {"X-A: \x7f"}, {"X-A: a\rb"}, {"X-A: \x00"}, {"X-A : 1"},
		{" X-A: 1"}, {"X-A: 1", " folded"}, {"X-A: 1", "\tfolded"}, {"X A: 1"}, {": 1"}, {"no colon"}, {"X-é: 1"},
		{"Expect: 100-continue"}, {"Expect: something"}, {"Transfer-Encoding: chunked"}, {"Transfer-Encoding: x"}, {"TE: trailers"},
		{"Trailer: X"}, {"Upgrade: websocket", "Connection: upgrade"}, {"Upgrade: h2c"}, {"Pragma: no-cache"}, {"Host: y"}, {"Host:"},
		{"Content-Length: 3"}, {"Content-Length: 2"}, {"Content-Length: +2"}, {"content-length:2"}, {"Content-Length: 2, 2"}, {"Keep-Alive: 5"},
		{"webhook-id: 1", "WEBHOOK-TIMESTAMP: 2", "Webhook-Signature: v1,abc="}, {"X-Long: " + long}, {"X-Long: " + long + long + long},
		{"X-Long: " + strings.Repeat("x", 20<<10)}, {strings.TrimSuffix(strings.Repeat("A: b\r\n", 70), "\r\n")}, {"\r\n"},
	} {
		out = append(out, post("/in/abc", "{}", lines...)+post("/in/next", "12"))
	}
	for _, target := range []string{
		"/", "/a?b=c", "/a?", "/a??", "/a?b?c", "/a?b#c", "/a#b", "/a%20b", "/a?b=%20", "/a?%zz", "//a/b", "/../a", "/a;b", "/a:b", "/a@b", "/a+b",
		"*", "a", "", "http://y.example/a", "/a b", "/a\tb", "/é", "/a?é", "/a\x00", "/in/a-b_c.d~e", "/[", "/a?[]",
	} {
		out = append(out, strings.Replace(post("/t", "{}"), "/t", target, 1)+post("/in/next", "12"))
	}
	for _, edit := range [][2]string{
		{"HTTP/1.1", "HTTP/1.0"}, {"HTTP/1.1", "HTTP/2.0"}, {"HTTP/1.1", "HTTP/1.2"}, {"HTTP/1.1", "http/1.1"}, {"HTTP/1.1", ""}, {" HTTP/1.1", ""},
		{"POST", "GET"}, {"POST", "PUT"}, {"POST", "post"}, {"POST", "PRI"}, {"POST", "P(ST"}, {"POST ", "POST  "}, {"POST ", "POST\t"}, {"POST", " POST"},
		{"\r\n", "\n"}, {"\r\nHost", "\nHost"}, {"\r\n\r\n", "\n\n"}, {"\r\n\r\n", "\r\n\n"}, {"\r\n\r\n", "\n\r\n"}, {"\r\n", "\r\r\n"}, {"Host: x.example:80\r\n", ""},
		{"x.example:80", ""}, {"x.example:80", "x y"}, {"x.example:80", "[::1]:80"}, {"x.example:80", "x/y"}, {"x.example:80", "x,y"}, {"Host", "hOST"},
		{"Content-Length: 2", "X: 2"}, {"Length: 2", "Length: 02"}, {"Length: 2", "Length: 0000000000000002"}, {"Length: 2", "Length: 1"}, {"Length: 2", "Length: 3"},
		{"Length: 2", "Length: 262143"}, {"Length: 2", "Length: 262144"}, {"Length: 2", "Length: 99999999999999999999"}, {"Length: 2", "Length: 2 "},
		{"POST", "\r\nPOST"}, {"POST", "\r\n\r\nPOST"}, {"POST", "\r\n\r\n\r\nPOST"}, {"POST", "\nPOST"},
	} {
		r := strings.Replace(post("/in/abc", "{}"), edit[0], edit[1], 1)
		out = append(out, r, post("/in/first", "1")+r+post("/in/next", "12"))
	}
	return append(out,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "POST /in/a HT", "POST /in/a HTTP/1.1\r\nHo",
		"POST", "P", "\r\n", "POST /in/a HTTP/1.1\r\nHost: x\r\n", post("/in/a", "1")+"PO", post("/in/a", "1")+"\r\n\r\n", post("/in/a", "1")+"\r\n\r\n\r",
		"POST /in/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+post("/in/next", "12"),
		"POST /in/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+post("/in/next", "12"),
	)
}

// agree has both servers answer the same bytes, cut into pieces at the places, and compares all that they say.
func agree(t *testing.T, request string, places ...int) (here int) {
	t.Helper()
	var pieces []string
	at := 0
	for _, p := range places {
		if p > at && p < len(request) {
			pieces, at = append(pieces, request[at:p]), p
		}
	}
	pieces = append(pieces, request[at:])
	type said struct {
		answer string
		closed bool
	}
	all := map[string]said{}
	for name, newServer := range both {
		synctest.Test(t, func(t *testing.T) {
			h := &served{Handler: http.HandlerFunc(ways)}
			l := start(t, newServer(config(h)))
			var s said
			s.answer, s.closed = talk(l.dial(t), pieces...)
			s.answer = meaning(s.answer)
			all[name] = s
			here += int(h.here.Load())
		})
	}
	if all["net/http"] != all["lean"] {
		t.Errorf("in pieces %q\nnet/http said %q, closed: %v\nwe said       %q, closed: %v", pieces,
			all["net/http"].answer, all["net/http"].closed, all["lean"].answer, all["lean"].closed)
	}
	return here
}

func TestWhatIsPlainMeansTheSameToNetHTTP(t *testing.T) {
	t.Parallel()
	here := 0
	for _, r := range requests() {
		here += agree(t, r)
		here += agree(t, r, len(r)/3, len(r)/2)
		if t.Failed() {
			return
		}
	}
	if here < 100 {
		t.Errorf("only %d requests were answered here: the comparison compares nothing", here)
	}
}

func TestOneByteAtATimeMeansTheSame(t *testing.T) {
	t.Parallel()
	for _, r := range []string{post("/in/abc", "{}", "X-A: b") + post("/part", "12345678"), "\r\n" + post("/in/abc", "{}")} {
		places := make([]int, len(r))
		for i := range places {
			places[i] = i
		}
		agree(t, r, places...)
	}
}

// TestMutatedRequestsMeanTheSame changes bytes of requests by chance.
func TestMutatedRequestsMeanTheSame(t *testing.T) {
	t.Parallel()
	rounds := 500
	if testing.Short() {
		rounds = 200
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	all := requests()
	for range rounds {
		r := mutate(random, all[random.IntN(len(all))])
		agree(t, r, 1+random.IntN(len(r)), 1+random.IntN(len(r)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// mutate changes some bytes, of which most mean something to HTTP.
func mutate(random *rand.Rand, request string) string {
	const telling = "\r\n :\t,;=?%#/0123456789HTPhost.\x00\x7f\xff"
	b := []byte(request)
	for range 1 + random.IntN(3) {
		at := random.IntN(min(len(b), 200))
		c := telling[random.IntN(len(telling))]
		switch random.IntN(4) {
		case 0:
			b[at] = c
		case 1:
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		case 2:
			b = append(b[:at:at], b[at+1:]...)
		case 3: // a line twice
			if i := strings.Index(string(b[at:]), "\r\n"); i >= 0 {
				b = append(b[:at:at], append(append([]byte("\r\n"), b[at:at+i]...), b[at:]...)...)
			}
		}
		if len(b) == 0 {
			return "P"
		}
	}
	return string(b)
}

func FuzzAgreement(f *testing.F) {
	for i, r := range requests() {
		if len(r) < 4000 {
			f.Add(r, i, 2*i)
		}
	}
	f.Fuzz(func(t *testing.T, r string, first, second int) {
		if r == "" || len(r) > 32<<10 {
			return
		}
		agree(t, r, first, second)
	})
}
