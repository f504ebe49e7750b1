package sqlite

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Lists and maps of texts that are only read whole are stored packed: a count, then each text with its length in front,
// numbers as unsigned varints. Bytes that are no UTF-8 (header values may be) come back as they went in. A count is
// written one higher, so that 0 can stand for a nil list or map.

var errPacked = errors.New("a packed column is cut short")

func packText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func packBytes(b, s []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func packList(b []byte, list []string) []byte {
	if list == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(list))+1)
	for _, s := range list {
		b = packText(b, s)
	}
	return b
}

func packMap(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(m))+1)
	for _, k := range sortedKeys(m) {
		b = packText(packText(b, k), m[k])
	}
	return b
}

func packLists(b []byte, m map[string][]string) []byte {
	if m == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(m))+1)
	for _, k := range sortedKeys(m) {
		b = packList(packText(b, k), m[k])
	}
	return b
}

// sortedKeys makes equal maps equal bytes.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// unpacker reads what the functions above wrote. After the first damage everything reads as empty and err says so.
type unpacker struct {
	b   []byte
	err error
}

func (u *unpacker) fail() {
	u.b = nil
	u.err = errPacked
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) int() int64 {
	v, n := binary.Varint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

// count reads a count and refuses one that the bytes left cannot hold.
func (u *unpacker) count() (n int, isNil bool) {
	v := u.uint()
	if v == 0 {
		return 0, true
	}
	if v-1 > uint64(len(u.b)) {
		u.fail()
		return 0, true
	}
	return int(v - 1), false
}

func (u *unpacker) bytes() []byte {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.fail()
		return nil
	}
	v := u.b[:n:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) text() string { return string(u.bytes()) }

func (u *unpacker) list() []string {
	n, isNil := u.count()
	if isNil {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, u.text())
	}
	return list
}

func (u *unpacker) stringMap() map[string]string {
	n, isNil := u.count()
	if isNil {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := u.text()
		m[k] = u.text()
	}
	return m
}

func (u *unpacker) lists() map[string][]string {
	n, isNil := u.count()
	if isNil {
		return nil
	}
	m := make(map[string][]string, n)
	for range n {
		k := u.text()
		m[k] = u.list()
	}
	return m
}
