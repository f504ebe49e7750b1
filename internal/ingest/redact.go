package ingest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const redacted = "<redacted>"

// storedHeader is what is kept of the header of an accepted request. It is shown and sent again, so it is complete but for
// what was meant for proxies and browsers: no platform signs Cookie or Proxy-Authorization, and both are credentials.
func storedHeader(h http.Header) http.Header {
	_, cookie := h["Cookie"]
	_, proxy := h["Proxy-Authorization"]
	if !cookie && !proxy {
		return h
	}
	h = h.Clone()
	h.Del("Cookie")
	h.Del("Proxy-Authorization")
	return h
}

// refusedHeader is what is kept of the header of a refused request: a stranger's, so that credentials in it may be
// anybody's. Headers that carry the dialect's signature stay, for the explainer needs them.
func refusedHeader(h http.Header, signs []string) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if isCredential(name) && !slices.Contains(signs, name) {
			values = []string{redacted}
		}
		out[name] = slices.Clone(values)
	}
	return out
}

func isCredential(header string) bool {
	name := strings.ToLower(header)
	switch name {
	case "cookie", "set-cookie", "authorization", "proxy-authorization", "x-api-key", "api-key", "apikey", "x-amz-security-token":
		return true
	}
	for _, part := range []string{"token", "secret", "password", "credential", "session"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// refusedQuery is the query of a refused request with the values of credentials replaced; the rest keeps its bytes.
func refusedQuery(raw string) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, found := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if found && err == nil && isCredentialParameter(plain) {
			pairs[i] = name + "=" + url.QueryEscape(redacted)
		}
	}
	return strings.Join(pairs, "&")
}

func isCredentialParameter(name string) bool {
	switch strings.ToLower(name) {
	case "access_token", "accesstoken", "api_key", "apikey", "auth", "client_secret", "password", "passwd", "secret":
		return true
	}
	return false
}
