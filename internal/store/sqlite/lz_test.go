package sqlite

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// held checks that the library reads what encode made.
func held(t *testing.T, d *dictionary, src []byte) (size int) {
	t.Helper()
	b := d.table.encode(nil, src)
	if got, err := d.read.Decode(nil, b); err != nil || !bytes.Equal(got, src) {
		t.Fatalf("%q is read as %q, %v", src, got, err)
	}
	if limit := s2.MaxEncodedLen(len(src)); len(b) > limit {
		t.Fatalf("%d bytes of %d, more than the library ever makes (%d)", len(b), len(src), limit)
	}
	return len(b)
}

func dictionaryOf(t testing.TB, text string) *dictionary {
	t.Helper()
	d, err := newDictionary(1, 1, s2.MakeDict([]byte(text), nil).Bytes())
	check(t, err)
	return d
}

func TestBlocksAreReadByTheLibrary(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz-", 5) + `{"orderNumber":"`
	d := dictionaryOf(t, text)
	r := rand.New(rand.NewPCG(7, 8))
	noise := make([]byte, maxLZ)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for _, src := range []string{
		"", "a", "abc", "abcd", text, text + text, text[len(text)-20:] + text[:90], strings.Repeat("x", 70), strings.Repeat("xyz ", maxLZ/4),
		string(noise), string(noise[:61]), string(noise[:300]) + text[3:100] + string(noise[:300]), string(noise[:20000]) + string(noise[:12000]),
	} {
		held(t, d, []byte(src))
	}
	for n := range 200 { // a copy of every length, from the dictionary and from before
		held(t, d, []byte(text[:min(n, len(text))]+"#"+text[:min(n, len(text))]))
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte("a dictionary of sixteen bytes and more"), []byte("sixteen bytes and more of a dictionary of sixteen"))
	f.Fuzz(func(t *testing.T, text, src []byte) {
		made := s2.MakeDict(text[:min(len(text), maxDictionary)], nil)
		if made == nil || len(src) > maxLZ {
			t.Skip()
		}
		d, err := newDictionary(1, 1, made.Bytes())
		if err != nil {
			t.Skip()
		}
		held(t, d, src)
	})
}

func BenchmarkPack(b *testing.B) {
	o := orders{rand.New(rand.NewPCG(1, 2))}
	kept := make(chan struct{}, 1)
	for _, name := range []string{"alone", "against a dictionary"} {
		p := newPacker(func(context.Context, *dictionary) error { kept <- struct{}{}; return nil })
		if name == "alone" {
			p.closed = true
		} else {
			for range learnFrom + judgeBy {
				p.pack(o.next())
			}
			<-kept
			p.close()
		}
		b.Run(name, func(b *testing.B) {
			m, out := o.next(), 0
			b.ReportAllocs()
			for b.Loop() {
				packed, _ := p.pack(m)
				out = len(packed)
			}
			b.ReportMetric(float64(out), "B/message")
		})
	}
}
