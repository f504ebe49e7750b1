package simulate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/waypost/waypost/dialect"
)

const (
	ed25519Prefix = "whsk_"
	rsaBits       = 2048
)

// Keys makes a set of test keys for a dialect: what the platform and what the receiver enters so that each understands the
// other. They are drawn from crypto/rand and are good for tests; a real platform gives its own.
func Keys(d *dialect.Dialect) (platform, receiver dialect.Settings, err error) {
	switch d.Name {
	case "standard":
		return shared("secret", "whsec_"+base64.StdEncoding.EncodeToString(random(32)))
	case "pandapon":
		return shared("access_secret", hex.EncodeToString(random(16)))
	case "aop1688":
		return shared("app_secret", hex.EncodeToString(random(16)))
	case "douyin", "douyinspi":
		return shared("client_key", "aw"+hex.EncodeToString(random(7)), "client_secret", hex.EncodeToString(random(16)))
	case "alipay":
		return alipayKeys()
	case "yunzhimeng":
		return yunzhimengKeys()
	case "douyinmini":
		private, public, err := rsaPair()
		return dialect.Set("platform_private_key", private), dialect.Set("platform_public_key", public), err
	}
	return nil, nil, fmt.Errorf("there are no test keys for the dialect %s", d.Name)
}

// RotatingKeys is Keys with two live keys on both sides, the present one first: for the habit rotation.
func RotatingKeys(d *dialect.Dialect) (platform, receiver dialect.Settings, err error) {
	platform, receiver, err = Keys(d)
	if err != nil {
		return nil, nil, err
	}
	nextPlatform, nextReceiver, err := Keys(d)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range d.Fields {
		if !f.Several {
			continue
		}
		if f.Secret {
			platform[f.Name] = append(platform[f.Name], nextPlatform[f.Name]...)
		}
		receiver[f.Name] = append(receiver[f.Name], nextReceiver[f.Name]...)
	}
	for _, s := range []dialect.Settings{platform, receiver} {
		maps.DeleteFunc(s, func(_ string, values []string) bool { return len(values) == 0 })
	}
	return platform, receiver, nil
}

// splitKeys makes of settings with two live keys those that hold the first alone, and those that hold the second.
func splitKeys(d *dialect.Dialect, s dialect.Settings) (present, next dialect.Settings) {
	present = maps.Clone(s)
	for _, f := range d.Fields {
		if values := s.All(f.Name); f.Secret && f.Several && len(values) > 1 {
			if next == nil {
				next = maps.Clone(s)
			}
			present[f.Name], next[f.Name] = values[:1], values[1:2]
		}
	}
	return present, next
}

// shared is for platforms where both sides hold the same secrets.
func shared(pairs ...string) (platform, receiver dialect.Settings, err error) {
	return dialect.Set(pairs...), dialect.Set(pairs...), nil
}

// alipayKeys are two RSA pairs, as in the console's key mode: the platform's signs messages, the application's signs the
// answer to the gateway check.
func alipayKeys() (platform, receiver dialect.Settings, err error) {
	platformPrivate, platformPublic, err := rsaPair()
	if err != nil {
		return nil, nil, err
	}
	appPrivate, appPublic, err := rsaPair()
	if err != nil {
		return nil, nil, err
	}
	id := "2021" + digits(12)
	return dialect.Set("app_id", id, "platform_private_key", platformPrivate, "app_public_key", appPublic),
		dialect.Set("app_id", id, "alipay_public_key", platformPublic, "app_private_key", appPrivate), nil
}

// yunzhimengKeys are two pairs on P-256: the platform signs with ivs_private_key and encrypts fields to the receiver's
// sign_public_key.
func yunzhimengKeys() (platform, receiver dialect.Settings, err error) {
	signPrivate, signPublic, err := ecPair()
	if err != nil {
		return nil, nil, err
	}
	fieldPrivate, fieldPublic, err := ecPair()
	if err != nil {
		return nil, nil, err
	}
	return dialect.Set("ivs_private_key", signPrivate, "sign_public_key", fieldPublic),
		dialect.Set("ivs_public_key", signPublic, "sign_secret_key", fieldPrivate), nil
}

func rsaPair() (private, public string, err error) {
	k, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return "", "", fmt.Errorf("make an RSA key: %w", err)
	}
	return keyTexts(k, &k.PublicKey)
}

func ecPair() (private, public string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make an EC key: %w", err)
	}
	return keyTexts(k, &k.PublicKey)
}

// keyTexts writes a pair as the platforms' consoles do: PKCS#8 and X.509, in one line of base64.
func keyTexts(private, public any) (privateText, publicText string, err error) {
	a, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", fmt.Errorf("write a private key: %w", err)
	}
	b, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", "", fmt.Errorf("write a public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(a), base64.StdEncoding.EncodeToString(b), nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

func digits(n int) string {
	b := random(n)
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	return string(b)
}
