package app

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// knownFields refuses mapping keys that the Go type behind them lacks, with the line and the names that there are:
// a misspelt key that is ignored is a setting that silently does not hold.
func knownFields(n *yaml.Node, into any) error { return known(n, reflect.TypeOf(into)) }

func known(n *yaml.Node, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		return knownKeys(n, t)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, e := range n.Content {
			if err := known(e, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func knownKeys(n *yaml.Node, t reflect.Type) error {
	fields := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "" {
			continue // not of the file
		}
		fields[name] = t.Field(i).Type
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		ft, ok := fields[key.Value]
		if !ok {
			slices.Sort(names)
			return fmt.Errorf("line %d: unknown key %q; known here: %s", key.Line, key.Value, strings.Join(names, ", "))
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: %s is set twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if err := known(n.Content[i+1], ft); err != nil {
			return err
		}
	}
	return nil
}
