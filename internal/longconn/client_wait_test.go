package longconn

import (
	"testing"
	"time"

	"github.com/waypost/waypost/dialect/alipay"
)

func TestWaits(t *testing.T) {
	t.Parallel()
	patient, java := timingOf(alipay.Dialing{}), timingOf(alipay.Dialing{Java: true})
	const s = time.Second
	for _, tt := range []struct {
		name        string
		timing      Timing
		opened      bool
		row         int
		least, most time.Duration
	}{
		{"after a loss at once", patient, true, 0, 0, 0},
		{"after a first short connection at once", patient, true, 1, 0, 0},
		{"after a second one", patient, true, 2, 1 * s, 2 * s},
		{"after a first try in vain", patient, false, 1, s / 2, s},
		{"after a second one in vain", patient, false, 2, 1 * s, 2 * s},
		{"after a fifth one", patient, false, 5, 8 * s, 16 * s},
		{"never more than a minute", patient, false, 7, 30 * s, 60 * s},
		{"however long it lasts", patient, false, 1 << 40, 30 * s, 60 * s},
		{"java: after a loss", java, true, 0, 2 * s, 2 * s},
		{"java: after a try in vain", java, false, 9, 2 * s, 2 * s},
		{"java: a connection that died at once", java, true, 1, 0, 0},
		{"java: a second one", java, true, 2, 5 * s, 5 * s},
		{"java: a third one", java, true, 3, 10 * s, 10 * s},
		{"java: a fourth one", java, true, 4, 0, 0},
	} {
		if got := tt.timing.wait(tt.opened, tt.row, 0); got != tt.least {
			t.Errorf("%s: at least %v, want %v", tt.name, got, tt.least)
		}
		if got := tt.timing.wait(tt.opened, tt.row, 1); got != tt.most {
			t.Errorf("%s: at most %v, want %v", tt.name, got, tt.most)
		}
	}
}

func TestTimingsOfTheSettings(t *testing.T) {
	t.Parallel()
	if got := (Timing{Ping: time.Minute}).over(timingOf(alipay.Dialing{})); got.Ping != time.Minute || got.Silence != 90*time.Second || got.Java {
		t.Errorf("%+v", got)
	}
	if got := timingOf(alipay.Dialing{Java: true}); got.Ping != 2*time.Second || got.Silence != 90*time.Second || !got.Java {
		t.Errorf("%+v", got)
	}
}
