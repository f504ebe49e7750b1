package dialect

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// valids are documents that are right, wrong and nearly right.
var valids = []string{
	``, ` `, `{}`, `[]`, `{"a":1}`, ` { "a" : [ 1 , -2.5e+10 , "x" , true , false , null ] } `, `{"a":1,}`, `{,}`, `[,]`, `[1,]`, `{"a"}`, `{"a":}`,
	`{a:1}`, `{"a":1 "b":2}`, `[1 2]`, `[}`, `{]`, `[`, `{`, `{"a"`, `{"a":`, `{"a":1`, `"`, `"a`, `"\`, `"\"`, `"\u12`, `"\u12x4"`, `"\u00e9"`, `"\x"`,
	"\"a\nb\"", "\"\x7f\"", "\"\xff\"", `0`, `-0`, `00`, `01`, `-`, `1.`, `.5`, `1.5`, `1e`, `1e5`, `1E-5`, `1e+`, `+1`, `1e5.5`, `0x1`, `--1`, `tru`, `true`, `truex`,
	`nul`, `falsefalse`, `{}{}`, `{} x`, "\ufeff{}", "{}\x00", "\x0b{}", "{\"a\":\"\\ud83d\"}", `[[[[]]]]`, `{"a":{"a":{"a":[]}}}`, `"a" "b"`, `1 2`, `"\/\b\f\n\r\t\\"`,
}

func TestValidJSON(t *testing.T) {
	t.Parallel()
	docs := slices.Clone(valids)
	for _, depth := range []int{9_999, 10_000, 10_001} {
		docs = append(docs, strings.Repeat("[", depth)+strings.Repeat("]", depth), strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth))
	}
	for _, doc := range docs {
		if got, want := validJSON([]byte(doc)), json.Valid([]byte(doc)); got != want {
			t.Errorf("%.60q: %v, and encoding/json says %v", doc, got, want)
		}
	}
}

// Texts are read eight bytes at a time: every byte at every place of them.
func TestValidJSONLooksAtEveryByteOfAText(t *testing.T) {
	t.Parallel()
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				for _, before := range []byte{'x', ' ', 0x80, 0xff, '!', '#', '['} {
					text := bytes.Repeat([]byte{before}, size)
					text[at] = byte(c)
					doc := append(append([]byte{'"'}, text...), '"')
					if got, want := validJSON(doc), json.Valid(doc); got != want {
						t.Fatalf("%q: %v, and encoding/json says %v", doc, got, want)
					}
				}
			}
		}
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, doc := range valids {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if got, want := validJSON(doc), json.Valid(doc); got != want {
			t.Errorf("%q: %v, and encoding/json says %v", doc, got, want)
		}
	})
}

func BenchmarkSplitObject(b *testing.B) {
	doc := []byte(`{"orderId":"1234567890","buyer":{"name":"张三","level":3},"items":[` +
		strings.Repeat(`{"sku":12345,"title":"蓝色 large shirt","price":19.90},`, 14) + `{}],"remark":"放在门口"}`)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := SplitObject(doc); err != nil {
			b.Fatal(err)
		}
	}
}
