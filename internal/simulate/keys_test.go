package simulate_test

import (
	"testing"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/simulate"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	if _, _, err := simulate.Keys(&dialect.Dialect{Name: "smoke"}); err == nil {
		t.Error("keys for a dialect that nobody knows")
	}
	for _, d := range dialects() {
		t.Run(d.Name+" takes them on both sides, and two sets differ", func(t *testing.T) {
			t.Parallel()
			platform, receiver := keys(t, d)
			if p := d.Validate(platform, dialect.Sending, false); len(p) > 0 {
				t.Errorf("platform: %v", p)
			}
			if p := d.Validate(receiver, dialect.Receiving, false); len(p) > 0 {
				t.Errorf("receiver: %v", p)
			}
			other, _ := keys(t, d)
			for name, values := range platform {
				if values[0] == other[name][0] {
					t.Errorf("%s is the same in two sets", name)
				}
			}
		})
	}
}
