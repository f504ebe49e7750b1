package pandapon

import (
	"encoding/hex"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.HeaderPlace(signatureHeader),
	Write:     hex.EncodeToString,
	Signed:    []dialect.Place{dialect.MemberPlace("messageBody"), dialect.BodyPlace()},
	Names:     []string{"messageType", "messageBody", "messagePlatform", "timestamp"},
	Keys:      []string{"access_secret"},
	MAC:       &dialect.MAC{Hash: "hmac-sha256", Texts: signedTexts},
	Own:       []dialect.Repair{dialect.Unpacked("messageBody")},
}

// signedTexts are what is signed, and what people take for it: the string as it stands in the JSON, or the whole body.
func signedTexts(_ dialect.Settings, in dialect.Inbound) []dialect.SignedText {
	members, err := dialect.ReadObject(in.Body)
	literal := dialect.FindMember(members, "messageBody")
	text, bad := dialect.Unquote(literal)
	if err != nil || bad != nil {
		return nil
	}
	texts := []dialect.SignedText{
		{Text: text},
		{Code: "text_body", Text: in.Body},
		{Code: "text_quoted", Text: literal},
		{Code: "text_quoted", Text: literal[1 : len(literal)-1]},
	}
	if stamp, ok := dialect.MemberText(dialect.FindMember(members, "timestamp")); ok {
		texts = append(texts,
			dialect.SignedText{Code: "text_more", Text: []byte(stamp + string(text))},
			dialect.SignedText{Code: "text_more", Text: append(text[:len(text):len(text)], stamp...)})
	}
	return texts
}
