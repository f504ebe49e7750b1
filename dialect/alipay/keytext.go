package alipay

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
)

// maxKeyText bounds the text of a key or certificate file; Alipay's root bundle has about 8 KiB.
const maxKeyText = 256 << 10

// strays are what clipboards, chat tools and environment files leave in a key: escapes that were never turned into
// line ends, byte order marks, zero-width and direction characters.
var strays = strings.NewReplacer(
	`\r`, "\n", `\n`, "\n",
	"\ufeff", "", "\u200b", "", "\u200c", "", "\u200d", "", "\u2060", "", "\u00ad", "",
	"\u200e", "", "\u200f", "", "\u202a", "", "\u202b", "", "\u202c", "", "\u202d", "", "\u202e", "",
)

// keyDER decodes the first block of a PEM text, or a text that is base64 alone. EC PARAMETERS, which openssl puts
// before a key, are passed over.
func keyDER(text string) ([]byte, error) {
	der, err := firstDER(text)
	if err == nil && len(der) > maxKeyDER {
		err = errTooLong
	}
	return der, err
}

var errTooLong = errors.New("is too long for a key or certificate")

func firstDER(text string) ([]byte, error) {
	if len(text) > maxKeyText {
		return nil, errTooLong
	}
	text = strings.Trim(strays.Replace(text), "\"' \t\r\n")
	if text == "" {
		return nil, errors.New("is empty")
	}
	for {
		label, body, rest, err := nextBlock(text)
		switch {
		case err != nil:
			return nil, err
		case label == "":
			return decodeBase64(text)
		case label == "EC PARAMETERS":
			text = rest
		default:
			return blockDER(label, body)
		}
	}
}

// nextBlock cuts the next PEM block out of a text; label is "" when there is none. Unlike encoding/pem it does not
// care how the base64 is divided into lines: users paste it in one.
func nextBlock(text string) (label, body, rest string, err error) {
	_, after, ok := strings.Cut(text, "-----BEGIN ")
	if !ok {
		return "", "", "", nil
	}
	label, after, ok = strings.Cut(after, "-----")
	if !ok || label == "" {
		return "", "", "", errors.New("has a BEGIN line that is not closed with five dashes")
	}
	body, rest, ok = strings.Cut(after, "-----END "+label+"-----")
	if !ok {
		return "", "", "", errors.New("has a BEGIN line, but no END line that fits it: part of it may be missing")
	}
	return label, body, rest, nil
}

func blockDER(label, body string) ([]byte, error) {
	switch {
	case strings.Contains(label, "ENCRYPTED") || strings.Contains(body, "ENCRYPTED"):
		return nil, errors.New("is encrypted with a passphrase; decrypt it first (openssl pkey)")
	case strings.Contains(label, "CERTIFICATE REQUEST"):
		return nil, errors.New("is a certificate request, not a key; Alipay gives out the certificate for it")
	}
	return decodeBase64(body)
}

func decodeBase64(text string) ([]byte, error) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	// The padding says nothing that the DER inside does not say, and copies often lose it.
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(der) == 0 {
		return nil, errors.New("is neither PEM nor base64")
	}
	return der, nil
}

// certificates returns the DER of every certificate of a file, in its order.
func certificates(text string) ([][]byte, error) {
	if len(text) > maxKeyText {
		return nil, errors.New("is too long for a certificate file")
	}
	var out [][]byte
	rest := strays.Replace(text)
	for {
		label, body, after, err := nextBlock(rest)
		if err != nil {
			return nil, err
		}
		if label == "" {
			break
		}
		rest = after
		if label != "CERTIFICATE" {
			continue
		}
		der, err := decodeBase64(body)
		if err != nil {
			return nil, err
		}
		out = append(out, der)
	}
	if len(out) > 0 {
		return out, nil
	}
	der, err := keyDER(text)
	if err != nil {
		return nil, err
	}
	return [][]byte{der}, nil
}
