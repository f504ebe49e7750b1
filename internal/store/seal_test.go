package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/waypost/waypost/internal/store"
)

func newSealer(t *testing.T, seed byte) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer(bytes.Repeat([]byte{seed}, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAMainKeyHasItsLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, store.MainKeySize - 1, store.MainKeySize + 1} {
		if _, err := store.NewSealer(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is taken", n)
		}
	}
}

func TestWhatIsNotAsSealedDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newSealer(t, 1)
	sealed := s.Seal([]byte("secret"), "here")
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open(bad, "here"); !errors.Is(err, store.ErrMainKey) {
			t.Errorf("byte %d changed: got %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := s.Open(sealed[:n], "here"); !errors.Is(err, store.ErrMainKey) {
			t.Errorf("cut to %d bytes: got %v", n, err)
		}
	}
	if _, err := s.Open(sealed, "there"); !errors.Is(err, store.ErrMainKey) {
		t.Errorf("in another place: got %v", err)
	}
	if _, err := newSealer(t, 2).Open(sealed, "here"); !errors.Is(err, store.ErrMainKey) {
		t.Errorf("with another key: got %v", err)
	}
}

func TestSealedTextsOpenAndHideTheText(t *testing.T) {
	t.Parallel()
	s := newSealer(t, 1)
	for _, text := range []string{"", "secret", string(bytes.Repeat([]byte{0xff, 0}, 5000))} {
		a, b := s.Seal([]byte(text), "here"), s.Seal([]byte(text), "here")
		got, err := newSealer(t, 1).Open(a, "here") // the key alone decides, not the sealer
		if err != nil || string(got) != text {
			t.Errorf("got %q, %v; want %q", got, err, text)
		}
		if bytes.Equal(a, b) {
			t.Error("two sealings of one text are the same")
		}
		if text != "" && bytes.Contains(a, []byte(text)) {
			t.Error("the text stands in the clear")
		}
	}
}

func TestAnErrorTellsNoSecret(t *testing.T) {
	t.Parallel()
	s := newSealer(t, 1)
	_, err := s.Open(s.Seal([]byte("secret"), "here"), "there")
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("got %v", err)
	}
}
