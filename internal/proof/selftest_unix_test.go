//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly || illumos

package proof

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAScratchFolderGoesAndTakesDeadOnesWithIt(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	dead := filepath.Join(data, scratchPrefix+"dead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * newScratch)
	if err := os.Chtimes(dead, long, long); err != nil {
		t.Fatal(err)
	}
	alive, removeAlive, err := Scratch(data)
	if err != nil {
		t.Fatal(err)
	}
	if exists(dead) {
		t.Error("the folder of a dead run is still there")
	}
	_, remove, err := Scratch(data)
	if err != nil {
		t.Fatal(err)
	}
	if !exists(alive) {
		t.Error("the folder of a run that is under way was removed")
	}
	for _, f := range []func() error{remove, removeAlive} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(data); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
