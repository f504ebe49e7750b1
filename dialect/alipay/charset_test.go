package alipay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// The digest is that of the table that a JDK 17 program printed: every character of the basic plane beyond ASCII that
// its GBK encoder writes, less the private-use area and two characters that newer tables write otherwise.
func TestGBKIsJavas(t *testing.T) {
	t.Parallel()
	h := sha256.New()
	n := 0
	for r := rune(utf8.RuneSelf); r < 0x10000; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		code, err := fromUTF8(charsetGBK, string(r))
		if err != nil {
			continue
		}
		n++
		fmt.Fprintf(h, "%x %x\n", r, code)
		if back, err := toUTF8("gbk", code); err != nil || back != string(r) {
			t.Fatalf("%U comes back as %q (%v)", r, back, err)
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != 21790 || got != "dfe7167a4d49ffe0c822c59ae9d9974dff731216f673471cd242dd900177d51f" {
		t.Errorf("the table has %d characters and digest %s", n, got)
	}
}

func TestGBKRefusesOtherCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"😀", "€", "⊕", "⺁", "\ue000", "\u200b"} {
		if code, err := fromUTF8(charsetGBK, "a中"+text); err == nil {
			t.Errorf("%q is written as %x", text, code)
		} else if !strings.Contains(err.Error(), "byte ") || strings.Contains(err.Error(), text) {
			t.Errorf("the error %q does not say where, or repeats the text", err)
		}
	}
	if _, err := fromUTF8(charsetUTF8, "\xff"); err == nil {
		t.Error("bytes that are no text are sent as UTF-8")
	}
}

func TestToUTF8(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ charset, in, want string }{
		{"UTF-8", "中", "中"}, {"utf8", "中", "中"}, {"GBK", "\xd6\xd0", "中"}, {"gb2312", "\xd6\xd0", "中"}, {"GB18030", "\x94\x39\xfc\x36", "😀"},
		{"UTF-8", "\xff", ""}, {"GBK", "\x81", ""}, {"GBK", "\xff\xff", ""}, {"BIG5", "a", ""}, {"", "a", ""}, {"ISO-8859-1", "a", ""},
	} {
		got, err := toUTF8(c.charset, c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q in %s is %q (%v), not %q", c.in, c.charset, got, err, c.want)
		}
	}
}
