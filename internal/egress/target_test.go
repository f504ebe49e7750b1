package egress

import (
	"strings"
	"testing"
)

func TestURLsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "/path", "example.com/path", "//example.com", "ftp://example.com", "file:///etc/passwd", "http:example.com",
		"http://", "http:///path", "https://:443/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:http/",
		"http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://127.1/", "http://127.0.1/",
		"http://0/", "http://127.0.0.1./", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://010.8.8.8/", "http://a.0x/", "http://a.1/",
		"http://[::1", "http://[1.2.3.4]/", "http://[fe80::1%25eth0]/", "http://[::ffff:127.0.0.1%25lo]/", "http://::1/", "http://[]/",
		"http://%31%32%37.0.0.1/", "http://exam%70le.com/", "http://例え.jp/", "http://１２７.0.0.1/", "http://127。0。0。1/",
		"http://exam ple.com/", "http://example.com\r\nHost: a/", "http://example.com\x00/", "http://a..b/", "http://.a/", "http://a/\n",
		"http://exa\\mple.com/", "http://example.com\\@127.0.0.1/", "http://a,b/", "http://" + strings.Repeat("a", 64) + ".com/",
		"http://" + strings.Repeat("a.", 130) + "com/", "http://example.com/" + strings.Repeat("a", 9000),
	} {
		if got, err := parse(raw); err == nil {
			t.Errorf("%.60q was read as host %q", raw, got.host)
		}
	}
}

func TestURLsAreReadOnce(t *testing.T) {
	t.Parallel()
	cases := []struct {
		raw  string
		want target
	}{
		{"http://example.com", target{host: "example.com", port: 80, authority: "example.com", uri: "/"}},
		{"HTTPS://Example.COM:8443/A/b?c=D#frag", target{tls: true, host: "example.com", port: 8443, authority: "example.com:8443", uri: "/A/b?c=D"}},
		{"https://example.com./x", target{tls: true, host: "example.com", port: 443, authority: "example.com.", uri: "/x"}},
		{"http://under_score.example/", target{host: "under_score.example", port: 80, authority: "under_score.example", uri: "/"}},
		{"http://example.com:/", target{host: "example.com", port: 80, authority: "example.com", uri: "/"}},
		{"http://a/b c?d e\"é", target{host: "a", port: 80, authority: "a", uri: "/b%20c?d%20e\"%C3%A9"}},
		{"http://198.51.100.7:81/", target{host: "198.51.100.7", port: 81, authority: "198.51.100.7:81", uri: "/"}},
		{"http://[2001:DB8::1]:81/", target{host: "2001:db8::1", port: 81, authority: "[2001:db8::1]:81", uri: "/"}},
		{"http://[::ffff:127.0.0.1]/", target{host: "127.0.0.1", port: 80, authority: "[::ffff:127.0.0.1]", uri: "/"}},
		{"http://127.0.0.1@example.com/", target{host: "example.com", port: 80, authority: "example.com", uri: "/", auth: "Basic MTI3LjAuMC4xOg=="}},
		{"http://us%40er:p%3Ass@a/", target{host: "a", port: 80, authority: "a", uri: "/", auth: "Basic dXNAZXI6cDpzcw=="}},
		{"http://1.example/", target{host: "1.example", port: 80, authority: "1.example", uri: "/"}},
	}
	for _, c := range cases {
		got, err := parse(c.raw)
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		if got.addr.IsValid() != (strings.Trim(got.host, "0123456789abcdef.:") == "" && strings.ContainsAny(got.host, "123")) {
			t.Errorf("%s: address %v", c.raw, got.addr)
		}
		c.want.addr = got.addr
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.raw, got, c.want)
		}
	}
}

func TestNoErrorHoldsAPassword(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"http://user:hunter2@127.1/", "ftp://user:hunter2@a/", "http://user:hunter2@a:99999/", "http://user:hunter2@[::1", "http://user:hunter2@a b/",
	} {
		if _, err := parse(raw); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"http://a/", "https://user:p@[::1]:1/x?y", "http://0x7f.1/", "http://a%25b/", "http://[fe80::1%25a]/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parse(raw)
		if err != nil {
			return
		}
		again, err := parse(map[bool]string{true: "https://", false: "http://"}[got.tls] + got.authority + "/")
		if err != nil || again.host != got.host || again.port != got.port {
			t.Errorf("%q: host %q, but its authority %q is read as %q (%v)", raw, got.host, got.authority, again.host, err)
		}
		for _, s := range []string{got.authority, got.uri, got.auth} {
			if strings.ContainsAny(s, "\r\n\x00") || s != got.auth && strings.Contains(s, " ") {
				t.Errorf("%q: %q breaks the head of a request", raw, s)
			}
		}
		if got.uri == "" || got.uri[0] != '/' {
			t.Errorf("%q: request target %q", raw, got.uri)
		}
	})
}
