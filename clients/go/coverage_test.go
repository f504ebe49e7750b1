package clients

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	svix "github.com/svix/svix-webhooks/go"
)

// TestEveryMethodOfTheClientIsDriven looks for calls in the tests of this folder: each method that the client has must be called.
func TestEveryMethodOfTheClientIsDriven(t *testing.T) {
	called := calls(t)
	all := 0
	services := reflect.TypeFor[svix.Svix]()
	for i := range services.NumField() {
		service := services.Field(i)
		for j := range service.Type.NumMethod() {
			name := service.Name + "." + service.Type.Method(j).Name
			all++
			if !called[name] {
				t.Errorf("%s is not driven", name)
			}
		}
	}
	if all < 80 {
		t.Errorf("only %d methods found", all)
	}
	t.Logf("%d methods", all)
}

// calls are the Service.Method of every call of the form x.Service.Method(…).
func calls(t *testing.T) map[string]bool {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if method, ok := call.Fun.(*ast.SelectorExpr); ok {
					if service, ok := method.X.(*ast.SelectorExpr); ok {
						out[service.Sel.Name+"."+method.Sel.Name] = true
					}
				}
			}
			return true
		})
	}
	return out
}

// client makes every request of these tests and notes those that succeeded, as "GET /api/v1/app".
var client = &http.Client{Transport: noting{}}

var succeeded sync.Map

type noting struct{}

func (noting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && resp.StatusCode/100 == 2 {
		succeeded.Store(r.Method+" "+r.URL.Path, true)
	}
	return resp, err
}

// checkDriven returns 1 unless every operation that docs/api.md gives as Svix's was made with success.
func checkDriven() int {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, section, _ := strings.Cut(string(text), "\n## Operations\n")
	section, _, _ = strings.Cut(section, "\n#")
	operations, missing := regexp.MustCompile("(?m)^\\| `([A-Z]+) (/[^`]*)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1), 0
	for _, row := range operations {
		method, path, note := row[1], row[2], row[3]
		if note != "addition" && !wasDriven(method, path) {
			missing++
			fmt.Printf("%s %s was not driven\n", method, path)
		}
	}
	if missing > 0 || len(operations) < 80 {
		fmt.Printf("FAIL: %d of %d operations not driven\n", missing, len(operations))
		return 1
	}
	return 0
}

// wasDriven looks for a request of an operation. A path that names its members is not one that has a name for one.
func wasDriven(method, path string) bool {
	parts := regexp.MustCompile(`\{[^}]*\}`).Split(path, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	pattern := regexp.MustCompile("^" + method + " /api/v1" + strings.Join(parts, "[^/]+") + "/?$")
	found := false
	succeeded.Range(func(key, _ any) bool {
		found = pattern.MatchString(key.(string))
		return !found
	})
	return found
}
