package sqlite

import (
	"errors"
	"reflect"
	"testing"
)

func TestPackedColumnsThatAreCutShortAreErrors(t *testing.T) {
	t.Parallel()
	whole := packText(packMap(packLists(packList(nil, []string{"a", ""}), map[string][]string{"k": {"v"}, "n": nil}), map[string]string{"x": "\xff"}), "end")
	for n := range whole {
		u := unpacker{b: whole[:n]}
		u.list()
		u.lists()
		u.stringMap()
		u.text()
		if !errors.Is(u.err, errPacked) {
			t.Fatalf("the first %d of %d bytes are read without an error", n, len(whole))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(packLists(packList(nil, []string{"a"}), map[string][]string{"k": {"v"}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		u := unpacker{b: b}
		list, lists, m := u.list(), u.lists(), u.stringMap()
		if u.err != nil {
			return
		}
		again := unpacker{b: packMap(packLists(packList(nil, list), lists), m)}
		if !reflect.DeepEqual(again.list(), list) || !reflect.DeepEqual(again.lists(), lists) || !reflect.DeepEqual(again.stringMap(), m) || again.err != nil {
			t.Fatalf("%q does not come back: %v", b, again.err)
		}
	})
}
