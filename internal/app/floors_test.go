package app

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/waypost/waypost/"

// floors is the law of imports: each package, and what of ours it may import. A name that ends in /... stands for every
// package below it. Tests are not bound by it.
var floors = map[string][]string{
	"internal/hook":       {},
	"dialect":             {},
	"dialect/...":         {"dialect"},
	"dialect/all":         {"dialect", "dialect/..."},
	"dialect/dialecttest": {"dialect"},
	"internal/egress":     {},
	"internal/console":    {},
	"internal/lean":       {},
	"internal/store":      {"internal/hook"},
	"internal/store/...":  {"internal/hook", "internal/store", "internal/store/..."},
	"internal/ingest":     {"internal/hook", "dialect"},
	"internal/engine":     {"internal/hook", "dialect", "internal/store", "internal/egress"},
	"internal/longconn":   {"internal/hook", "dialect", "dialect/alipay", "internal/egress"},
	"internal/capture":    {"dialect"},
	"internal/diagnose":   {"dialect", "dialect/explain"},
	"internal/api":        {"internal/hook", "dialect", "dialect/explain", "internal/capture", "internal/diagnose", "internal/store"},
	"internal/simulate":   {"dialect", "internal/egress"},
	"internal/proof":      {"dialect"},
	"internal/bench":      {"dialect", "internal/hook", "internal/egress", "internal/ingest", "internal/simulate", "internal/proof"},
	"internal/app":        {"internal/...", "dialect", "dialect/..."},
	"internal/cli": {"internal/app", "internal/hook", "internal/lean", "internal/simulate", "internal/egress", "internal/proof", "internal/bench", "internal/capture",
		"internal/diagnose", "dialect", "dialect/explain"},
	"cmd/waypost":           {"internal/cli"},
	"internal/store/sqlite": {"internal/hook", "internal/store", "internal/store/sqlite/..."},
}

// pure packages have no I/O: what they must not import of the standard library.
var impure = []string{"os", "net", "os/exec", "database/sql", "syscall", "io/ioutil", "math/rand", "math/rand/v2"}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoDownTheFloorsOnly(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := rule(name)
		if !ok {
			t.Errorf("%s stands on no floor: add it to the table, with a decision in docs/decisions", name)
			continue
		}
		for _, imp := range p.Imports {
			if ours, is := strings.CutPrefix(imp, module); is && !matchesAny(ours, allowed) {
				t.Errorf("%s must not import %s", name, ours)
			}
		}
	}
}

func TestWordsAndDialectsArePure(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		words := name == "internal/hook"
		if !words && (name != "dialect" && !strings.HasPrefix(name, "dialect/") || name == "dialect/dialecttest") {
			continue
		}
		for _, imp := range p.Imports {
			if matchesAny(imp, impure) {
				t.Errorf("%s is pure and must not import %s", name, imp)
			}
			if words && strings.Contains(imp, ".") {
				t.Errorf("%s uses the standard library only, not %s", name, imp)
			}
		}
	}
}

func TestOnlyAppNamesTheDatabaseAndTheDialectTable(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if imp == module+"internal/store/sqlite" && name != "internal/app" && !strings.HasPrefix(name, "internal/store/") {
				t.Errorf("%s names the database; only internal/app may", name)
			}
			if imp == module+"dialect/all" && name != "internal/app" {
				t.Errorf("%s names the dialect table; only internal/app may", name)
			}
		}
	}
}

func TestLongestChainOfOurPackages(t *testing.T) {
	const limit = 6 // imports, so seven packages
	imports := map[string][]string{}
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, module) {
				imports[p.ImportPath] = append(imports[p.ImportPath], imp)
			}
		}
	}
	var depth func(string) int
	depth = func(p string) int {
		d := 0
		for _, imp := range imports[p] {
			d = max(d, 1+depth(imp))
		}
		return d
	}
	for p := range imports {
		if d := depth(p); d > limit {
			t.Errorf("the import chain below %s is %d long, over %d", p, d, limit)
		}
	}
}

func rule(name string) ([]string, bool) {
	if allowed, ok := floors[name]; ok {
		return allowed, true
	}
	longest := ""
	for pattern := range floors {
		if strings.HasSuffix(pattern, "/...") && matchesAny(name, []string{pattern}) && len(pattern) > len(longest) {
			longest = pattern
		}
	}
	return floors[longest], longest != ""
}

func matchesAny(name string, patterns []string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "..."); ok && strings.HasPrefix(name, prefix) || name == p {
			return true
		}
	}
	return false
}
