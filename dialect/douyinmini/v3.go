package douyinmini

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// readKey is a live key, or why it cannot be read.
type readKey[K any] struct {
	key *K
	err error
}

func readPublicKeys(s dialect.Settings) []readKey[rsa.PublicKey] {
	texts := s.All("platform_public_key")
	keys := make([]readKey[rsa.PublicKey], min(len(texts), dialect.MaxLiveSecrets))
	for i := range keys {
		keys[i].key, keys[i].err = publicKey(texts[i])
	}
	return keys
}

// readPrivateKey reads the key that signs: the first.
func readPrivateKey(s dialect.Settings) (k readKey[rsa.PrivateKey]) {
	texts := s.All("platform_private_key")
	if len(texts) == 0 {
		k.err = errors.New("douyinmini: signing: setting platform_private_key is empty")
		return k
	}
	if k.key, k.err = privateKey(texts[0]); k.err != nil {
		k.err = fmt.Errorf("douyinmini: signing: setting platform_private_key %w", k.err)
	}
	return k
}

// verifyV3 checks an RSA signature over time, nonce and raw body, and reads the body then.
func verifyV3(keys []readKey[rsa.PublicKey], in dialect.Inbound) (callback, *dialect.Error) {
	given := dialect.Header(in.Header, signatureHeader)
	if given == "" {
		return callback{}, unsignedV3(in.Body)
	}
	stamp, nonce := dialect.Header(in.Header, timeHeader), dialect.Header(in.Header, nonceHeader)
	signature, err := base64.StdEncoding.Strict().DecodeString(given)
	if err != nil {
		return callback{}, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is not base64")
	}
	if len(keys) == 0 {
		return callback{}, dialect.Refuse(dialect.ReasonSettings, "setting platform_public_key", "is not set, so no signature can be judged")
	}
	digest := digestV3(stamp, nonce, in.Body)
	for i, k := range keys {
		if k.err != nil {
			return callback{}, dialect.Refuse(dialect.ReasonSettings, "setting platform_public_key", "%v", k.err)
		}
		if rsa.VerifyPKCS1v15(k.key, crypto.SHA256, digest, signature) != nil {
			continue
		}
		at, ok := seconds(stamp)
		if !ok {
			return callback{}, dialect.Refuse(dialect.ReasonReplay, "header "+timeHeader, "is no time in seconds")
		}
		// A body that is signed but no object is kept, and shown as unreadable for want of a type.
		members, _ := dialect.ReadObject(in.Body)
		return callback{members: members, at: at, key: i, header: map[string]string{timeHeader: stamp, nonceHeader: nonce}}, nil
	}
	return callback{}, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "matches time, nonce and body under none of the live keys")
}

func unsignedV3(body []byte) *dialect.Error {
	members, err := dialect.ReadObject(body)
	if err != nil {
		return noObject(err)
	}
	if dialect.FindMember(members, "msg") == nil {
		return dialect.Refuse(dialect.ReasonNotEnvelope, "body member msg", "is missing")
	}
	return dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is missing")
}

// digestV3 is the SHA-256 of the signed text: time, nonce and raw body, a line feed behind each.
func digestV3(stamp, nonce string, body []byte) []byte {
	h := sha256.New()
	h.Write([]byte(stamp + "\n" + nonce + "\n"))
	h.Write(body)
	h.Write([]byte("\n"))
	return h.Sum(nil)
}

// signV3 makes a callback. PKCS#1 v1.5 draws nothing at random: the same input has the same signature.
func signV3(k readKey[rsa.PrivateKey], o dialect.Outbound) (dialect.Request, error) {
	if k.err != nil {
		return dialect.Request{}, k.err
	}
	b := make([]byte, 0, len(o.Payload)+len(o.Payload)/4+128)
	b = dialect.AppendQuote(append(b, `{"version":`...), versionOf(o))
	b = dialect.AppendQuote(append(b, `,"type":`...), o.EventType)
	b = append(dialect.AppendQuote(append(b, `,"msg":`...), o.Payload), '}')

	stamp, nonce := strconv.FormatInt(o.Now.Unix(), 10), o.Platform[nonceHeader]
	if nonce == "" {
		nonce = strings.ToUpper(hex.EncodeToString(dialect.Derive(o.Seed, "douyinmini/nonce", 16)))
	}
	if !dialect.Printable(nonce) {
		return dialect.Request{}, errors.New("douyinmini: signing: platform member Byte-Nonce-Str must be a printable text of 1 to 256 bytes")
	}
	signature, err := rsa.SignPKCS1v15(nil, k.key, crypto.SHA256, digestV3(stamp, nonce, b))
	if err != nil {
		return dialect.Request{}, fmt.Errorf("douyinmini: signing: %w", err)
	}
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{
			"Content-Type":  {contentType},
			timeHeader:      {stamp},
			nonceHeader:     {nonce},
			signatureHeader: {base64.StdEncoding.EncodeToString(signature)},
		},
		Body: b,
	}, nil
}

func versionOf(o dialect.Outbound) string {
	if v, ok := o.Platform["version"]; ok {
		return v
	}
	return "3.0"
}
