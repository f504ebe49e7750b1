package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestDialJudgesLikeDo(t *testing.T) {
	t.Parallel()
	n := &internet{
		names: map[string][]string{"public.example": {"93.184.215.14"}, "inner.example": {"10.1.2.3"}, "both.example": {"93.184.215.14", "127.0.0.1"}},
		serve: func(c net.Conn) { _, _ = io.WriteString(c, "hello"); _ = c.Close() },
	}
	c := New(n.options())
	inner := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
	for _, tt := range []struct {
		url   string
		allow []netip.Prefix
		want  Kind // "" = it connects
	}{
		{"http://public.example", nil, ""},
		{"http://inner.example:81", inner, ""},
		{"http://inner.example", nil, KindForbidden},
		{"http://both.example", nil, KindForbidden},
		{"http://127.0.0.1", inner, KindForbidden},
		{"http://none.example", nil, KindDNS},
		{"ws://public.example", nil, KindURL},
	} {
		before := len(n.dialled())
		conn, err := c.Dial(t.Context(), tt.url, tt.allow)
		var e *Error
		if tt.want != "" {
			if !errors.As(err, &e) || e.Kind != tt.want || conn != nil {
				t.Errorf("%s: %v, want %s", tt.url, err, tt.want)
			}
			if len(n.dialled()) != before {
				t.Errorf("%s was dialled", tt.url)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if text, err := io.ReadAll(conn); err != nil || string(text) != "hello" {
			t.Errorf("%s: read %q, %v", tt.url, text, err)
		}
		_ = conn.Close()
	}
	if got := n.dialled(); len(got) < 2 || got[0] != "93.184.215.14:80" || got[1] != "10.1.2.3:81" {
		t.Errorf("dialled %v", got)
	}
}

func TestDialVerifiesTheName(t *testing.T) {
	t.Parallel()
	good, roots := authority(t, "hooks.example", time.Now().Add(time.Hour))
	n := &internet{
		names: map[string][]string{"hooks.example": {"93.184.215.14"}, "other.example": {"93.184.215.14"}},
		serve: overTLS(good, func(c net.Conn) { _, _ = io.WriteString(c, "hello"); _ = c.Close() }),
	}
	o := onSocket(t, n)
	o.TLS = &tls.Config{RootCAs: roots}
	c := New(o)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := c.Dial(ctx, "https://hooks.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || string(text) != "hello" {
		t.Errorf("read %q, %v", text, err)
	}
	_ = conn.Close()
	var e *Error
	if _, err := c.Dial(ctx, "https://other.example", nil); !errors.As(err, &e) || e.Kind != KindTLS {
		t.Errorf("another name: %v", err)
	}
}
