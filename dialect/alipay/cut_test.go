package alipay

import (
	"slices"
	"strings"
	"testing"
)

// Every cut of a text is looked at beside every other one of it, and a cut is ambiguous just when another one is a
// message that the platform could have meant.
func TestACutIsAmbiguousWhenAnotherReadingIsPossible(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"app_id=1&charset=u&notify_id=7&out_biz_no=1&out_trade_no=2&passback_params=x&out_trade_no=9&zz=1&version=1",
		"app_id=1&body=x&charset=1&charset=u&gmt=1&notify_id=7&subject=a&version=2&version=1",
		"app_id=1&body=x&app_id=2&charset=u&notify_id=3&zz&charset=u&notify_id=7&version=1",
		"app_id=1&auth_app_id=2&biz_content={x&charset=v&msg_method=e&msg_uid=3}&charset=u&msg_method=m&notify_id=7",
		"app_id=1&biz_content={x&charset=v&notify_id=8}&charset=u&msg_uid=2&notify_id=7&service=s",
		"charset=u&ext=1&charset=v&service=s&ext=2&service=r",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			var cuts [][]Param
			for _, cut := range everyCut(text) {
				if string(Canonical(V1, cut)) == text && !repeats(cut) {
					cuts = append(cuts, cut)
				}
			}
			found := map[bool]int{}
			for _, cut := range cuts {
				want := slices.ContainsFunc(cut, func(p Param) bool { return slices.Contains(bare, p.Name) && strings.Contains(p.Value, "&") }) ||
					slices.ContainsFunc(cuts, func(other []Param) bool { return possible(text, other) && showsHidden(cut, other) })
				found[want]++
				if got := ambiguous(cut); got != want {
					t.Errorf("%q: ambiguous %v, want %v", cut, got, want)
				}
			}
			if found[true] == 0 || found[false] == 0 {
				t.Errorf("only one kind was tried: %v", found)
			}
		})
	}
}

// possible says whether the platform could have sent a cut.
func possible(text string, cut []Param) bool {
	needed := []string{pAppID, pCharset, pNotifyID}
	if strings.Contains(text, "&service=") {
		needed = []string{pCharset}
	}
	for _, p := range cut {
		if slices.Contains(bare, p.Name) && strings.Contains(p.Value, "&") {
			return false
		}
		needed = slices.DeleteFunc(needed, func(n string) bool { return n == p.Name })
	}
	return len(needed) == 0
}

// showsHidden says whether another cut has a parameter, of a name that is known, where this one has a piece of a value
// that is not the content.
func showsHidden(cut, other []Param) bool {
	starts := func(cut []Param) map[int]string {
		at, out := 0, map[int]string{}
		for _, p := range cut {
			out[at] = p.Name
			at += len(p.Name) + len(p.Value) + 2
		}
		return out
	}
	mine := starts(cut)
	for at, name := range starts(other) {
		if mine[at] != "" {
			continue
		}
		within := 0
		for start := range mine {
			if start < at {
				within = max(within, start)
			}
		}
		known := slices.Contains(public, name) || slices.ContainsFunc(cut, func(p Param) bool { return p.Name == name })
		if known && mine[within] != pBizContent {
			return true
		}
	}
	return false
}
