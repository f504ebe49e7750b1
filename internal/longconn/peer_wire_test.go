package longconn_test

// The files peer_wire_test.go, peer_client_test.go and peer_server_test.go know nothing of this program: they are written
// from the description of Alipay's long connection and from RFC 6455 alone, with the standard library, so that a
// misreading on our side does not cancel out. TestPeersKnowNothingOfOurs holds that.

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// The opcodes of RFC 6455.
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
)

// wire is a WebSocket after its upgrade, by hand: one side writes masked frames, and wants unmasked ones.
type wire struct {
	conn   net.Conn
	in     *bufio.Reader
	client bool // this side is the client

	mu sync.Mutex // of writing
}

// raw writes one frame as it is given, also a wrong one.
func (w *wire) raw(fin bool, opcode byte, masked bool, payload []byte) error {
	head := []byte{opcode, 0}
	if fin {
		head[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		head[1] = byte(n)
	case n < 1<<16:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	if masked {
		head[1] |= 0x80
		var mask [4]byte
		_, _ = rand.Read(mask[:])
		head = append(head, mask[:]...)
		payload = slices.Clone(payload)
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.conn.Write(append(head, payload...))
	return err
}

// write sends one whole message.
func (w *wire) write(opcode byte, payload []byte) error {
	return w.raw(true, opcode, w.client, payload)
}

// text sends a text message.
func (w *wire) text(text string) error { return w.write(opText, []byte(text)) }

// frame reads one frame. That of the other side must be masked just when it is the client.
func (w *wire) frame() (fin bool, opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return false, 0, nil, err
	}
	if head[0]&0x70 != 0 {
		return false, 0, nil, errors.New("a reserved bit is set, and no extension was agreed on")
	}
	fin, opcode = head[0]&0x80 != 0, head[0]&0x0f
	masked, size := head[1]&0x80 != 0, uint64(head[1]&0x7f)
	if masked == w.client {
		return false, 0, nil, fmt.Errorf("masked is %v on a frame to the client %v", masked, w.client)
	}
	var long [8]byte
	switch size {
	case 126:
		_, err = io.ReadFull(w.in, long[6:])
		size = binary.BigEndian.Uint64(long[:])
	case 127:
		_, err = io.ReadFull(w.in, long[:])
		size = binary.BigEndian.Uint64(long[:])
	}
	if err != nil {
		return false, 0, nil, err
	}
	if size > 4<<20 {
		return false, 0, nil, errors.New("a frame of more than 4 MiB")
	}
	var mask [4]byte
	if masked {
		if _, err := io.ReadFull(w.in, mask[:]); err != nil {
			return false, 0, nil, err
		}
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(w.in, payload); err != nil {
		return false, 0, nil, err
	}
	if masked {
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
	}
	return fin, opcode, payload, nil
}

// closedError is a close frame of the other side.
type closedError struct {
	code   int
	reason string
}

func (e *closedError) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

// message reads the next message or pong. Pings are answered, as every WebSocket library does; a close is answered and
// returned as an error.
func (w *wire) message() (opcode byte, payload []byte, err error) {
	for {
		fin, op, part, err := w.frame()
		if err != nil {
			return 0, nil, err
		}
		switch op {
		case opPing:
			if err := w.write(opPong, part); err != nil {
				return 0, nil, err
			}
			continue
		case opPong:
			return op, part, nil
		case opClose:
			out := &closedError{code: 1005}
			if len(part) >= 2 {
				out.code, out.reason = int(binary.BigEndian.Uint16(part)), string(part[2:])
			}
			_ = w.write(opClose, part)
			return 0, nil, out
		case opText, opBinary:
			opcode = op
		}
		if payload = append(payload, part...); fin {
			return opcode, payload, nil
		}
	}
}

// bye sends a close frame.
func (w *wire) bye(code int, reason string) error {
	return w.write(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

// acceptOf is Sec-WebSocket-Accept of a key.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// signRSA2 is SHA256withRSA in base64 on one line.
func signRSA2(key *rsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

func verifyRSA2(key *rsa.PublicKey, text, sign string) error {
	sig, err := base64.StdEncoding.DecodeString(sign)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig)
}

// canonicalV2 is the text that a query signs: everything but sign, sorted by name, unescaped.
func canonicalV2(params map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "sign" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + params[name])
	}
	return b.String()
}

// urlEncode is java.net.URLEncoder.
func urlEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(".-*_", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// textBetween returns what stands in text between the first of two marks and the second behind it.
func textBetween(text, from, to string) (string, bool) {
	_, rest, ok := strings.Cut(text, from)
	if !ok {
		return "", false
	}
	out, _, ok := strings.Cut(rest, to)
	return out, ok
}

func pemPrivate(text string) *rsa.PrivateKey {
	block, _ := pem.Decode([]byte(text))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key.(*rsa.PrivateKey)
}

// within reads in the time that is given, and gives up after it.
func (w *wire) within(d time.Duration) { _ = w.conn.SetReadDeadline(time.Now().Add(d)) }
