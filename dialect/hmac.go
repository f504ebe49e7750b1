package dialect

import (
	"crypto/hmac"
	"hash"
	"sync"
)

// HMAC makes message authentication codes under one key, for any number of goroutines. To set a key up costs more than to
// authenticate a short message, so it is done once.
type HMAC struct{ states sync.Pool } // of *macState

type macState struct {
	hash.Hash
	text []byte // what is hashed of texts
	sum  []byte
}

// NewHMAC makes an HMAC of a key, over a hash such as sha256.New. The key must not be changed afterwards.
func NewHMAC(of func() hash.Hash, key []byte) *HMAC {
	m := &HMAC{}
	m.states.New = func() any { return &macState{Hash: hmac.New(of, key)} }
	return m
}

// Append appends to dst the code of a message: the parts of its head, one behind the other, and then its body.
func (m *HMAC) Append(dst, body []byte, head ...string) []byte {
	s := m.states.Get().(*macState)
	defer m.states.Put(s)
	s.Reset()
	s.text = s.text[:0]
	for _, part := range head {
		s.text = append(s.text, part...)
	}
	s.Write(s.text)
	s.Write(body)
	s.sum = s.Sum(s.sum[:0])
	return append(dst, s.sum...)
}
