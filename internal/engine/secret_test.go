package engine

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/hook"
)

// signers says which of several secrets a request is signed with.
func signers(t *testing.T, w *world, a arrival, secrets []string) (out []int) {
	t.Helper()
	for i, s := range secrets {
		public, err := standard.ForReceiver(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = standard.Dialect.Receive(dialect.Set("secret", public), dialect.Inbound{
			Method: http.MethodPost, Header: a.header, Body: []byte(a.body), Now: w.begin.Add(a.at),
		})
		if err == nil {
			out = append(out, i)
		}
	}
	return out
}

// manySecrets makes shared and private secrets in turn.
func manySecrets(t *testing.T, n int) (out []string) {
	t.Helper()
	for i := range n {
		seed := [32]byte{byte(i + 1)}
		shared, err := standard.SharedSecret(seed[:])
		if err != nil {
			t.Fatal(err)
		}
		private, _ := standard.KeyPair(seed)
		out = append(out, []string{shared, private}[i%2])
	}
	return out
}

func TestRotatedSecretsSignUntilTheirTimeIsOver(t *testing.T) {
	in(t, nil, func(w *world) {
		s := manySecrets(t, 3)
		w.endpoint("a", func(e *hook.Endpoint) {
			e.Settings = hook.Settings{"secret": {s[0]}}
			e.OldSecrets = []hook.OldSecret{
				{Value: s[1], Until: w.begin.Add(time.Hour)}, {Value: s[2], Until: w.begin.Add(time.Minute)},
			}
		})
		for _, at := range []time.Duration{0, time.Minute - time.Millisecond, time.Minute, time.Hour - time.Millisecond, time.Hour, day} {
			time.Sleep(at - time.Since(w.begin))
			w.publish(1, nil)
		}
		settled()
		for i, want := range [][]int{{0, 1, 2}, {0, 1, 2}, {0, 1}, {0, 1}, {0}, {0}} {
			a := w.seen("")[i]
			if got := signers(t, w, a, s); !slices.Equal(got, want) {
				t.Errorf("at %v it is signed with %v, want %v", a.at, got, want)
			}
			if n := len(strings.Fields(a.header.Get("webhook-signature"))); n != len(want) {
				t.Errorf("at %v it has %d signatures, want %d", a.at, n, len(want))
			}
		}
	})
}

func TestASecretThatRunsOutBetweenTwoAttemptsSignsTheFirstOnly(t *testing.T) {
	in(t, nil, func(w *world) {
		s := manySecrets(t, 2)
		w.answer(status(500))
		w.endpoint("a", func(e *hook.Endpoint) {
			e.Settings = hook.Settings{"secret": {s[0]}}
			e.OldSecrets = []hook.OldSecret{{Value: s[1], Until: w.begin.Add(5 * time.Second)}}
		})
		w.publish(1, nil)
		time.Sleep(time.Minute)
		list := w.seen("")
		if first, second := signers(t, w, list[0], s), signers(t, w, list[1], s); !slices.Equal(first, []int{0, 1}) || !slices.Equal(second, []int{0}) {
			t.Errorf("signed with %v and with %v", first, second)
		}
	})
}

func TestARotationHoldsForWhatIsSentAfterIt(t *testing.T) {
	in(t, nil, func(w *world) {
		s := manySecrets(t, 2)
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.Settings = hook.Settings{"secret": {s[0]}} })
		w.publish(1, nil)
		settled()
		w.update(ep, func(e *hook.Endpoint) {
			e.Settings = hook.Settings{"secret": {s[1]}}
			e.OldSecrets = []hook.OldSecret{{Value: s[0], Until: time.Now().Add(time.Hour)}}
		})
		w.publish(1, nil)
		settled()
		list := w.seen("")
		if before, after := signers(t, w, list[0], s), signers(t, w, list[1], s); !slices.Equal(before, []int{0}) || !slices.Equal(after, []int{0, 1}) {
			t.Errorf("signed with %v and with %v", before, after)
		}
	})
}

func TestAsManySecretsSignAsMayBeLive(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]int{"ten that were rotated away": 10, "more than a configuration should hold": 14} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				s := manySecrets(t, 1+old)
				w.endpoint("a", func(e *hook.Endpoint) {
					e.Settings = hook.Settings{"secret": {s[0]}}
					for _, v := range s[1:] {
						e.OldSecrets = append(e.OldSecrets, hook.OldSecret{Value: v, Until: w.begin.Add(time.Hour)})
					}
				})
				w.publish(1, nil)
				settled()
				if got := signers(t, w, w.seen("")[0], s); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
					t.Errorf("signed with %v", got)
				}
			})
		})
	}
}

func TestAHandshakeIsSignedWithRotatedSecretsToo(t *testing.T) {
	in(t, nil, func(w *world) {
		s := manySecrets(t, 2)
		ep := w.endpoint("a", func(e *hook.Endpoint) {
			e.Settings = hook.Settings{"secret": {s[0]}}
			e.OldSecrets = []hook.OldSecret{{Value: s[1], Until: w.begin.Add(time.Hour)}}
		})
		target, err := w.db.Target(context.Background(), ep.ID)
		w.must(err)
		_, err = w.e.Verify(context.Background(), target)
		w.must(err)
		if got := signers(t, w, w.seen("")[0], s); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("signed with %v", got)
		}
	})
}
