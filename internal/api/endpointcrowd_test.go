package api_test

import (
	"fmt"
	"sync"
	"testing"
)

// At start-up every process of a team writes the same endpoint: none of them may be told that another one was first.
func TestChangesOfOneEndpointAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	at := func(what string, change func(s *server, i int)) {
		t.Run(what, func(t *testing.T) {
			s := s.in(t)
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() { change(s, i) })
			}
			all.Wait()
		})
	}
	var mu sync.Mutex
	made := 0
	at("PUT to a uid that is new", func(s *server, i int) {
		a := s.put(app+"/endpoint/new", object{"url": goodURL, "description": fmt.Sprint(i)})
		mu.Lock()
		defer mu.Unlock()
		switch a.status {
		case 201:
			made++
		case 200:
		default:
			t.Errorf("%d %s", a.status, a.text)
		}
	})
	if n := len(s.get(app + "/endpoint").want(200).json().list("data")); n != 1 || made != 1 {
		t.Errorf("%d endpoints, %d of them made", n, made)
	}
	ep := app + "/endpoint/new"
	at("PATCH", func(s *server, i int) { s.patch(ep, object{"metadata": object{"k": fmt.Sprint(i)}}).want(200) })
	at("PATCH of headers", func(s *server, i int) {
		s.patch(ep+"/headers", object{"headers": object{fmt.Sprintf("x-%d", i): "1"}}).want(204)
	})
	if n := len(s.stored(ep).Headers); n != 20 {
		t.Errorf("%d of 20 headers are there", n)
	}
	at("rotation", func(s *server, _ int) { s.post(ep+"/secret/rotate", object{"gracePeriodSeconds": 0}).want(204) })
}
