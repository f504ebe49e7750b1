package explain

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"iter"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/waypost/waypost/dialect"
)

// A recipe makes a signature of a secret and a text. Names: hmac- keyed; secret- the secret before the text; -secret
// behind it; secret-…-secret both; the bare name without any secret.
type recipe struct {
	name string
	make func(secret, text []byte) []byte
}

var hashes = []struct {
	name string
	new  func() hash.Hash
}{{"sha256", sha256.New}, {"sha1", sha1.New}, {"md5", md5.New}, {"sha512", sha512.New}}

var recipes = makeRecipes()

func makeRecipes() (out []recipe) {
	for _, h := range hashes {
		sum := func(parts ...[]byte) []byte {
			d := h.new()
			for _, p := range parts {
				_, _ = d.Write(p)
			}
			return d.Sum(nil)
		}
		out = append(out,
			recipe{"hmac-" + h.name, func(secret, text []byte) []byte {
				d := hmac.New(h.new, secret)
				_, _ = d.Write(text)
				return d.Sum(nil)
			}},
			recipe{"secret-" + h.name, func(secret, text []byte) []byte { return sum(secret, text) }},
			recipe{h.name + "-secret", func(secret, text []byte) []byte { return sum(text, secret) }},
			recipe{"secret-" + h.name + "-secret", func(secret, text []byte) []byte { return sum(secret, text, secret) }},
			recipe{h.name, func(_, text []byte) []byte { return sum(text) }})
	}
	return out
}

func recipeOf(name string) recipe {
	for _, p := range recipes {
		if p.name == name {
			return p
		}
	}
	return recipe{name, func(_, _ []byte) []byte { return nil }}
}

// a keyed is the bytes that a secret may stand for.
type keyed struct {
	code string // "" = the right way
	key  []byte
}

const shortest = 16 // characters of a signature that was cut and is still recognised

// macRepair recognises a signature that was made with a live secret in another way than the platform's: by another
// algorithm, over another text, with the secret's bytes read otherwise, or cut short. It puts the right one in its place,
// so that Receive says whether that was all.
func (r *search) macRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		given, ok := r.x.Signature.Get(c.Inbound)
		if !ok || len(given) > maxSignature {
			return
		}
		texts := r.x.MAC.Texts(c.Settings, c.Inbound)
		if len(texts) == 0 {
			return
		}
		texts = append(texts, inOtherCharsets(texts[0].Text)...)
		right := recipeOf(r.x.MAC.Hash)
		for _, field := range r.x.Keys {
			for i, secret := range c.Settings.All(field) {
				if i == dialect.MaxLiveSecrets || len(secret) > maxSecret {
					break
				}
				keys := r.keys(secret)
				for _, text := range texts {
					for _, codes := range r.recognise(string(given), keys, text, right) {
						mac := right.make(keys[0].key, texts[0].Text)
						in, ok := r.x.Signature.Put(c.Inbound, []byte(r.x.Write(mac)))
						out := dialect.Case{Settings: c.Settings, Inbound: in}
						if ok && !yield(dialect.Candidate{Case: out, Codes: codes, Where: r.x.Signature.Name}) {
							return
						}
					}
				}
			}
		}
	}
}

// inOtherCharsets is a text as programs sign it that take the charset of their machine, such as Java's getBytes(): in GBK,
// or with a question mark in the place of each character that ASCII lacks.
func inOtherCharsets(text []byte) (out []dialect.SignedText) {
	if ascii(text) || !utf8.Valid(text) {
		return nil
	}
	if gbk := encode(simplifiedchinese.GBK, text); gbk != nil {
		out = append(out, dialect.SignedText{Code: "text_charset", Text: gbk})
	}
	asked := bytes.Map(func(c rune) rune {
		if c >= utf8.RuneSelf {
			return '?'
		}
		return c
	}, text)
	return append(out, dialect.SignedText{Code: "text_charset", Text: asked})
}

func (r *search) keys(secret string) []keyed {
	out := []keyed{{"", []byte(secret)}}
	if r.x.MAC.Key != nil {
		out = []keyed{{"", r.x.MAC.Key(secret)}, {"secret_raw", []byte(secret)}}
		if _, bare, ok := bytes.Cut([]byte(secret), []byte("_")); ok {
			out = append(out, keyed{"secret_raw", bare})
		}
		return out
	}
	for _, b := range decodings(secret) {
		out = append(out, keyed{"secret_raw", b})
	}
	return append(out, keyed{"secret_raw", []byte(hex.EncodeToString([]byte(secret)))}, keyed{"secret_empty", nil})
}

// recognise returns the codes of the mistakes by which a signature over a text came about, empty when it did not.
func (r *search) recognise(given string, keys []keyed, text dialect.SignedText, right recipe) (out [][]string) {
	for _, k := range keys {
		for _, p := range recipes {
			if !r.spend(len(text.Text) + len(k.key) + 512) {
				return out
			}
			made := r.x.Write(p.make(k.key, text.Text))
			cut := len(given) >= shortest+len(r.lead()) && len(given) < len(made) && strings.HasPrefix(made, given)
			if made != given && !cut {
				continue
			}
			var codes []string
			if text.Code != "" {
				codes = append(codes, text.Code)
			}
			if p.name != right.name {
				codes = append(codes, "algorithm_other")
			}
			if k.code != "" {
				codes = append(codes, k.code)
			}
			if cut {
				codes = append(codes, "signature_truncated")
			}
			if len(codes) > 0 {
				out = append(out, codes)
			}
		}
	}
	return out
}
