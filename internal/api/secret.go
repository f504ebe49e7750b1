package api

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

type secretOut struct {
	Key string `json:"key" doc:"The secret that signs, as whsec_…; of an Ed25519 key its public half, as whpk_…"`
}

// endpointSecret shows the signing secret of a standard endpoint: the one secret that is ever shown, as the receiver
// must have it. One that comes from a profile is shared with others, so it is not.
func (h *Handler) endpointSecret(ctx context.Context, in *EndpointPath) (*output[secretOut], error) {
	_, e, err := h.endpoint(ctx, in)
	if err != nil {
		return nil, err
	}
	if e.Dialect != standardDialect {
		return nil, newError(http.StatusNotFound, "not_found", "the dialect %s has no secret that its receivers share", e.Dialect)
	}
	secret := e.Settings.Get(standardSecret)
	if secret == "" {
		return nil, newError(http.StatusNotFound, "not_found", "the secret belongs to the endpoint's profile and is not shown")
	}
	key, err := receiversKey(secret)
	if err != nil {
		return nil, err
	}
	return &output[secretOut]{secretOut{key}}, nil
}

// receiversKey is what a receiver checks with: the secret itself, or the public half of an Ed25519 key.
func receiversKey(secret string) (string, error) {
	text, ok := strings.CutPrefix(secret, "whsk_")
	if !ok {
		return secret, nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("the stored signing key is not base64")
	}
	switch len(key) {
	case ed25519.SeedSize:
		key = ed25519.NewKeyFromSeed(key)
	case ed25519.PrivateKeySize:
	default:
		return "", errors.New("the stored signing key has a wrong length")
	}
	public := ed25519.PrivateKey(key).Public().(ed25519.PublicKey)
	return "whpk_" + base64.StdEncoding.EncodeToString(public), nil
}
