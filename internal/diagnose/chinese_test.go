package diagnose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestPhrasesSayTheSameInBothLanguages(t *testing.T) {
	t.Parallel()
	holes := regexp.MustCompile(`\{\d\}`)
	for i, p := range phrases {
		en, zh := holes.FindAllString(p.en, -1), holes.FindAllString(p.zh, -1)
		slices.Sort(en)
		slices.Sort(zh)
		if !slices.Equal(en, zh) {
			t.Errorf("%q and %q", p.en, p.zh)
		}
		sample := strings.NewReplacer("{1}", "one", "{2}", "two").Replace(p.en)
		want := strings.NewReplacer("{1}", "one", "{2}", "two").Replace(p.zh)
		if got := Chinese(sample); got != want {
			t.Errorf("%d: %q became %q, want %q: an earlier phrase hides it", i, sample, got, want)
		}
	}
}

func TestWhatIsNotKnownStaysAsItIs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "please come back later": "原文：please come back later",
		"answered 503 Service Unavailable":   "应答 503 Service Unavailable",
		"127.0.0.1:9 refused the connection": "127.0.0.1:9 拒绝连接",
		"{1} refused the connection":         "{1} 拒绝连接",
		"no key in {2} verifies it with {1}": "{2} 中没有密钥能按 {1} 验证它",
	} {
		if got := Chinese(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// rare are refusals that stay in English: they are long, and said of settings that no source can be made with, or of requests that no
// platform sends.
const rare = 60

// TestTheRefusalsOfSignaturesAreInChinese reads the sources of the dialects: whatever refuses a signature with a fixed text is known.
func TestTheRefusalsOfSignaturesAreInChinese(t *testing.T) {
	t.Parallel()
	known, unknown := 0, 0
	err := filepath.WalkDir("../../dialect", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "dialecttest") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Refuse" {
				return true
			}
			lit, ok := call.Args[2].(*ast.BasicLit)
			if !ok {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || strings.Trim(text, "%vs") == "" {
				return true // another's words
			}
			sample := regexp.MustCompile(`%[a-z]`).ReplaceAllString(text, "x")
			if strings.ContainsFunc(Chinese(sample), func(r rune) bool { return unicode.Is(unicode.Han, r) }) && !strings.HasPrefix(Chinese(sample), "原文") {
				known++
				return true
			}
			unknown++
			why, _ := call.Args[0].(*ast.SelectorExpr)
			if why != nil && why.Sel.Name == "ReasonSignature" && len(text) < 90 {
				t.Errorf("%s: %q has no Chinese", path, text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if known < 40 || unknown > rare {
		t.Errorf("%d refusals are known in Chinese, %d are not", known, unknown)
	}
}
