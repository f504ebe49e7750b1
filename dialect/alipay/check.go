package alipay

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// maxSchedule bounds an own schedule.
const maxSchedule = 100

// check parses every key and holds settings against each other. Its texts name settings and never hold a value.
func check(s dialect.Settings, use dialect.Use) error {
	checks := []func(dialect.Settings) error{checkAppID, checkAESKeys, checkOverrides, checkSchedule, checkCertificates}
	if use == dialect.Sending {
		checks = append(checks, checkSendingKeys)
	} else {
		checks = append(checks, checkReceivingKeys, checkMemory, checkDialing)
	}
	for _, c := range checks {
		if err := c(s); err != nil {
			return err
		}
	}
	return nil
}

func problem(field, format string, args ...any) error {
	return dialect.Problem{Field: field, Text: fmt.Sprintf(format, args...)}
}

// nth names one of several values.
func nth(i, n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("value %d ", i+1)
}

func checkAppID(s dialect.Settings) error {
	if id := s.Get(fAppID); id != "" && !validAppID(id) {
		return problem(fAppID, "must be at most %d letters and digits, without blanks", maxAppID)
	}
	return nil
}

// maxAppID bounds an app_id; the platform's have 16 digits, its documents allow 20 characters.
const maxAppID = 64

func validAppID(id string) bool {
	return len(id) <= maxAppID && id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	})
}

func checkAESKeys(s dialect.Settings) error {
	keys := s[fAESKey]
	for i, k := range keys {
		if _, err := parseAESKey(k); err != nil {
			return problem(fAESKey, "%s%v", nth(i, len(keys)), err)
		}
	}
	return nil
}

func checkOverrides(s dialect.Settings) error {
	entries := s[fRuleOverrides]
	for i, e := range entries {
		if _, _, err := parseOverride(e); err != nil {
			return problem(fRuleOverrides, "%s%v", nth(i, len(entries)), err)
		}
	}
	return nil
}

func checkSchedule(s dialect.Settings) error {
	if len(s.Durations(fRetrySchedule)) > maxSchedule {
		return problem(fRetrySchedule, "has more than %d waits", maxSchedule)
	}
	return nil
}

// checkMemory wants a message to be accepted for as long as the platform repeats it, which may be with the first time,
// and remembered for twice as long as a signed time may be off.
func checkMemory(s dialect.Settings) error {
	p := policy(s)
	if p.DedupFor/2 < p.Total() {
		return problem(fDedupFor, "must be at least twice as long as the schedule on which the platform repeats, which lasts %s", p.Total())
	}
	if positive(s, fMaxAge, 0) > p.DedupFor/2 {
		return problem(fMaxAge, "must be at most half of %s", fDedupFor)
	}
	return nil
}

func checkReceivingKeys(s dialect.Settings) error {
	public, err := publicKeysOf(s, fAlipayPublicKey)
	if err != nil {
		return err
	}
	own, err := privateKeysOf(s, fAppPrivateKey)
	if err != nil {
		return err
	}
	for _, p := range public {
		for _, k := range own {
			if p.Equal(k.Public()) {
				return problem(fAlipayPublicKey, "is the application's own public key: it belongs to app_private_key; paste the Alipay public key")
			}
		}
	}
	return nil
}

func checkSendingKeys(s dialect.Settings) error {
	private, err := privateKeysOf(s, fPlatformKey)
	if err != nil {
		return err
	}
	alg := s.Or(fSignType, RSA2)
	if len(private) > 0 && !private[0].fits(alg) {
		return problem(fPlatformKey, "is not a key for %s", alg)
	}
	public, err := publicKeysOf(s, fAppPublicKey)
	if err != nil {
		return err
	}
	for _, p := range public {
		for _, k := range private {
			if p.Equal(k.Public()) {
				return problem(fAppPublicKey, "is the platform's own public key: it belongs to platform_private_key; paste the developer's")
			}
		}
	}
	return nil
}

func publicKeysOf(s dialect.Settings, field string) ([]*PublicKey, error) {
	var out []*PublicKey
	for i, text := range s[field] {
		k, err := ParsePublicKey(text)
		if err != nil {
			return nil, problem(field, "%s%v", nth(i, len(s[field])), err)
		}
		out = append(out, k)
	}
	return out, nil
}

func privateKeysOf(s dialect.Settings, field string) ([]*PrivateKey, error) {
	var out []*PrivateKey
	for i, text := range s[field] {
		k, err := ParsePrivateKey(text)
		if err != nil {
			return nil, problem(field, "%s%v", nth(i, len(s[field])), err)
		}
		out = append(out, k)
	}
	return out, nil
}

func (k *PrivateKey) fits(signType string) bool {
	if signType == SM2 {
		return k.sm2 != nil
	}
	return k.rsa != nil
}

// ownKey returns the first private key of a setting.
func ownKey(s dialect.Settings, field string) (*PrivateKey, error) {
	text := s.Get(field)
	if text == "" {
		return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+field, "is not set")
	}
	k, err := ParsePrivateKey(text)
	if err != nil {
		return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+field, "%v", err)
	}
	return k, nil
}

// anyKey returns which of the live public keys of a setting verifies, counted from 0.
func anyKey(s dialect.Settings, field, signType string, data, sig []byte) (int, error) {
	texts := s[field]
	var broken error
	usable, fitting := 0, 0
	for i, text := range texts[:min(len(texts), dialect.MaxLiveSecrets)] {
		if text == "" {
			continue
		}
		k, err := ParsePublicKey(text)
		if err != nil {
			broken = fmt.Errorf("%s%w", nth(i, len(texts)), err)
			continue
		}
		usable++
		err = k.verify(signType, data, sig)
		if err == nil {
			return i, nil
		}
		if errors.Is(err, errSignature) {
			fitting++
		}
	}
	switch {
	case broken != nil: // it might be the right one, so the request is not called forged
		return 0, dialect.Refuse(dialect.ReasonSettings, "setting "+field, "%v", broken)
	case usable == 0:
		return 0, dialect.Refuse(dialect.ReasonSettings, "setting "+field, "is not set")
	case fitting == 0:
		return 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+pSign, "no key in %s is of the kind that %s needs", field, signType)
	}
	return 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+pSign, "no key in %s verifies it with %s", field, signType)
}
