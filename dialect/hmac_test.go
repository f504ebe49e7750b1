package dialect

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"strings"
	"sync"
	"testing"
)

func TestHMACIsTheStandardLibrarysHoweverOftenItIsUsed(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func() hash.Hash{"SHA-256": sha256.New, "SHA-1": sha1.New} {
		for _, key := range []string{"", "k", strings.Repeat("long", 100)} {
			m := NewHMAC(of, []byte(key))
			var wg sync.WaitGroup
			for n := range 8 {
				wg.Go(func() {
					for i := range 50 {
						body := bytes.Repeat([]byte{byte(n)}, i)
						h := hmac.New(of, []byte(key))
						h.Write([]byte("id." + strings.Repeat("t", i)))
						h.Write(body)
						if got := m.Append([]byte("before"), body, "id.", strings.Repeat("t", i)); !bytes.Equal(got, h.Sum([]byte("before"))) {
							t.Errorf("%s with a key of %d bytes: wrong", name, len(key))
							return
						}
					}
				})
			}
			wg.Wait()
		}
	}
}
