package alipay

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

func TestCheckNamesTheSetting(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	platform, app := bothSides(t)
	with := func(s dialect.Settings, name string, values ...string) dialect.Settings {
		out := dialect.Settings{}
		for k, v := range s {
			out[k] = v
		}
		out[name] = values
		return out
	}
	for _, c := range []struct {
		name     string
		settings dialect.Settings
		use      dialect.Use
		field    string // "" = fine
		text     string
	}{
		{"receiving", app, dialect.Receiving, "", ""},
		{"sending", platform, dialect.Sending, "", ""},
		{"a certificate as key", with(app, fAlipayPublicKey, readCertificates(t)["alipay-cert"].PEM), dialect.Receiving, "", ""},
		{"no public key", with(app, fAlipayPublicKey), dialect.Receiving, "", ""}, // Required holds that
		{"private as public", with(app, fAlipayPublicKey, keys.Alipay.PublicSPKI, keys.Alipay.PrivatePKCS8), dialect.Receiving, fAlipayPublicKey, "value 2 is a private key"},
		{"the application's own key", with(app, fAlipayPublicKey, keys.App.PublicPKCS1), dialect.Receiving, fAlipayPublicKey, "application's own"},
		{"public as private", with(app, fAppPrivateKey, keys.App.PublicSPKI), dialect.Receiving, fAppPrivateKey, "is a public key"},
		{"an app_id with a blank", with(app, fAppID, "2013 1217"), dialect.Receiving, fAppID, "letters and digits"},
		{"an AES key with a line end", with(app, fAESKey, "AAECAwQFBgcICQoLDA0ODw==\n"), dialect.Receiving, fAESKey, "line ends"},
		{"an AES key with a blank inside", with(app, fAESKey, "AAECAwQF BgcICQoLDA0ODw=="), dialect.Receiving, fAESKey, "blanks"},
		{"an AES key with a zero-width blank", with(app, fAESKey, "AAECAwQFBgcICQoLDA0ODw==\u200b"), dialect.Receiving, fAESKey, "invisible"},
		{"a short AES key", with(app, fAESKey, "AAECAwQFBgcICQoLDA0ODw==", "AAEC"), dialect.Receiving, fAESKey, "value 2 must be the base64 of 16 bytes"},
		{"a rule without a number", with(app, fRuleOverrides, "a.b"), dialect.Receiving, fRuleOverrides, "V1 or V2"},
		{"a rule without a name", with(app, fRuleOverrides, "=V1"), dialect.Receiving, fRuleOverrides, "V1 or V2"},
		{"a memory shorter than twice the schedule", with(app, fDedupFor, "48h"), dialect.Receiving, fDedupFor, "24h22m"},
		{"a max_age over half of the memory", with(app, fMaxAge, "85h"), dialect.Receiving, fMaxAge, "half of dedup_for"},
		{"a max_age of half of the memory", with(app, fMaxAge, "84h"), dialect.Receiving, "", ""},
		{"an endless schedule", with(platform, fRetrySchedule, strings.Repeat("1s,", maxSchedule)+"1s"), dialect.Sending, fRetrySchedule, "more than"},
		{"a sending key for another algorithm", with(platform, fSignType, SM2), dialect.Sending, fPlatformKey, "not a key for SM2"},
		{"a public key to sign with", with(platform, fPlatformKey, keys.Alipay.PublicSPKI), dialect.Sending, fPlatformKey, "is a public key"},
		{"the platform's own key as the developer's", with(platform, fAppPublicKey, keys.Alipay.PublicSPKI), dialect.Sending, fAppPublicKey, "platform's own"},
		{"a private key as the developer's", with(platform, fAppPublicKey, keys.App.PrivatePKCS8), dialect.Sending, fAppPublicKey, "is a private key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			problems := Dialect.Validate(c.settings, c.use, false)
			if c.field == "" {
				// A setting of the other direction is not unknown, and one that is missing is not Check's.
				problems = slices.DeleteFunc(problems, func(p dialect.Problem) bool { return strings.Contains(p.Text, "is required") })
				if len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Field != c.field || !strings.Contains(problems[0].Text, c.text) {
				t.Errorf("got %v, want one about %s that says %q", problems, c.field, c.text)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		settings dialect.Settings
		attempts int
		total    time.Duration
	}{
		{"messages by default", nil, 8, 24*time.Hour + 22*time.Minute},
		{"payments", dialect.Set(fRetryTable, tablePayment), 11, 24*time.Hour + 24*time.Minute},
		{"payments as they were", dialect.Set(fRetryTable, tablePaymentLegacy), 8, 24*time.Hour + 24*time.Minute},
		{"an own schedule", dialect.Set(fRetryTable, tablePayment, fRetrySchedule, "1s, 2m,3h"), 4, 3*time.Hour + 2*time.Minute + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := policy(c.settings)
			if len(p.Schedule)+1 != c.attempts || p.Total() != c.total {
				t.Errorf("%d attempts in %s, not %d in %s", len(p.Schedule)+1, p.Total(), c.attempts, c.total)
			}
		})
	}
	t.Run("times by default and as set", func(t *testing.T) {
		t.Parallel()
		if p := policy(nil); p.Deadline != 16*time.Second || p.DedupFor != 7*24*time.Hour {
			t.Errorf("deadline %s, memory %s", p.Deadline, p.DedupFor)
		}
		if p := policy(dialect.Set(fDeadline, "5s", fDedupFor, "30d")); p.Deadline != 5*time.Second || p.DedupFor != 30*24*time.Hour {
			t.Errorf("deadline %s, memory %s", p.Deadline, p.DedupFor)
		}
		if p := policy(dialect.Set(fDeadline, "0s", fDedupFor, "0s")); p.Deadline != 16*time.Second || p.DedupFor != 7*24*time.Hour {
			t.Errorf("nothing at all is taken: deadline %s, memory %s", p.Deadline, p.DedupFor)
		}
	})
	t.Run("nothing but the answer counts", func(t *testing.T) {
		t.Parallel()
		if p := policy(nil); p.RetryAfter || p.GoneDisables || p.Breaker || p.AutoDisable || p.Jitter || p.HTTPSOnly {
			t.Errorf("%+v", p)
		}
	})
}

func TestWhatMustBeSet(t *testing.T) {
	t.Parallel()
	for use, want := range map[dialect.Use][]string{
		dialect.Receiving: {fAlipayPublicKey},
		dialect.Sending:   {fAppID, fPlatformKey},
	} {
		var got []string
		for _, p := range Dialect.Validate(nil, use, false) {
			got = append(got, p.Field)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
