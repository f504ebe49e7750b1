package api_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEveryListHasItsBounds walks every operation of the document that takes a limit.
func TestEveryListHasItsBounds(t *testing.T) {
	t.Parallel()
	s := start(t)
	w := s.world("a")
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(s.call("", "GET", "/api/v1/openapi.json", nil).want(200).text), &doc); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for path, methods := range doc.Paths {
		has := map[string]bool{}
		for _, p := range methods["get"].Parameters {
			has[p.Name] = true
		}
		if !has["limit"] {
			continue
		}
		lists++
		t.Run(path, func(t *testing.T) {
			s := s.in(t)
			at := w.names.Replace(path)
			for _, limit := range []string{"0", "-1", "251", "1.5", "x", "99999999999999999999"} {
				s.get(at + "?limit=" + limit).wrong("query.limit")
			}
			if !has["iterator"] {
				return // the last few of something
			}
			s.get(at + "?limit=250").want(200)
			s.get(at + "?iterator=" + strings.Repeat("x", 600)).wrong("query.iterator")
			if strings.Contains(path, "/poller/") {
				return // goes forward only
			}
			for _, order := range []string{"up", "ASCENDING", "-1"} {
				s.get(at + "?order=" + order).wrong("query.order")
			}
			for _, order := range []string{"ascending", "descending"} {
				o := s.get(at + "?limit=1&order=" + order).want(200).json()
				for _, member := range []string{"data", "iterator", "prevIterator", "done"} {
					if _, there := o[member]; !there {
						t.Errorf("has no %s: %v", member, o)
					}
				}
				if prev := o.str("prevIterator"); prev != "" {
					if back := s.get(at + "?limit=1&order=" + order + "&iterator=" + prev).want(200).json(); len(back.list("data")) != 0 || back["done"] != true {
						t.Errorf("in front of the first is %v", back)
					}
				}
			}
		})
	}
	if lists < 15 {
		t.Errorf("only %d lists", lists)
	}
}
