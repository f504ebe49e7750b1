package yunzhimeng

import (
	"math/big"
	"testing"
)

func TestNumbersHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "-", "-1", "-0", "+1", "00", "01", "1 ", " 1", "1\n", "1.0", "1e3", "0x1", "1_000", "１", "9223372036854775808", "18446744073709551616",
	} {
		if n, ok := parseNumber(text); ok {
			t.Errorf("%q is read as %d", text, n.value)
		}
	}
	for _, text := range []string{"0", "7", "123456789012345678", "9223372036854775807"} {
		if n, ok := parseNumber(text); !ok || n != number(n.value) || n.text != text {
			t.Errorf("%q is read as %+v", text, n)
		}
	}
}

func TestSignaturesHaveOneDER(t *testing.T) {
	t.Parallel()
	one := []byte{0x02, 0x01, 0x01}
	pair := append(append([]byte{}, one...), one...)
	long := appendElement(nil, tagInteger, append([]byte{0x7f}, make([]byte, 199)...))
	for name, b := range map[string][]byte{
		"nothing":                       {},
		"a tag alone":                   {0x30},
		"another tag":                   append([]byte{0x31, 6}, pair...),
		"the indefinite form":           append(append([]byte{0x30, 0x80}, pair...), 0, 0),
		"a long form for a short one":   append([]byte{0x30, 0x81, 6}, pair...),
		"a length with a leading zero":  append([]byte{0x30, 0x82, 0, 206}, append(append([]byte{}, long...), one...)...),
		"a length of three bytes":       append([]byte{0x30, 0x83, 0, 0, 6}, pair...),
		"a length beyond the end":       append([]byte{0x30, 7}, pair...),
		"a byte behind it":              append(append([]byte{0x30, 6}, pair...), 0),
		"a byte within it":              append(append([]byte{0x30, 7}, pair...), 0),
		"a third number":                append(append([]byte{0x30, 9}, pair...), one...),
		"one number":                    append([]byte{0x30, 3}, one...),
		"a number of no bytes":          {0x30, 5, 2, 0, 2, 1, 1},
		"a negative number":             {0x30, 6, 2, 1, 0x81, 2, 1, 1},
		"a number with a leading zero":  {0x30, 7, 2, 2, 0, 1, 2, 1, 1},
		"a number of another type":      {0x30, 6, 4, 1, 1, 2, 1, 1},
		"a number that ends outside it": {0x30, 6, 2, 1, 1, 2, 2, 1},
	} {
		if r, s, ok := parsePair(b); ok {
			t.Errorf("%s is read as %v and %v", name, r, s)
		}
	}
	big200 := new(big.Int).Lsh(big.NewInt(0x7f), 8*199)
	for _, n := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(0x7f), big.NewInt(0x80), big200} {
		r, s, ok := parsePair(marshalPair(n, big.NewInt(1)))
		if !ok || r.Cmp(n) != 0 || s.Cmp(big.NewInt(1)) != 0 {
			t.Errorf("%v does not come back from its DER: %v, %v", n, r, ok)
		}
	}
}
