package clients

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
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
