package alipay

import (
	"errors"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

func TestDialingNamesWhatIsMissingOrWrong(t *testing.T) {
	t.Parallel()
	whole := func(more ...string) dialect.Settings {
		s := dialect.Set(fAppID, "2013121700999429", fAppPrivateKey, "a key", fAlipayPublicKey, "another")
		for i := 0; i < len(more); i += 2 {
			s[more[i]] = []string{more[i+1]}
		}
		return s
	}
	for _, tt := range []struct {
		settings dialect.Settings
		field    string
	}{
		{whole(fAppID, ""), fAppID},
		{whole(fAppPrivateKey, ""), fAppPrivateKey},
		{whole(fAlipayPublicKey, ""), fAlipayPublicKey},
		{whole(fServer, "ftp://openchannel.alipay.com"), fServer},
		{whole(fServer, "https://host/websocket"), fServer},
		{whole(fServer, "https://user:pass@host"), fServer},
		{whole(fServer, "https://"), fServer},
		{whole(fServer, "https://host?a=b"), fServer},
		{whole(fServer, "https://ho st"), fServer},
		{whole(fZone, "a;b"), fZone},
		{whole(fZone, "a\r\nb: c"), fZone},
		{whole(fConnections, "0"), fConnections},
		{whole(fConnections, "33"), fConnections},
	} {
		_, err := ReadDialing(tt.settings)
		var p dialect.Problem
		if !errors.As(err, &p) || p.Field != tt.field {
			t.Errorf("%v: %v, want a problem of %s", tt.settings[tt.field], err, tt.field)
		}
	}
}

func TestDialingReadsEverySpellingOfAServer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "https://openchannel.alipay.com",
		"host.example":              "https://host.example",
		"host.example:8443":         "https://host.example:8443",
		"https://host.example/":     "https://host.example",
		"http://127.0.0.1:8070":     "http://127.0.0.1:8070",
		"https://[2001:db8::1]:443": "https://[2001:db8::1]:443",
	} {
		s := dialect.Set(fAppID, "1", fAppPrivateKey, "a", fAlipayPublicKey, "b", fServer, text, fTiming, timingJava, fBadSignature, badSignatureSilent, fConnections, "3")
		d, err := ReadDialing(s)
		if err != nil || d.Server != want || !d.Java || !d.Silent || d.Connections != 3 {
			t.Errorf("%q: %+v %v, want %s", text, d, err, want)
		}
	}
}

func TestDialingSettingsAreCheckedWithTheOthers(t *testing.T) {
	t.Parallel()
	found := Dialect.Validate(dialect.Set(fServer, "nonsense/path"), dialect.Receiving, false)
	text := ""
	for _, p := range found {
		text += p.Error() + "\n"
	}
	if !strings.Contains(text, fAlipayPublicKey) { // required is said first
		t.Errorf("problems: %s", text)
	}
	platform := readKeys(t).Alipay.PublicSPKI
	found = Dialect.Validate(dialect.Set(fAlipayPublicKey, platform, fServer, "nonsense/path"), dialect.Receiving, false)
	if len(found) != 1 || found[0].Field != fServer {
		t.Errorf("problems: %v", found)
	}
}
