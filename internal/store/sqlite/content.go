package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/waypost/waypost/internal/hook"
)

// The request and the payload of a message are laid out one behind the other, and then compressed. The first byte says where
// the payload is. Platforms put it into the body as it is, or as a text of JSON, and then it is not stored a second time.
// Numbers are unsigned varints; the last part has no length. The values are stored: they never change.
const (
	published   = 0 // payload
	apart       = 1 // length and head, length and body, payload
	partOfBody  = 2 // place and length in the body, length and head, body
	textOfBody  = 3 // place and length of the text between its quotation marks, length and head, body
	numberBytes = binary.MaxVarintLen32
)

var errContent = errors.New("the content of a message cannot be read")

// layOut appends the content of a message to b.
func layOut(b []byte, m *hook.Message) []byte {
	if m.Raw == nil {
		return append(append(b, published), m.Payload...)
	}
	body := m.Raw.Body
	kind, at, size := byte(partOfBody), bytes.Index(body, m.Payload), len(m.Payload)
	if at < 0 {
		if at, size = findText(body, m.Payload); at >= 0 {
			kind = textOfBody
		} else {
			kind = apart
		}
	}
	b = append(b, kind)
	if kind != apart {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(at)), uint64(size))
	}
	b = appendHead(b, m.Raw)
	if kind == apart {
		return append(packBytes(b, body), m.Payload...)
	}
	return append(b, body...)
}

// packHead appends method, query and headers of a request.
func packHead(b []byte, r *hook.Raw) []byte {
	return packLists(packText(packText(b, r.Method), r.Query), r.Header)
}

// appendHead appends the packed head of a request with its length in front.
func appendHead(b []byte, r *hook.Raw) []byte {
	start := len(b)
	b = packRemote(packHead(append(b, make([]byte, numberBytes)...), r), r.Remote)
	head := b[start+numberBytes:]
	b = binary.AppendUvarint(b[:start], uint64(len(head)))
	return append(b, head...) // towards the front, within the same bytes
}

// takeApart reads what layOut wrote. The results are parts of plain, and none of body and payload is nil but the body of a
// published message.
func takeApart(plain []byte) (head, body, payload []byte, err error) {
	if len(plain) == 0 {
		return nil, nil, nil, errContent
	}
	u := unpacker{b: plain[1:]}
	switch kind := plain[0]; kind {
	case published:
		return nil, nil, notNil(u.b), nil
	case apart:
		head, body, payload = u.bytes(), u.bytes(), u.b
	case partOfBody, textOfBody:
		at, size := u.uint(), u.uint()
		head, body = u.bytes(), u.b
		if u.err == nil && (at > uint64(len(body)) || size > uint64(len(body))-at) {
			u.fail()
			break
		}
		if u.err != nil {
			break
		}
		payload = body[at : at+size : at+size]
		if kind == textOfBody {
			var ok bool
			if payload, ok = appendText(make([]byte, 0, size), payload); !ok {
				u.fail()
			}
		}
	default:
		u.fail()
	}
	if u.err != nil {
		return nil, nil, nil, errContent
	}
	return head, notNil(body), notNil(payload), nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
