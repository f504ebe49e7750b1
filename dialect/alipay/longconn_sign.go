package alipay

import (
	"errors"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// SignFrame returns the frame with x-charset, x-signType and x-sign: a CONSUME signed by platform_private_key (settings
// of an endpoint), a PRODUCE by app_private_key (settings of a source). What is signed is the text of Data, braces
// included, as it stands.
func SignFrame(s dialect.Settings, f Frame) (Frame, error) {
	field, err := signingField(f.Cmd)
	if err != nil {
		return Frame{}, err
	}
	if !isObject(f.Data) {
		return Frame{}, badFrame("member data", "is not a JSON object, so that there is nothing to sign")
	}
	key, err := ownKey(s, field)
	if err != nil {
		return Frame{}, err
	}
	f.Charset, f.SignType = charsetUTF8, s.Or(fSignType, RSA2)
	if f.Sign, err = key.Sign(f.SignType, f.Data); err != nil {
		return Frame{}, dialect.Refuse(dialect.ReasonSettings, "setting "+field, "%v", err)
	}
	return f, nil
}

func signingField(cmd string) (string, error) {
	switch cmd {
	case CmdConsume:
		return fPlatformKey, nil
	case CmdProduce:
		return fAppPrivateKey, nil
	}
	return "", badFrame("member x-cmd", "is not a command that is signed; CONSUME and PRODUCE are")
}

// VerifyFrame checks the signature of a CONSUME against alipay_public_key, or that of a PRODUCE against app_public_key,
// and says which of several live keys verifies. The error is a *dialect.Error: ReasonSignature when it is wrong or
// missing, ReasonSettings when there is no key to judge it by.
func VerifyFrame(s dialect.Settings, f Frame) (key int, err error) {
	var field string
	switch f.Cmd {
	case CmdConsume:
		field = fAlipayPublicKey
	case CmdProduce:
		field = fAppPublicKey
	default:
		_, err := signingField(f.Cmd)
		return 0, err
	}
	switch alg := s.Get(fSignType); {
	case f.Data == nil:
		return 0, badFrame("member data", "is missing")
	case f.Charset == "" || f.SignType == "" || f.Sign == "":
		return 0, dialect.Refuse(dialect.ReasonSignature, "frame", "x-charset, x-signType and x-sign must all be there")
	case !strings.EqualFold(f.Charset, charsetUTF8):
		return 0, badFrame("member x-charset", "is not UTF-8, which is all that a long connection carries")
	case !knownSignType(f.SignType):
		return 0, dialect.Refuse(dialect.ReasonSignature, "member x-signType", "is none of RSA2, RSA and SM2")
	case alg != "" && alg != f.SignType:
		return 0, dialect.Refuse(dialect.ReasonSignature, "member x-signType", "is not the algorithm of setting %s", fSignType)
	}
	sig, err := decodeSign(f.Sign)
	if err != nil {
		return 0, dialect.Refuse(dialect.ReasonSignature, "member x-sign", "%v", err)
	}
	key, err = anyKey(s, field, f.SignType, f.Data, sig)
	return key, within("member x-sign", err)
}

// within says which part of a frame or query it was whose signature anyKey refused.
func within(part string, err error) error {
	var refusal *dialect.Error
	if errors.As(err, &refusal) && refusal.Reason == dialect.ReasonSignature {
		return dialect.Refuse(refusal.Reason, part, "%s", refusal.Text)
	}
	return err
}
