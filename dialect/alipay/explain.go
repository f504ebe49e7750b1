package alipay

import (
	"encoding/base64"
	"iter"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.ParamPlace(pSign),
	Write:     base64.StdEncoding.EncodeToString,
	Signed:    []dialect.Place{dialect.ParamPlace(pBizContent), dialect.BodyPlace()},
	Form:      true,
	Names:     public,
	Keys:      []string{fAlipayPublicKey},
	Account:   fAppID,
	Answers:   []string{fAppPrivateKey},
	Cost:      func(string) int { return 24 << 10 }, // of RSA with 4096 bits
	Own:       []dialect.Repair{otherAlgorithm, otherRule, unsignedSerial, charsetName, lostParam, ownKeyPasted},
}

// candidate is a case in which one thing was undone.
func candidate(c dialect.Case, code, where string) dialect.Candidate {
	return dialect.Candidate{Case: c, Codes: []string{code}, Where: where}
}

// otherAlgorithm undoes a sign_type, in the request or in the settings, that is not what the signature was made with.
func otherAlgorithm(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if c.Settings.Get(fSignType) != "" {
			free := c
			free.Settings = c.Settings.With(fSignType)
			if !yield(candidate(free, "algorithm_other", "setting "+fSignType)) {
				return
			}
			c = free
		}
		place := dialect.ParamPlace(pSignType)
		given, _ := place.Get(c.Inbound)
		for _, algorithm := range []string{RSA2, RSA, SM2} {
			out := c
			var ok bool
			if out.Inbound, ok = place.Put(c.Inbound, []byte(algorithm)); !ok {
				out.Settings = c.Settings.With(fSignType, algorithm)
			}
			if algorithm != string(given) && !yield(candidate(out, "algorithm_other", place.Name)) {
				return
			}
		}
	}
}

// otherRule undoes that sign_type was signed where it is not to be, or the reverse.
func otherRule(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		value := func(name string) string {
			text, _ := dialect.ParamPlace(name).Get(c.Inbound)
			return string(text)
		}
		method, service, notifyType := value(pMsgMethod), value(pService), value(pNotifyType)
		name := method + service + notifyType
		if method != "" {
			name = method
		} else if service != "" {
			name = service
		}
		other := V2
		if ruleFor(c.Settings, method, service, notifyType) == V2 {
			other = V1
		}
		if name == "" {
			return
		}
		rest := slices.DeleteFunc(slices.Clone(c.Settings[fRuleOverrides]), func(entry string) bool {
			return strings.HasPrefix(entry, name+"=")
		})
		c.Settings = c.Settings.With(fRuleOverrides, append([]string{name + "=" + other.String()}, rest...)...)
		yield(candidate(c, "alipay_rule", "setting "+fRuleOverrides))
	}
}

// unsignedSerial undoes that alipay_cert_sn is taken to be signed.
func unsignedSerial(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if _, ok := dialect.ParamPlace(pCertSN).Get(c.Inbound); !ok {
			return
		}
		c.Settings = c.Settings.With(fCertSN, certSNUnsigned)
		yield(candidate(c, "alipay_cert_sn", "setting "+fCertSN))
	}
}

// charsetName undoes a parameter charset that was put in another spelling, or to another charset, on the way.
func charsetName(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		place := dialect.ParamPlace(pCharset)
		given, ok := place.Get(c.Inbound)
		for _, name := range []string{"UTF-8", "utf-8", "GBK", "gbk", "utf8", "GB2312", "GB18030"} {
			out := c
			var put bool
			if out.Inbound, put = place.Put(c.Inbound, []byte(name)); !ok || !put || name == string(given) {
				continue
			}
			if !yield(candidate(out, "charset_name", place.Name)) {
				return
			}
		}
	}
}

// lostParam undoes that a program which knows only some parameters dropped one whose value can be guessed.
func lostParam(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		for _, p := range []Param{
			{pSignType, RSA2}, {pSignType, RSA}, {pCharset, "UTF-8"}, {pCharset, "utf-8"}, {pCharset, "GBK"},
			{pVersion, "1.1"}, {pVersion, "1.0"}, {pEncryptType, encryptAES},
		} {
			place := dialect.ParamPlace(p.Name)
			if _, ok := place.Get(c.Inbound); ok || len(c.Inbound.Body) == 0 {
				continue
			}
			out := c
			out.Inbound.Body = slices.Concat(c.Inbound.Body, []byte("&"), EncodeForm([]Param{p}))
			if !yield(candidate(out, "param_lost", place.Name)) {
				return
			}
		}
	}
}

// ownKeyPasted undoes that the application's key stands where Alipay's belongs, where another setting holds Alipay's.
func ownKeyPasted(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		for _, field := range []string{fAppPublicKey, fPlatformKey} {
			for _, text := range c.Settings.All(field) {
				if private, err := ParsePrivateKey(text); err == nil {
					text, _ = private.Public().SPKI()
				}
				out := c
				out.Settings = c.Settings.With(fAlipayPublicKey, text)
				if !yield(candidate(out, "secret_field", "setting "+fAlipayPublicKey)) {
					return
				}
			}
		}
	}
}
