package hook

import (
	"encoding/json"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestParseIDRefuses(t *testing.T) {
	good := NewID[MessageID](NewGenerator(0, 0), noon).String()
	for name, s := range map[string]string{
		"empty":             "",
		"another noun":      "ep_" + strings.TrimPrefix(good, "msg_"),
		"no prefix":         strings.TrimPrefix(good, "msg_"),
		"too short":         good[:len(good)-1],
		"too long":          good + "0",
		"upper case":        strings.ToUpper(good),
		"a letter left out": "msg_" + strings.Repeat("l", idChars),
		"over 64 bits":      "msg_" + strings.Repeat("z", idChars),
		"zero":              "msg_" + strings.Repeat("0", idChars),
	} {
		if id, err := ParseID[MessageID](s); err == nil {
			t.Errorf("%s: %q was read as %v", name, s, id)
		} else if KindOf(err) != KindInvalid {
			t.Errorf("%s: kind %v, want invalid", name, KindOf(err))
		}
	}
}

func TestIDRoundTripAndOrder(t *testing.T) {
	g := NewGenerator(7, 0)
	var texts []string
	for i := range 10_000 {
		id := NewID[MessageID](g, noon.Add(time.Duration(i/3)*time.Millisecond))
		back, err := ParseID[MessageID](id.String())
		if err != nil || back != id {
			t.Fatalf("%v read back as %v, %v", id, back, err)
		}
		texts = append(texts, id.String())
	}
	if !sort.StringsAreSorted(texts) {
		t.Error("the order of the texts is not the order of the ids")
	}
	if len(slices.Compact(texts)) != 10_000 {
		t.Error("an id was issued twice")
	}
}

func TestIDAtNeverLeavesTheNumbers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at   time.Time
		want MessageID
	}{
		"the beginning of time": {time.Time{}, 0},
		"before Epoch":          {Epoch.Add(-time.Millisecond), 0},
		"Epoch":                 {Epoch, 0},
		"the last millisecond":  {Epoch.Add((1<<41 - 1) * time.Millisecond), (1<<41 - 1) << (nodeBits + seqBits)},
		"one behind it":         {Epoch.Add((1 << 41) * time.Millisecond), math.MaxInt64},
		"the year 2164":         {time.Date(2164, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
		"the year 9999":         {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
	} {
		if got := IDAt[messageKind](c.at); got != c.want {
			t.Errorf("%s: %d, want %d", name, int64(got), int64(c.want))
		}
	}
}

func TestIDTimeIsItsMillisecond(t *testing.T) {
	at := noon.Add(123 * time.Millisecond)
	if got := NewID[EndpointID](NewGenerator(0, 0), at).Time(); !got.Equal(at) {
		t.Errorf("time %v, want %v", got, at)
	}
	if IDAt[messageKind](at) > NewID[MessageID](NewGenerator(0, 0), at) {
		t.Error("the bound of a moment is above an id of that moment")
	}
}

func TestGeneratorNeverGoesBack(t *testing.T) {
	t.Run("when the clock jumps back", func(t *testing.T) {
		g := NewGenerator(0, 0)
		a, b := g.Next(noon), g.Next(noon.Add(-time.Hour))
		if b <= a {
			t.Errorf("%d after %d", b, a)
		}
	})
	t.Run("when restarted with a clock behind the highest id", func(t *testing.T) {
		high := NewGenerator(3, 0).Next(noon.Add(time.Hour))
		if next := NewGenerator(3, high).Next(noon); next <= high {
			t.Errorf("%d is not above %d", next, high)
		}
	})
	t.Run("when a millisecond runs out of numbers", func(t *testing.T) {
		g := NewGenerator(0, 0)
		last := int64(0)
		for range 3 << seqBits {
			n := g.Next(noon)
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
	})
	t.Run("when many ask at once", func(t *testing.T) {
		g := NewGenerator(0, 0)
		var mu sync.Mutex
		seen := map[int64]bool{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 2000 {
					n := g.Next(noon)
					mu.Lock()
					if seen[n] {
						t.Errorf("%d twice", n)
					}
					seen[n] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
}

func TestIDInJSON(t *testing.T) {
	type row struct {
		ID MessageID `json:"id"`
	}
	in := row{NewID[MessageID](NewGenerator(0, 0), noon)}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out row
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%s read back as %v, %v", b, out, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"nonsense"}`), &out); err == nil {
		t.Error("nonsense was read as an id")
	}
}

func TestLooksLikeID(t *testing.T) {
	for s, want := range map[string]bool{
		"app_0ab1cd2ef3gh4": true, "ep_0123456789abc": true, "app_short": false, "myapp": false,
		"app_0ab1cd2ef3ghI": false, "xyz_0ab1cd2ef3gh4": false,
	} {
		if LooksLikeID(s) != want {
			t.Errorf("%s: %v, want %v", s, !want, want)
		}
	}
}
