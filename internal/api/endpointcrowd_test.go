package api_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// At start-up every process of a team writes the same endpoint: none of them may be told that another one was first.
func TestChangesOfOneEndpointAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	at := func(what string, wants map[int]bool, change func(s *server, i int) answer) {
		t.Run(what, func(t *testing.T) {
			s := s.in(t)
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					if a := change(s, i); !wants[a.status] {
						t.Errorf("%d %s", a.status, a.text)
					}
				})
			}
			all.Wait()
		})
	}
	var made atomic.Int32
	at("PUT to a uid that is new", map[int]bool{200: true, 201: true}, func(s *server, i int) answer {
		a := s.put(app+"/endpoint/new", object{"url": goodURL, "description": fmt.Sprint(i)})
		if a.status == 201 {
			made.Add(1)
		}
		return a
	})
	if n := len(s.get(app + "/endpoint").want(200).json().list("data")); n != 1 || made.Load() != 1 {
		t.Errorf("%d endpoints, %d of them made", n, made.Load())
	}
	ep := app + "/endpoint/new"
	at("PATCH", map[int]bool{200: true}, func(s *server, i int) answer {
		return s.patch(ep, object{"metadata": object{"k": fmt.Sprint(i)}})
	})
	at("PATCH of headers", map[int]bool{204: true}, func(s *server, i int) answer {
		return s.patch(ep+"/headers", object{"headers": object{fmt.Sprintf("x-%d", i): "1"}})
	})
	if n := len(s.stored(ep).Headers); n != 20 {
		t.Errorf("%d of 20 headers are there", n)
	}
	at("rotation", map[int]bool{204: true}, func(s *server, _ int) answer {
		return s.post(ep+"/secret/rotate", object{"gracePeriodSeconds": 0})
	})
}
