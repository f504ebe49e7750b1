package egress

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOnlyPublicAddressesAreReached(t *testing.T) {
	t.Parallel()
	cases := map[string]string{ // address: the class it is refused for, "" = public
		"0.0.0.0":                 "unspecified",
		"0.1.2.3":                 "this network",
		"10.0.0.1":                "private",
		"10.255.255.255":          "private",
		"100.64.0.1":              "carrier-grade",
		"100.100.100.200":         "carrier-grade", // a cloud's metadata service
		"100.128.0.1":             "",
		"127.0.0.1":               "loopback",
		"127.255.255.254":         "loopback",
		"169.254.169.254":         "link-local", // most clouds' metadata service
		"172.15.255.255":          "",
		"172.16.0.1":              "private",
		"172.31.255.255":          "private",
		"172.32.0.1":              "",
		"192.0.0.192":             "protocol-assignment",
		"192.0.2.1":               "documentation",
		"192.88.99.1":             "6to4 relay",
		"192.168.1.1":             "private",
		"198.17.255.255":          "",
		"198.18.0.1":              "benchmarking",
		"198.19.255.255":          "benchmarking",
		"198.51.100.7":            "documentation",
		"203.0.113.7":             "documentation",
		"168.63.129.16":           "management",
		"168.63.129.17":           "",
		"224.0.0.1":               "multicast",
		"239.255.255.255":         "multicast",
		"240.0.0.1":               "reserved",
		"255.255.255.255":         "multicast|broadcast",
		"8.8.8.8":                 "",
		"223.5.5.5":               "",
		"::":                      "unspecified",
		"::1":                     "loopback",
		"::7f00:1":                "IPv4-compatible",
		"::ffff:127.0.0.1":        "loopback",
		"::ffff:10.0.0.1":         "private",
		"::ffff:8.8.8.8":          "",
		"::ffff:0:127.0.0.1":      "IPv4-translated",
		"64:ff9b::10.0.0.1":       "private",
		"64:ff9b::a9fe:a9fe":      "link-local",
		"64:ff9b::8.8.8.8":        "",
		"64:ff9b:1::a00:1":        "local NAT64",
		"100::1":                  "discard",
		"2001::1":                 "Teredo",
		"2001:2::1":               "benchmarking",
		"2001:10::1":              "protocol-assignment",
		"2001:1ff:ffff::1":        "protocol-assignment",
		"2001:200::1":             "",
		"2001:db8::1":             "documentation",
		"2002:7f00:1::":           "6to4",
		"2400:3200::1":            "",
		"2606:4700::1111":         "",
		"2606:4700::5efe:a00:1":   "ISATAP",
		"2606::200:5efe:a00:1":    "ISATAP",
		"3fff::1":                 "documentation",
		"4000::1":                 "reserved",
		"5f00::1":                 "segment-routing",
		"fc00::1":                 "unique local",
		"fd00:ec2::254":           "unique local", // a cloud's metadata service
		"fe80::1":                 "link-local",
		"fe80::1%eth0":            "zone",
		"2606:4700::1111%eth0":    "zone",
		"fec0::1":                 "site-local",
		"ff02::1":                 "multicast",
		"ffff::1":                 "multicast",
		"1:2:3:4:5:6:7:8":         "reserved",
		"e000::1":                 "reserved",
		"2606:4700::1:5efe:a00:1": "",
	}
	for text, want := range cases {
		got := classify(netip.MustParseAddr(text))
		switch {
		case want == "" && got != nil:
			t.Errorf("%s is public but refused as %s", text, got.name)
		case want != "" && got == nil:
			t.Errorf("%s is %s but was let through", text, want)
		case want != "" && !anyIn(got.name, want):
			t.Errorf("%s is refused as %s, not as %s", text, got.name, want)
		}
	}
}

func anyIn(s, alternatives string) bool {
	for a := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(s, a) {
			return true
		}
	}
	return false
}

func TestAnAllowListOpensWhatItNamesOnly(t *testing.T) {
	t.Parallel()
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("0.0.0.0/0")}
	c := New(Options{})
	for text, want := range map[string]bool{
		"10.1.2.3":          true,
		"::ffff:10.1.2.3":   true,
		"64:ff9b::10.1.2.3": true,
		"fd00::1":           true,
		"fc00::1":           false,
		"fe80::1":           false,
		"0.0.0.0":           false, // not even 0.0.0.0/0 makes these an address of one machine
		"224.0.0.1":         false,
		"::":                false,
	} {
		if got := c.judge(netip.MustParseAddr(text), allow) == nil; got != want {
			t.Errorf("%s: may be reached %v, want %v", text, got, want)
		}
	}
	if c.judge(netip.MustParseAddr("10.1.2.3"), nil) == nil {
		t.Error("10.1.2.3 may be reached without an allow list")
	}
}

func TestLoopbackIsOpenOnlyOnALaptop(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		if New(Options{}).judge(netip.MustParseAddr(text), nil) == nil {
			t.Errorf("%s may be reached", text)
		}
		if New(Options{AllowLoopback: true}).judge(netip.MustParseAddr(text), nil) != nil {
			t.Errorf("%s may not be reached with AllowLoopback", text)
		}
	}
	if New(Options{AllowLoopback: true}).judge(netip.MustParseAddr("10.0.0.1"), nil) == nil {
		t.Error("AllowLoopback opens a private address")
	}
}
