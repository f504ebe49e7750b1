package cli

import (
	"strings"
	"testing"
)

func TestDemoOnceEndsWithAVerdict(t *testing.T) {
	code, out, errs := command(t, "", nil, "demo", "--once")
	if code != 0 || !strings.Contains(out, "verdict     passed") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, platform := range demoPlatforms {
		for _, direction := range []string{directionReceive, directionSend} {
			if !hasRow(out, platform, direction) {
				t.Errorf("no row for %s %s in\n%s", platform, direction, out)
			}
		}
	}
	if !hasRow(out, "alipay", directionLong) {
		t.Errorf("no row for the long connection in\n%s", out)
	}
}

func hasRow(out, platform, direction string) bool {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 9 && f[0] == platform && f[1] == direction && f[2] == f[3] && f[3] == f[6] && f[2] != "0" && f[8] == "0" {
			return true
		}
	}
	return false
}
