package lean

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// whole feeds all bytes at once.
func whole(data string) (*head, verdict) {
	h := &head{}
	h.reset(maxHead)
	return h, h.feed([]byte(data))
}

func TestWhatIsNotPlainIsSeenAsSoonAsItCame(t *testing.T) {
	t.Parallel()
	const begin = "POST /in/a HTTP/1.1\r\n"
	for _, data := range []string{
		"GET", "P\n", "\r\n", "POST /in/a HTTP/1.1\n", "POST /in/a HTTP/1.1\r\r\n", "POST  HTTP/1.1\r\n", "POST HTTP/1.1\r\n",
		"POST /a?\r\n", "POST /a%20 HTTP/1.1\r\n", "POST a HTTP/1.1\r\n",
		begin + "no colon\r\n", begin + ": x\r\n", begin + " a: x\r\n", begin + "a : x\r\n", begin + "a: \x00\r\n", begin + "a: b\n", begin + "\n",
		begin + "Expect: 100-continue\r\n", begin + "transfer-encoding: chunked\r\n", begin + "Upgrade: x\r\n", begin + "Trailer: x\r\n",
		begin + "Pragma: x\r\n", begin + "Connection: close\r\n", begin + "Content-Length: 1\r\nContent-Length: 1\r\n",
		begin + "Content-Length: -1\r\n", begin + "Content-Length: 262144\r\n", begin + "Content-Length: \r\n", begin + "Content-Length: 0000001\r\n",
		begin + "Host: a\r\nHost: a\r\n", begin + "Host: \r\n", begin + "Host: a/b\r\n",
		begin + "Host: a\r\n\r\n", begin + "Content-Length: 1\r\n\r\n", begin + strings.Repeat("a: b\r\n", maxFields+1),
		begin + "a: " + strings.Repeat("b", maxHead), strings.Repeat("P", maxHead),
	} {
		h, got := whole(data)
		if strings.IndexByte(data, '\n') < 0 && len(data) < maxHead {
			if got != unfinished {
				t.Errorf("%.80q: %v before the line has ended", data, got)
			}
			continue
		}
		if got != special {
			t.Errorf("%.80q: verdict %v at %d", data, got, h.next)
		}
	}
}

func TestAPlainHeadFitsTheLimits(t *testing.T) {
	t.Parallel()
	fill := func(n int) string {
		text := "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 262143\r\nx: "
		return text + strings.Repeat("y", n-len(text)-4) + "\r\n\r\n"
	}
	if _, got := whole(fill(maxHead)); got != plain {
		t.Errorf("a head of the greatest length is %v", got)
	}
	if _, got := whole(fill(maxHead + 1)); got != special {
		t.Errorf("a head that is longer is %v", got)
	}
	h := &head{}
	h.reset(200)
	if got := h.feed([]byte(fill(201))); got != special {
		t.Errorf("a head over the server's own limit is %v", got)
	}
}

// FuzzHead holds the parser to two things: bytes mean the same however they come in pieces, and a plain head is to net/http what
// it is here.
func FuzzHead(f *testing.F) {
	f.Add("POST /in/abc?d=e HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-A: b\r\nx-a: \tc \r\n\r\nabc", 20)
	f.Add("POST / HTTP/1.1\r\nhost:[::1]:80\r\ncontent-length:0\r\nconnection: Keep-Alive\r\n\r\n", 3)
	f.Add("POST /a??b HTTP/1.1\r\nHost: x\r\nContent-Length: 000\r\n\r\n", 30)
	f.Fuzz(func(t *testing.T, data string, cut int) {
		h, got := whole(data)
		if cut > 0 && cut < len(data) {
			again := &head{}
			again.reset(maxHead)
			verdict := again.feed([]byte(data[:cut]))
			if verdict == unfinished {
				verdict = again.feed([]byte(data))
			}
			if verdict != got || got == plain && *again != *h {
				t.Fatalf("%q: %v, but cut at %d %v", data, got, cut, verdict)
			}
		}
		if got != plain {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(data)))
		if err != nil {
			t.Fatalf("%q: net/http refuses it: %v", data, err)
		}
		r := h.request([]byte(data), context.Background(), &url.URL{})
		want.Header.Del("Host") // as its server does
		if !reflect.DeepEqual(request(r), request(want)) {
			t.Fatalf("%q:\nhere     %+v\nnet/http %+v", data, request(r), request(want))
		}
		if end := bytes.Index([]byte(data), []byte("\r\n\r\n")); h.next != end+4 {
			t.Fatalf("%q: the head ends at %d, not %d", data, h.next, end+4)
		}
	})
}

// request is what a handler sees of one.
func request(r *http.Request) []any {
	return []any{r.Method, *r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Header, r.ContentLength, r.TransferEncoding, r.Close, r.Host, r.RequestURI, r.Trailer}
}
