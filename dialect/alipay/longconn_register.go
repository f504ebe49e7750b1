package alipay

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// The paths of the long connection on the platform's host, and the hosts that Alipay's documents name.
const (
	RegisterPath = "/websocket/register.do"
	UpgradePath  = "/websocket"

	ProductionHost = "openchannel.alipay.com"
	SandboxHost    = "openchannel-sandbox.dl.alipaydev.com"
)

// SDKVersion is the sdk_version of the Java SDK whose behaviour the client half keeps to. The platform may look at it to
// know what a client can: certificate mode is from 4.11.54.ALL on.
const SDKVersion = "alipay-sdk-java-4.39.218.ALL"

// MaxSkew is how far the signed time of a register or upgrade query may be from the server's. The platform's own limit
// is not known.
const MaxSkew = 10 * time.Minute

// MaxQuery bounds a register or upgrade query; the Java client's have about 700 bytes.
const MaxQuery = 8 << 10

// MaxRegisterAnswer bounds the body that ReadRegisterAnswer looks at.
const MaxRegisterAnswer = 16 << 10

const (
	pTimestamp  = "timestamp"
	pSDKVersion = "sdk_version"
	pNonce      = "nonce"
	pLinkToken  = "link_token"
	pAppCertSN  = "app_cert_sn"
	pRootCertSN = "alipay_root_cert_sn"
)

// RegisterQuery makes the signed query of the GET that asks for a link token. nonce is drawn anew for each. sdkVersion
// "" means SDKVersion.
func RegisterQuery(s dialect.Settings, now time.Time, nonce [16]byte, sdkVersion string) (string, error) {
	return clientQuery(s, []Param{
		{pTimestamp, millis(now)},
		{pSignType, s.Or(fSignType, RSA2)},
		{pAppID, s.Get(fAppID)},
		{pCharset, charsetUTF8},
		{pSDKVersion, orSDK(sdkVersion)},
		{pNonce, hex.EncodeToString(nonce[:])},
	})
}

// UpgradeQuery makes the signed query of the GET that becomes the WebSocket.
func UpgradeQuery(s dialect.Settings, linkToken string, now time.Time, sdkVersion string) (string, error) {
	return clientQuery(s, []Param{
		{pAppID, s.Get(fAppID)},
		{pCharset, charsetUTF8},
		{pLinkToken, linkToken},
		{pTimestamp, millis(now)},
		{pSignType, s.Or(fSignType, RSA2)},
		{pSDKVersion, orSDK(sdkVersion)},
	})
}

func orSDK(version string) string {
	if version == "" {
		return SDKVersion
	}
	return version
}

// clientQuery adds the serials in certificate mode, signs by rule V2 with the application's key and writes the query.
func clientQuery(s dialect.Settings, params []Param) (string, error) {
	if !validAppID(s.Get(fAppID)) {
		return "", dialect.Refuse(dialect.ReasonSettings, "setting "+fAppID, "is not set or not an application's id; a long connection needs it")
	}
	key, err := ownKey(s, fAppPrivateKey)
	if err != nil {
		return "", err
	}
	app, root, err := AppCertSNs(s)
	if err != nil {
		return "", err
	}
	if app != "" {
		params = append(params, Param{pAppCertSN, app}, Param{pRootCertSN, root})
	}
	sign, err := key.Sign(s.Or(fSignType, RSA2), Canonical(V2, params))
	if err != nil {
		return "", dialect.Refuse(dialect.ReasonSettings, "setting "+fAppPrivateKey, "%v", err)
	}
	return string(EncodeForm(append(params, Param{pSign, sign}))), nil
}

// Query is what a register or upgrade query says. Until VerifyRegister or VerifyUpgrade holds it, nobody vouches for it.
type Query struct {
	AppID      string
	SignType   string
	Time       time.Time
	SDKVersion string
	LinkToken  string // of an upgrade
	Nonce      string // of a register

	// The serials of certificate mode, "" in key mode.
	AppCertSN, RootCertSN string

	sign   string
	signed []byte
}

// ReadQuery reads a register or upgrade query so that the application can be found by its id. It refuses what is not
// name=value pairs, repeated names, an ampersand or equals sign where the signed text would have several readings, and
// a charset other than UTF-8. The error is a *dialect.Error.
func ReadQuery(raw string) (Query, error) {
	if len(raw) > MaxQuery {
		return Query{}, badFrame("query", "is longer than %d bytes", MaxQuery)
	}
	params, err := ParseForm([]byte(raw))
	if err != nil {
		return Query{}, badFrame("query", "%s", strings.NewReplacer("the body", "it").Replace(err.Error()))
	}
	var q Query
	var charset, at string
	known := map[string]*string{
		pAppID: &q.AppID, pSignType: &q.SignType, pSDKVersion: &q.SDKVersion, pLinkToken: &q.LinkToken, pNonce: &q.Nonce,
		pAppCertSN: &q.AppCertSN, pRootCertSN: &q.RootCertSN, pCharset: &charset, pTimestamp: &at, pSign: &q.sign,
	}
	for _, p := range params {
		if strings.ContainsAny(p.Name, "&=") || strings.Contains(p.Value, "&") {
			return Query{}, badFrame("query", "has an ampersand or equals sign in a parameter, so that its signature could stand for several queries")
		}
		if field := known[p.Name]; field != nil {
			if p.Name != pSign && !clean(p.Value) {
				return Query{}, badFrame("parameter "+p.Name, "holds control characters or is not UTF-8")
			}
			*field = p.Value
		}
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	switch {
	case !validAppID(q.AppID):
		return Query{}, badFrame("parameter "+pAppID, "is missing or not an application's id")
	case !strings.EqualFold(charset, charsetUTF8):
		return Query{}, badFrame("parameter "+pCharset, "is missing or not UTF-8, which is all that a long connection carries")
	case err != nil || ms <= 0 || ms > 1<<53:
		return Query{}, badFrame("parameter "+pTimestamp, "is missing or not a number of milliseconds")
	}
	q.Time, q.signed = time.UnixMilli(ms), Canonical(V2, params)
	return q, nil
}

// VerifyRegister says whether the application itself asks for a link token: the signature holds against app_public_key,
// the signed time is within MaxSkew, and in certificate mode the serial is that of the certificate in app_public_key, if
// it is one. That a query may be sent twice within that time does no harm: the token is worth nothing without a signed
// upgrade. The error is a *dialect.Error.
func VerifyRegister(s dialect.Settings, q Query, now time.Time) error { return q.verify(s, now) }

// VerifyUpgrade is VerifyRegister for the query of the upgrade. That its link token was issued to this application, is
// fresh and was not used before, the caller says: only that keeps a copied query from being used again.
func VerifyUpgrade(s dialect.Settings, q Query, now time.Time) error {
	if q.LinkToken == "" {
		return badFrame("parameter "+pLinkToken, "is missing")
	}
	return q.verify(s, now)
}

func (q Query) verify(s dialect.Settings, now time.Time) error {
	switch alg := s.Get(fSignType); {
	case s.Get(fAppID) != q.AppID:
		return dialect.Refuse(dialect.ReasonSettings, "parameter "+pAppID, "is not the application of setting %s", fAppID)
	case !knownSignType(q.SignType):
		return dialect.Refuse(dialect.ReasonSignature, "parameter "+pSignType, "is missing or none of RSA2, RSA and SM2")
	case alg != "" && alg != q.SignType:
		return dialect.Refuse(dialect.ReasonSignature, "parameter "+pSignType, "is not the algorithm of setting %s", fSignType)
	}
	sig, err := decodeSign(q.sign)
	if err != nil {
		return dialect.Refuse(dialect.ReasonSignature, "parameter "+pSign, "%v", err)
	}
	key, err := anyKey(s, fAppPublicKey, q.SignType, q.signed, sig)
	if err != nil {
		return err
	}
	if q.AppCertSN != "" {
		if sn, err := CertSN(s[fAppPublicKey][key]); err == nil && sn != q.AppCertSN {
			return dialect.Refuse(dialect.ReasonSignature, "parameter "+pAppCertSN, "is not the serial of the certificate in setting %s", fAppPublicKey)
		}
	}
	if q.Time.Sub(now).Abs() > MaxSkew {
		return dialect.Refuse(dialect.ReasonReplay, "parameter "+pTimestamp, "is more than %s from now: set the clock of the client or of this machine", MaxSkew)
	}
	return nil
}

// successCode and oldSuccess are the values of code that the Java client takes for success.
const (
	successCode = "10000"
	oldSuccess  = "100000000"
)

// RegisterAnswer makes the body that gives out a link token: in the one order of keys that the Java client's scanner
// reads, signed by the platform's key with the algorithm of the query, and with alipay_cert_sn at the end when the query
// was in certificate mode, and only then, for the Java client in key mode falls over it. The HTTP status must be 200.
func RegisterAnswer(s dialect.Settings, q Query, linkToken string) ([]byte, error) {
	if !token(linkToken) {
		return nil, badFrame("link_token", "must be 1 to 256 letters, digits, dots, dashes and underscores")
	}
	key, err := ownKey(s, fPlatformKey)
	if err != nil {
		return nil, err
	}
	signed := `{"code":"` + successCode + `","msg":"Success","link_token":"` + linkToken + `"}`
	sign, err := key.Sign(q.SignType, []byte(signed))
	if err != nil {
		return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fPlatformKey, "%v", err)
	}
	body := `{"response":` + signed + `,"sign":"` + sign + `"`
	if q.AppCertSN != "" {
		cert := s.Get(fPlatformCert)
		if cert == "" {
			return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fPlatformCert, "is not set, and the client is in certificate mode")
		}
		sn, err := CertSN(cert)
		if err != nil {
			return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fPlatformCert, "%v", err)
		}
		body += `,"alipay_cert_sn":"` + sn + `"`
	}
	return []byte(body + "}"), nil
}

// token says whether a text can stand in a register answer and in a query without any escape.
func token(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-", r)
	})
}

// RegisterRefusal makes the body that gives out none, which needs no signature, in the codes of the open API. The HTTP
// status must be 200 all the same: Java's client loses the body of any other.
func RegisterRefusal(code, msg, subCode, subMsg string) []byte {
	b := dialect.AppendQuote([]byte(`{"response":{"code":`), code)
	b = dialect.AppendQuote(append(b, `,"msg":`...), msg)
	if subCode != "" {
		b = dialect.AppendQuote(append(b, `,"sub_code":`...), subCode)
	}
	if subMsg != "" {
		b = dialect.AppendQuote(append(b, `,"sub_msg":`...), writable(subMsg))
	}
	return append(b, "}}"...)
}

// RegisterRefused is a platform's refusal of a register query, in its own words.
type RegisterRefused struct{ Code, Msg, SubCode, SubMsg string }

// Error returns what the platform said, and what can be done about it where that is known.
func (e *RegisterRefused) Error() string {
	text := "the platform refuses to register: code " + e.Code
	for _, more := range []string{e.Msg, e.SubCode, e.SubMsg} {
		if more != "" {
			text += ", " + more
		}
	}
	switch e.SubCode {
	case "isv.invalid-app-id":
		return text + "; check " + fAppID + ", and whether it is a sandbox application at the production host or the other way round"
	case "isv.invalid-signature", "isv.missing-signature":
		return text + "; upload the public half of " + fAppPrivateKey + " in the console"
	case "isv.invalid-timestamp":
		return text + "; set this machine's clock"
	}
	return text
}

// ReadRegisterAnswer reads the body of the answer to a register query (HTTP status 200) and returns the link token. The
// signature over the raw text of "response" must hold against alipay_public_key with the algorithm of the settings. In
// certificate mode alipay_cert_sn, if there is one, must be the serial of the certificate in alipay_public_key. A refusal
// is a *RegisterRefused, which nobody signs; anything else a *dialect.Error.
func ReadRegisterAnswer(s dialect.Settings, body []byte) (linkToken string, err error) {
	if len(body) > MaxRegisterAnswer {
		return "", badFrame("register answer", "is longer than %d bytes", MaxRegisterAnswer)
	}
	outer, err := dialect.ReadObject(body)
	if err != nil {
		return "", badFrame("register answer", "%v", err)
	}
	response := dialect.FindMember(outer, "response")
	inner, err := dialect.ReadObject(response)
	if err != nil {
		return "", badFrame("register answer", "member response %v", err)
	}
	var refused RegisterRefused
	var sign, certSN string
	for _, m := range []struct {
		member
		of []dialect.Member
	}{
		{member{"code", &refused.Code, maxProtocol}, inner},
		{member{"msg", &refused.Msg, maxProtocol}, inner},
		{member{"sub_code", &refused.SubCode, maxProtocol}, inner},
		{member{"sub_msg", &refused.SubMsg, maxProtocol}, inner},
		{member{"link_token", &linkToken, maxProtocol}, inner},
		{member{"sign", &sign, maxSign}, outer},
		{member{"alipay_cert_sn", &certSN, maxProtocol}, outer},
	} {
		if *m.field, err = protocolText(m.of, m.member); err != nil {
			return "", err
		}
	}
	switch refused.Code {
	case successCode, oldSuccess:
	case "":
		return "", badFrame("register answer", "says no code")
	default:
		return "", &refused
	}
	if err := verifyAnswer(s, response, sign, certSN); err != nil {
		return "", err
	}
	if linkToken == "" {
		return "", badFrame("register answer", "says success and gives no link_token")
	}
	return linkToken, nil
}

func verifyAnswer(s dialect.Settings, response []byte, sign, certSN string) error {
	if sign == "" {
		return dialect.Refuse(dialect.ReasonSignature, "register answer", "says success and is not signed")
	}
	sig, err := decodeSign(sign)
	if err != nil {
		return dialect.Refuse(dialect.ReasonSignature, "register answer", "%v", err)
	}
	key, err := anyKey(s, fAlipayPublicKey, s.Or(fSignType, RSA2), response, sig)
	if err != nil {
		return within("register answer", err)
	}
	if certSN == "" || s.Get(fAppCert) == "" {
		return nil
	}
	if own, err := CertSN(s[fAlipayPublicKey][key]); err == nil && own != certSN {
		return dialect.Refuse(dialect.ReasonSignature, "register answer", "alipay_cert_sn is not the serial of the certificate in %s: download the platform's certificate again", fAlipayPublicKey)
	}
	return nil
}

// ReadZone returns the zone that the header of a register answer names, or "".
func ReadZone(h http.Header) string {
	for name, lines := range h {
		if !strings.EqualFold(name, "Set-Cookie") {
			continue
		}
		for _, line := range lines {
			first, _, _ := strings.Cut(line, ";")
			if zone, ok := strings.CutPrefix(strings.TrimSpace(first), "zone="); ok && token(zone) {
				return zone
			}
		}
	}
	return ""
}

// SetZone is the value of the Set-Cookie header that names a zone in a register answer.
func SetZone(zone string) string { return fmt.Sprintf("zone=%s; Path=/", zone) }

// ZoneCookie is the value of the cookie header in which the upgrade repeats the zone.
func ZoneCookie(zone string) string { return fmt.Sprintf("zone=%s;", zone) }
