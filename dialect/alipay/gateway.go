package alipay

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// gatewayOK is what a receiver signs to say that it is there.
const gatewayOK = "<success>true</success>"

// answerGateway makes the signed answer to the console's check of the application gateway.
func answerGateway(s dialect.Settings, signType string) (*dialect.Reply, error) {
	key, err := ownKey(s, fAppPrivateKey)
	if err != nil {
		return nil, err
	}
	text := gatewayOK
	if s.Bool(fGatewayContent, false) {
		public, err := key.Public().SPKI()
		if err != nil {
			return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fAppPrivateKey, "%v", err)
		}
		text += "<biz_content>" + public + "</biz_content>"
	}
	sig, err := key.Sign(signType, []byte(text))
	if err != nil {
		return nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fAppPrivateKey, "%v", err)
	}
	return &dialect.Reply{
		Status:      http.StatusOK,
		ContentType: "text/xml; charset=GBK",
		Body: []byte(`<?xml version="1.0" encoding="GBK"?><alipay><response>` + text + `</response><sign>` + sig +
			`</sign><sign_type>` + signType + `</sign_type></alipay>`),
	}, nil
}

// handshake makes the gateway check as the platform's console sends it, and the judge of its answer.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	appID := s.Get(fAppID)
	if !validAppID(appID) {
		return dialect.Request{}, nil, dialect.Refuse(dialect.ReasonSettings, "setting "+fAppID, "is not set or not an application's id")
	}
	content := `<?xml version="1.0" encoding="gbk"?><XML><AppId><![CDATA[` + appID + `]]></AppId><FromUserId></FromUserId>` +
		`<CreateTime><![CDATA[` + strconv.FormatInt(n.Now.UnixMilli(), 10) + `]]></CreateTime><MsgType><![CDATA[event]]></MsgType>` +
		`<EventType><![CDATA[verifygw]]></EventType><ActionParam></ActionParam><AgreementId></AgreementId><AccountNo></AccountNo></XML>`
	req, err := signedForm(s, charsetGBK, ruleFor(s, "", gatewayCheck, ""), []Param{
		{pCharset, charsetGBK}, {pBizContent, content}, {pService, gatewayCheck}, {pSignType, s.Or(fSignType, RSA2)},
	})
	if err != nil {
		return dialect.Request{}, nil, err
	}
	return req, func(r dialect.Response) dialect.Verdict { return judgeGateway(s, r) }, nil
}

func judgeGateway(s dialect.Settings, r dialect.Response) dialect.Verdict {
	if r.Status != http.StatusOK {
		return dialect.Verdict{Kind: dialect.Retry, Reason: dialect.JudgeStatus(r, never).Reason}
	}
	if r.Truncated {
		return dialect.Verdict{Kind: dialect.Retry, Reason: "answered more than a signed response"}
	}
	text, sig, err := gatewayAnswer(r.Body)
	if err != nil {
		return dialect.Verdict{Kind: dialect.Retry, Reason: err.Error()}
	}
	if len(s.All(fAppPublicKey)) == 0 {
		return dialect.Verdict{Kind: dialect.Accepted, Reason: "answered success; the signature was not checked, because app_public_key is not set"}
	}
	// The SDK prints RSA as the type of every answer, so the type that is printed decides nothing.
	for _, alg := range []string{RSA2, RSA, SM2} {
		if _, err = anyKey(s, fAppPublicKey, alg, text, sig); err == nil {
			return dialect.Verdict{Kind: dialect.Accepted, Reason: "answered success, signed by the application"}
		}
	}
	return dialect.Verdict{Kind: dialect.Retry, Reason: "answered success, but no key in app_public_key verifies the signature"}
}

// gatewayAnswer takes the answer apart. The signed text is what stands between the response tags, byte for byte.
func gatewayAnswer(body []byte) (text, sig []byte, err error) {
	_, rest, ok := bytes.Cut(body, []byte("<response>"))
	end := bytes.LastIndex(rest, []byte("</response>"))
	if !ok || end < 0 {
		return nil, nil, errors.New("answered without a response element")
	}
	text, rest = rest[:end], rest[end:]
	if !bytes.Contains(text, []byte(gatewayOK)) {
		return nil, nil, errors.New("answered, but not with success in its response element")
	}
	sig, err = decodeSign(strings.TrimSpace(element(string(rest), "sign")))
	if err != nil {
		return nil, nil, errors.New("answered with a response element that is not signed in base64")
	}
	return text, sig, nil
}

// element returns the text of the first element of a name, out of its CDATA section.
func element(xml, name string) string {
	_, rest, ok := strings.Cut(xml, "<"+name+">")
	if !ok {
		return ""
	}
	text, _, ok := strings.Cut(rest, "</"+name+">")
	if !ok {
		return ""
	}
	text = strings.TrimPrefix(text, "<![CDATA[")
	return strings.TrimSuffix(text, "]]>")
}
