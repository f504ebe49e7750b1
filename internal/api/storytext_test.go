package api

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// TestTheCatalogueSaysTheSameInBothLanguages compares the parameters of each pair of texts, and looks for texts that are missing or
// in the other language.
func TestTheCatalogueSaysTheSameInBothLanguages(t *testing.T) {
	t.Parallel()
	for code, text := range storyTexts {
		en, zh := placeholder.FindAllString(text.En, -1), placeholder.FindAllString(text.Zh, -1)
		slices.Sort(en)
		slices.Sort(zh)
		if !slices.Equal(slices.Compact(en), slices.Compact(zh)) {
			t.Errorf("%s: parameters %v in English, %v in Chinese", code, en, zh)
		}
		han := func(r rune) bool { return unicode.Is(unicode.Han, r) }
		if text.En == "" || strings.ContainsFunc(text.En, han) || !strings.ContainsFunc(text.Zh, han) {
			t.Errorf("%s: %q and %q", code, text.En, text.Zh)
		}
	}
}

// TestEveryCodeIsInTheCatalogueAndUsed compares the catalogue with the code that tells stories.
func TestEveryCodeIsInTheCatalogueAndUsed(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("story.go"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, found := range regexp.MustCompile(`"((?:message|endpoint|attempt|attempts|state|next|change|which)\.[A-Za-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		if used[found[1]] = true; storyTexts[found[1]].En == "" && found[1] != "message.explain" {
			t.Errorf("%s is not in the catalogue", found[1])
		}
	}
	for code := range storyTexts {
		if !used[code] {
			t.Errorf("nobody says %s", code)
		}
	}
}

func TestParametersAreNotReadAsTexts(t *testing.T) {
	t.Parallel()
	got := storyText("message.eventId", "en", map[string]string{"eventId": "{eventId} {at}", "at": "x"})
	if got != "Its sender calls it {eventId} {at}." {
		t.Error(got)
	}
}

// TestReasonsAreToldInTheLanguageOfTheStory keeps the parameters as they are stored: programs read them.
func TestReasonsAreToldInTheLanguageOfTheStory(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string]string{"en": "127.0.0.1:9 refused the connection", "zh": "127.0.0.1:9 拒绝连接"} {
		teller := &teller{lang: lang}
		f := teller.fact("attempt.unsent", "reason", "127.0.0.1:9 refused the connection")
		if !strings.Contains(f.Text, want) || f.Params["reason"] != "127.0.0.1:9 refused the connection" {
			t.Errorf("%s: %+v", lang, f)
		}
	}
	zh := &teller{lang: chinese}
	if f := zh.fact("attempt.unsent", "reason", "no room in the fridge"); !strings.Contains(f.Text, "原文：no room in the fridge") {
		t.Errorf("a receiver's own words: %+v", f)
	}
	if f := zh.fact("attempt.unsent", "reason", zh.reason(" . ")); !strings.Contains(f.Text, "：原因未知。") {
		t.Errorf("no reason: %+v", f)
	}
}
