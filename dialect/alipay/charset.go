package alipay

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// The charsets that a sender may set.
const (
	charsetUTF8 = "UTF-8"
	charsetGBK  = "GBK"
)

// toUTF8 turns text in the charset that a request names into UTF-8. Names are compared without regard to case, as Java
// does; GB2312 is read as GBK, of which it is a part.
func toUTF8(charset, s string) (string, error) {
	var enc encoding.Encoding
	switch strings.ToUpper(charset) {
	case charsetUTF8, "UTF8":
		if !utf8.ValidString(s) {
			return "", errors.New("is not UTF-8, though the parameter charset says so")
		}
		return s, nil
	case charsetGBK, "GB2312":
		enc = simplifiedchinese.GBK
	case "GB18030":
		enc = simplifiedchinese.GB18030
	default:
		return "", errors.New("is in a charset that is not supported; UTF-8, GBK, GB2312 and GB18030 are")
	}
	if isASCII(s) {
		return s, nil
	}
	out, err := enc.NewDecoder().String(s)
	if err != nil || strings.ContainsRune(out, utf8.RuneError) {
		return "", errors.New("is not text in the charset that the parameter charset names")
	}
	return out, nil
}

// fromUTF8 turns UTF-8 into the charset of a sender.
func fromUTF8(charset, s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is not UTF-8")
	}
	if charset != charsetGBK || isASCII(s) {
		return s, nil
	}
	code, err := simplifiedchinese.GBK.NewEncoder().String(s)
	if err == nil && inJavaGBK(code) {
		return code, nil
	}
	for i, r := range s {
		if code, err := simplifiedchinese.GBK.NewEncoder().String(string(r)); err != nil || !inJavaGBK(code) {
			return "", fmt.Errorf("has a character at byte %d that GBK cannot write; send in UTF-8", i)
		}
	}
	return "", errors.New("cannot be written in GBK; send in UTF-8") // not reached: some character is at fault
}

// inJavaGBK leaves out the codes of the newer GBK table that Java's, which the platform's receivers use, does not have
// or reads as other characters.
func inJavaGBK(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < utf8.RuneSelf {
			continue
		}
		if i+1 == len(text) || text[i] == 0x80 {
			return false
		}
		c := uint16(text[i])<<8 | uint16(text[i+1])
		if c == 0xa892 || c == 0xa8bf || c >= 0xa989 && c <= 0xa995 || c >= 0xfe50 {
			return false
		}
		i++
	}
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
