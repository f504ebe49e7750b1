package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReadObjectRefuses(t *testing.T) {
	t.Parallel()
	many := "{" + strings.TrimSuffix(strings.Repeat(`"%":1,`, maxMembers+1), ",") + "}"
	for i := range maxMembers + 1 {
		many = strings.Replace(many, "%", strconv.Itoa(i), 1)
	}
	for name, c := range map[string]struct {
		doc  string
		want error
	}{
		"nothing":                         {"", ErrNotObject},
		"blanks":                          {" \n", ErrNotObject},
		"an array":                        {`[{"a":1}]`, ErrNotObject},
		"a string":                        {`"{}"`, ErrNotObject},
		"something after the object":      {`{"a":1}{}`, ErrNotObject},
		"a byte after the object":         {"{\"a\":1}\x80", ErrNotObject},
		"a byte order mark":               {"\ufeff{}", ErrNotObject},
		"bytes that are not UTF-8":        {"{\"a\":\"\xff\"}", ErrNotObject},
		"a raw line end in a string":      {"{\"a\":\"\n\"}", ErrNotObject},
		"a comma too many":                {`{"a":1,}`, ErrNotObject},
		"two members of one name":         {`{"a":1,"b":2,"a":1}`, ErrDuplicate},
		"one name, spelled in two ways":   {`{"a":1,"\u0061":2}`, ErrDuplicate},
		"two empty names":                 {`{"":1,"":2}`, ErrDuplicate},
		"half a surrogate pair in a name": {`{"\ud83d":1}`, ErrString},
		"more members than the bound":     {many, ErrTooMany},
		"a name longer than the bound":    {`{"` + strings.Repeat("n", maxName+1) + `":1}`, ErrTooMany},
	} {
		if got, err := ReadObject([]byte(c.doc)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

func TestReadObjectKeepsValuesAsTheyCame(t *testing.T) {
	t.Parallel()
	doc := ` { "a" : 1.0e5 ,"b":{"x":[1,"]}",{"\\":"\""}]},` + "\t\"c\" : \"q\\\"}\" , \"d\":[ ] ,\"\\u00e9\":null,\"t\":true\r\n}\n"
	members, err := ReadObject([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "1.0e5", "b", `{"x":[1,"]}",{"\\":"\""}]}`, "c", `"q\"}"`, "d", "[ ]", "é", "null", "t", "true"}
	var got []string
	for _, m := range members {
		got = append(got, string(m.Name), string(m.Value))
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
	if v := FindMember(members, "d"); string(v) != "[ ]" {
		t.Errorf("FindMember d: %q", v)
	}
	if v := FindMember(members, "D"); v != nil {
		t.Errorf("FindMember is blind to case: %q", v)
	}
	if empty, err := ReadObject([]byte("{ }")); err != nil || len(empty) != 0 {
		t.Errorf("an empty object: %v, %v", empty, err)
	}
}

func TestLookupFindsWhatSplitObjectFinds(t *testing.T) {
	t.Parallel()
	docs := append([]string{
		`{"a":{"type":"deep"},"type":"first","type":"second"}`, `{"b":["type"],"\u0074ype": 1e5 }`, `{"ype":1}`, `{"type":null}x`,
		`{"half\ud800":1,"type":""}`, "{\"type\":\"\xff\"}", `[{"type":1}]`, `"type"`,
	}, valids...)
	for _, doc := range docs {
		members, wantErr := SplitObject([]byte(doc))
		got, err := Lookup([]byte(doc), "type")
		if want := FindMember(members, "type"); err != wantErr || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%.60q: %q, %v; want %q, %v", doc, got, err, want, wantErr)
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{``, `"`, `1`, `null`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"\ud83d\ud83d\ude00"`, `"\u12"`, `"\x"`, `"\"`} {
		if got, err := Unquote([]byte(bad)); !errors.Is(err, ErrString) {
			t.Errorf("%s: %q, %v; want ErrString", bad, got, err)
		}
	}
	for literal, want := range map[string]string{
		`""`: "", `"a"`: "a", `"\\u4e2d"`: `\u4e2d`, `"\u4e2d\u6587"`: "中文", `"\u4E2Dx"`: "中x",
		`"\ud83d\ude00"`: "😀", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\uFFFD"`: "\ufffd", `"\u0000"`: "\x00",
	} {
		if got, err := Unquote([]byte(literal)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", literal, got, err, want)
		}
	}
}

func TestRestOfMembersLeavesOutWhatFitsNoHeader(t *testing.T) {
	t.Parallel()
	doc := `{"a":"x","n":12.50,"b":false,"o":{"k":1},"u":"\u4e2d","none":null,"line":"1\n2","half":"\ud800",` +
		`"taken":"t","bad name":"x","":"x","` + strings.Repeat("n", 65) + `":"x","long":"` + strings.Repeat("v", 1025) + `"}`
	members, err := ReadObject([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "x", "n": "12.50", "b": "false", "o": `{"k":1}`, "u": "中"}
	if got := RestOfMembers(members, "taken"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheckSecretNamesWhatThePasteBrought(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " s3cret-value", "s3cret-value ", "s3cret-value\n", "s3cret-value\r\n", "\ufeffs3cret-value",
		"s3cret-\u200bvalue", "s3cret\u00a0value", "s3cret\tvalue", "s3cret-value\u3000", "s3cret-\xffvalue"} {
		err := CheckSecret(bad)
		if err == nil {
			t.Errorf("%q is let through", bad)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error tells it: %v", bad, err)
		}
	}
	for _, good := range []string{"0123456789abcdef", "密钥", "a b", "+/=="} {
		if err := CheckSecret(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestPrintableAndDigits(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "a\n", "a\u200b", "\xff", strings.Repeat("x", 257)} {
		if Printable(bad) {
			t.Errorf("%q counts as printable", bad)
		}
	}
	if !Printable(strings.Repeat("x", 256)) || !Printable("订单.a b") {
		t.Error("a printable text does not count as one")
	}
	for _, bad := range []string{"", "-1", "1.0", "１", "12345"} {
		if Digits(bad, 4) {
			t.Errorf("%q counts as digits", bad)
		}
	}
	if !Digits("0123", 4) {
		t.Error("digits do not count as digits")
	}
}

// FuzzReadObject holds ReadObject against encoding/json: what it accepts is an object there too, with the same members.
func FuzzReadObject(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":"x\"y","c":{"d":[1,2,{}]}}`, `{"a":"\ud83d\ude00"}`, `{"a":1}x`, `{}`, "", `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		members, err := ReadObject(doc)
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(doc, &want); err != nil || len(want) != len(members) {
			t.Fatalf("encoding/json: %v, %d members; ReadObject: %d", err, len(want), len(members))
		}
		for _, m := range members {
			if !bytes.Equal(bytes.TrimSpace(want[string(m.Name)]), m.Value) {
				t.Fatalf("member %q is %q, not %q", m.Name, m.Value, want[string(m.Name)])
			}
			var s string
			if text, err := Unquote(m.Value); err == nil && (json.Unmarshal(m.Value, &s) != nil || s != string(text)) {
				t.Fatalf("%q is %q, not %q", m.Value, text, s)
			}
		}
	})
}

// FuzzAppendQuote wants every text back that was quoted.
func FuzzAppendQuote(f *testing.F) {
	for _, s := range []string{"", "a\"\\/\b\f\n\r\t\x00\x7f<>&\u2028😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		q := AppendQuote(nil, s)
		var std string
		if got, err := Unquote(q); err != nil || string(got) != s || json.Unmarshal(q, &std) != nil || std != s {
			t.Fatalf("%q became %s and then %q, %v", s, q, got, err)
		}
	})
}
