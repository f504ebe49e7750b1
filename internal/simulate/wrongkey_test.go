package simulate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/dialecttest"
	"github.com/waypost/waypost/internal/simulate"
)

// TestForgeriesOfEveryForm runs with every set of settings that a dialect's vectors sign with: keys of all algorithms,
// curves and spellings. Each must give forgeries of every kind, all of them well formed and refused.
func TestForgeriesOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		file, err := os.ReadFile(filepath.Join("..", "..", "dialect", d.Name, "vectors.json"))
		if err != nil {
			t.Fatal(err)
		}
		var vectors dialecttest.File
		if err := json.Unmarshal(file, &vectors); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, v := range vectors.Vectors {
			form := fmt.Sprint(v.Settings)
			if v.Do != "sign" || v.RoundTrip == nil || seen[form] {
				continue
			}
			seen[form] = true
			t.Run(d.Name+"/"+v.Name, func(t *testing.T) {
				t.Parallel()
				forge(t, d, v)
			})
		}
	}
}

func forge(t *testing.T, d *dialect.Dialect, v dialecttest.Vector) {
	rc := &receiver{dialect: d, settings: v.RoundTrip}
	// Not in a bubble of synctest, for SM2 signatures cannot be made in one; a busy machine gets its time.
	settings := dialect.Settings{"deadline": {"1m"}}
	maps.Copy(settings, v.Settings)
	report, err := simulate.Run(context.Background(), simulate.Options{
		Dialect: d, Settings: settings, To: "http://receiver.example/", Client: reach(t, rc), Forge: 1, Count: 2,
		Events: []dialect.Example{{EventType: v.Message.EventType, Payload: []byte(v.Message.Payload), Platform: v.Message.Platform}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Where the signature is no header of its own, no message without one is sent.
	if got := report.Totals; !report.Passed || got.Forged < 2 || got.ForgedRefused != got.Forged {
		t.Errorf("%+v, %+v", got, report.Findings)
	}
	if f := finding(report, "not_forged", "key"); f != nil {
		t.Errorf("%+v", f)
	}
}
