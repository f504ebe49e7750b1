package douyin

import (
	"bytes"
	"encoding/hex"

	"github.com/waypost/waypost/dialect"
)

var explainer = &dialect.Explainer{
	Signature: dialect.HeaderPlace(signatureHeader),
	Write:     hex.EncodeToString,
	Signed:    []dialect.Place{dialect.BodyPlace(), dialect.MemberPlace("content")},
	Names:     []string{"event", "client_key", "from_user_id", "to_user_id", "content", "log_id"},
	Keys:      []string{"client_secret"},
	Account:   "client_key",
	MAC:       &dialect.MAC{Hash: "secret-sha1", Texts: signedTexts},
	Own:       []dialect.Repair{dialect.Unpacked("content")},
}

// signedTexts are the raw body, and what people take for it: its content, a body without its line ends, or a time before
// it, as in sample code of other platforms.
func signedTexts(_ dialect.Settings, in dialect.Inbound) []dialect.SignedText {
	texts := []dialect.SignedText{{Text: in.Body}}
	members, _ := dialect.SplitObject(in.Body)
	content := dialect.FindMember(members, "content")
	if text, err := dialect.Unquote(content); err == nil {
		texts = append(texts, dialect.SignedText{Code: "text_member", Text: text})
	} else if content != nil {
		texts = append(texts, dialect.SignedText{Code: "text_member", Text: content})
	}
	if bytes.ContainsAny(in.Body, "\r\n") {
		stripped := bytes.ReplaceAll(bytes.ReplaceAll(in.Body, []byte("\n"), nil), []byte("\r"), nil)
		texts = append(texts, dialect.SignedText{Code: "text_no_line_ends", Text: stripped})
	}
	if stamp := dialect.Header(in.Header, "X-Douyin-Timestamp"); stamp != "" {
		for _, joint := range []string{"", ".", "\n"} {
			texts = append(texts, dialect.SignedText{Code: "text_more", Text: append([]byte(stamp+joint), in.Body...)})
		}
	}
	if id := messageID(in.Header); id != "" {
		texts = append(texts, dialect.SignedText{Code: "text_more", Text: append([]byte(id), in.Body...)})
	}
	return texts
}
