package douyinspi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// sign makes an SPI request: the payload as body, client_key and the time of the attempt in the URL.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	secrets := s.All("client_secret")
	if len(secrets) == 0 {
		return dialect.Request{}, errors.New("douyinspi: signing: setting client_secret is empty; enter the app's client_secret")
	}
	clientKey := s.Or("client_key", o.Platform["client_key"])
	if !plainKey(clientKey) {
		return dialect.Request{}, errors.New("douyinspi: signing: there is no usable client_key; set it for the endpoint, or give the message one in platform")
	}
	if len(o.Payload) > 0 && (!json.Valid(o.Payload) || !utf8.Valid(o.Payload)) {
		return dialect.Request{}, errors.New("douyinspi: signing: the payload is not JSON in UTF-8")
	}
	stamp := strconv.FormatInt(o.Now.UnixMilli(), 10)
	query := "client_key=" + url.QueryEscape(clientKey) + "&timestamp=" + stamp
	params, err := parseQuery(s, query)
	if err != nil {
		return dialect.Request{}, errors.New("douyinspi: signing: the URL parameters cannot be read back")
	}
	signature := signatureOf(s, secrets[0], params, o.Payload)
	return dialect.Request{
		Method: http.MethodPost,
		Query:  query,
		Header: http.Header{
			"Content-Type":  {contentType},
			clientHeader:    {clientKey},
			signatureHeader: {string(signature[:])},
		},
		Body: o.Payload,
	}, nil
}
