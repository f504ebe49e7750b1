package alipay

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// Rule says which parameters a signature covers.
type Rule int

// The rules, named as Alipay's Java SDK names its two verifiers.
const (
	// V1 leaves out both sign and sign_type: messages, old notifications, payment notifications.
	V1 Rule = 1
	// V2 leaves out only sign: the gateway check and other requests with a service parameter, and the queries of the
	// long connection.
	V2 Rule = 2
)

// String returns V1 or V2.
func (r Rule) String() string {
	if r == V2 {
		return "V2"
	}
	return "V1"
}

// Canonical returns the text that is signed: the parameters that the rule covers, sorted by the bytes of their names,
// joined as name=value with "&", nothing escaped, empty values kept. params is left as it is.
func Canonical(r Rule, params []Param) []byte {
	sorted := slices.Clone(params)
	sortByName(sorted)
	return canonical(r, sorted)
}

func sortByName(params []Param) {
	slices.SortFunc(params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
}

// canonical is Canonical of parameters that are sorted already.
func canonical(r Rule, sorted []Param) []byte {
	n := 0
	for _, p := range sorted {
		n += len(p.Name) + len(p.Value) + 2
	}
	b := make([]byte, 0, n)
	for _, p := range sorted {
		if p.Name == pSign || r == V1 && p.Name == pSignType {
			continue
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, p.Name...)
		b = append(b, '=')
		b = append(b, p.Value...)
	}
	return b
}

// ruleFor returns the rule of a message: what rule_overrides says of its name, else V2 for requests that are called by
// a service and carry no msg_method, else V1.
func ruleFor(s dialect.Settings, method, service, notifyType string) Rule {
	name := cmp.Or(method, service, notifyType)
	for _, entry := range s[fRuleOverrides] {
		if n, r, err := parseOverride(entry); err == nil && n == name {
			return r
		}
	}
	if service != "" && method == "" {
		return V2
	}
	return V1
}

func parseOverride(entry string) (name string, r Rule, err error) {
	name, text, _ := strings.Cut(entry, "=")
	switch strings.ToUpper(text) {
	case "V1":
		r = V1
	case "V2":
		r = V2
	}
	if name == "" || r == 0 {
		return "", 0, errors.New("an entry must be the name of a message, an equals sign, and V1 or V2")
	}
	return name, r, nil
}
