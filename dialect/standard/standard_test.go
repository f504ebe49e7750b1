package standard

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &Dialect, os.DirFS("."))
}

// ours is a shared secret that is published, so that nobody takes it for one of theirs.
const ours = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	private, public := KeyPair([32]byte{1})
	for name, c := range map[string]struct {
		s     dialect.Settings
		use   dialect.Use
		field string
		text  string
	}{
		"a secret that is not there":              {dialect.Settings{}, dialect.Receiving, "secret", "required"},
		"an empty secret":                         {dialect.Set("secret", ""), dialect.Sending, "secret", "empty"},
		"a secret with a line end":                {dialect.Set("secret", ours+"\r\n"), dialect.Sending, "secret", "paste it again"},
		"a secret behind a byte order mark":       {dialect.Set("secret", "\ufeff"+ours), dialect.Receiving, "secret", "paste it again"},
		"a secret with a zero-width character":    {dialect.Set("secret", ours[:9]+"\u200b"+ours[9:]), dialect.Receiving, "secret", "paste it again"},
		"a secret that is no UTF-8":               {dialect.Set("secret", ours+"\xff"), dialect.Receiving, "secret", "paste it again"},
		"a secret without a prefix":               {dialect.Set("secret", strings.TrimPrefix(ours, prefixShared)), dialect.Receiving, "secret", "put whsec_ before"},
		"a secret that is no base64":              {dialect.Set("secret", "whsec_"+strings.Repeat("%", 32)), dialect.Receiving, "secret", "base64"},
		"a secret with spare bits set":            {dialect.Set("secret", "whsec_"+strings.Repeat("A", 33)+"B"), dialect.Receiving, "secret", "base64"},
		"a short secret, with its length":         {dialect.Set("secret", "whsec_c2hvcnQ="), dialect.Receiving, "secret", "holds 5 bytes"},
		"the one of several secrets that is":      {dialect.Settings{"secret": {ours, "whsec_c2hvcnQ="}}, dialect.Receiving, "secret", "number 2 of 2"},
		"a private key at the receiver":           {dialect.Set("secret", private), dialect.Receiving, "secret", "whpk_"},
		"a public key at the sender":              {dialect.Set("secret", public), dialect.Sending, "secret", "whsk_"},
		"a public key under the private's prefix": {dialect.Set("secret", prefixPrivate+strings.TrimPrefix(public, prefixPublic)+"AAAA"), dialect.Sending, "secret", "base64"},
		"a tolerance of nothing":                  {dialect.Set("secret", ours, "tolerance", "0s"), dialect.Receiving, "tolerance", "more than nothing"},
		"a tolerance over half of the memory":     {dialect.Set("secret", ours, "tolerance", "31m", "dedup_for", "1h"), dialect.Receiving, "tolerance", "half of dedup_for"},
		"no memory":                               {dialect.Set("secret", ours, "dedup_for", "0s"), dialect.Receiving, "dedup_for", "more than nothing"},
		"an event type that cannot be printed":    {dialect.Set("secret", ours, "event_type", "a\tb"), dialect.Receiving, "event_type", "printed"},
		"a path with a blank":                     {dialect.Set("secret", ours, "event_type_path", "type "), dialect.Receiving, "event_type_path", "blank"},
		"a path with an empty name":               {dialect.Set("secret", ours, "event_type_path", "a..b"), dialect.Receiving, "event_type_path", "empty"},
		"a path without an end":                   {dialect.Set("secret", ours, "event_type_path", strings.Repeat("a.", 10)+"a"), dialect.Receiving, "event_type_path", "10 names"},
		"a deadline of nothing":                   {dialect.Set("secret", ours, "deadline", "0s"), dialect.Sending, "deadline", "more than nothing"},
		"a schedule without an end":               {dialect.Set("secret", ours, "retry_schedule", strings.Repeat("1s,", 50)+"1s"), dialect.Sending, "retry_schedule", "50 steps"},
		"other header names":                      {dialect.Set("secret", ours, "headers", "x-hook"), dialect.Sending, "headers", "one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := Dialect.Validate(c.s, c.use, false)
			if len(problems) != 1 || problems[0].Field != c.field || !strings.Contains(problems[0].Text, c.text) {
				t.Errorf("problems: %v; want one of %s with %q", problems, c.field, c.text)
			}
		})
	}
}

func TestCheckAllows(t *testing.T) {
	t.Parallel()
	private, public := KeyPair([32]byte{1})
	for name, c := range map[string]struct {
		s   dialect.Settings
		use dialect.Use
	}{
		"a shared secret in both directions":   {dialect.Set("secret", ours), dialect.Receiving},
		"a shared secret beside a private key": {dialect.Set("secret", ours, "secret", private), dialect.Sending},
		"a shared secret beside a public key":  {dialect.Set("secret", ours, "secret", public), dialect.Receiving},
		"a secret without its padding":         {dialect.Set("secret", "whsec_"+strings.Repeat("A", 34)), dialect.Receiving},
		"every setting of a receiver": {dialect.Set("secret", ours, "headers", "both", "tolerance", "84h", "dedup_for", "7d",
			"event_type", "库存 变更", "event_type_path", "event.name"), dialect.Receiving},
		"every setting of a sender": {dialect.Set("secret", ours, "headers", "svix", "deadline", "500ms", "retry_schedule", "1s, 5m,1d"), dialect.Sending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := Dialect.Validate(c.s, c.use, false); len(p) > 0 {
				t.Error(p)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	t.Run("nothing set means 8 attempts over 27 hours and a half", func(t *testing.T) {
		t.Parallel()
		p := policy(nil)
		if len(p.Schedule) != 7 || p.Total() != 27*time.Hour+35*time.Minute+5*time.Second {
			t.Errorf("schedule %v", p.Schedule)
		}
		if p.Deadline != 15*time.Second || p.DedupFor != 7*24*time.Hour {
			t.Errorf("deadline %s, memory %s", p.Deadline, p.DedupFor)
		}
		if !p.RetryAfter || !p.GoneDisables || !p.Breaker || !p.AutoDisable || !p.Jitter || p.HTTPSOnly {
			t.Errorf("flags %+v", p)
		}
	})
	t.Run("settings override the times", func(t *testing.T) {
		t.Parallel()
		p := policy(dialect.Set("deadline", "2s", "retry_schedule", "1s,1d", "dedup_for", "2d"))
		if p.Deadline != 2*time.Second || p.Total() != 24*time.Hour+time.Second || p.DedupFor != 48*time.Hour {
			t.Errorf("policy %+v", p)
		}
	})
	t.Run("times of nothing fall back to the defaults", func(t *testing.T) {
		t.Parallel()
		p := policy(dialect.Set("deadline", "0s", "dedup_for", "0s"))
		if p.Deadline != 15*time.Second || p.DedupFor != 7*24*time.Hour {
			t.Errorf("policy %+v", p)
		}
	})
}
