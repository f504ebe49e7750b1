package egress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority makes a certificate for a name, and the roots that trust it.
func authority(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// onSocket answers on a real socket: unlike a pipe it holds a few bytes, so that both sides of a handshake may write at
// once.
func onSocket(t *testing.T, n *internet) Options {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := n.serve
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	o := n.options()
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.mu.Lock()
		n.dials = append(n.dials, addr)
		n.mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
	return o
}

func overTLS(cert tls.Certificate, serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		serve(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}))
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	good, roots := authority(t, "hooks.example", time.Now().Add(time.Hour))
	expired, expiredRoots := authority(t, "hooks.example", time.Now().Add(-time.Hour))
	other, otherRoots := authority(t, "other.example", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		cert  tls.Certificate
		roots *x509.CertPool
		text  string // of the refusal, "" = an answer
	}{
		"an authority that is not trusted": {good, x509.NewCertPool(), "not trusted"},
		"another name":                     {other, otherRoots, "another name"},
		"an expired certificate":           {expired, expiredRoots, "expired"},
		"a good certificate":               {good, roots, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := hooks(overTLS(c.cert, answer(okAnswer)))
			o := onSocket(t, n)
			o.TLS = &tls.Config{RootCAs: c.roots}
			client := New(o)
			defer client.Close()
			for range 2 {
				resp, err := client.Do(within(t, time.Minute), Request{URL: "https://hooks.example./", Body: []byte("x")})
				switch {
				case c.text == "" && (err != nil || resp.Status != 200):
					t.Fatalf("%d %v", resp.Status, err)
				case c.text != "" && (kindOf(err) != KindTLS || !strings.Contains(err.Error(), c.text)):
					t.Fatalf("%v, want %q", err, c.text)
				}
			}
			if got := n.dialled(); c.text == "" && len(got) != 1 || got[0] != "8.8.8.8:443" {
				t.Errorf("dialled %v", got)
			}
		})
	}
	t.Run("a server without TLS", func(t *testing.T) {
		t.Parallel()
		n := hooks(func(c net.Conn) {
			_, _ = c.Read(make([]byte, 10))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		})
		_, err := New(onSocket(t, n)).Do(within(t, time.Minute), Request{URL: "https://hooks.example/"})
		if kindOf(err) != KindTLS {
			t.Errorf("%v", err)
		}
	})
}
