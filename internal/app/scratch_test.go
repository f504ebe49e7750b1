package app

import (
	"testing"

	"github.com/waypost/waypost/internal/store/sqlite"
)

func TestCommitsThatAreNotSyncedAreSeen(t *testing.T) {
	t.Parallel()
	const commits = 5
	for _, c := range []struct {
		name   string
		faults sqlite.Faults
		want   int
	}{
		{"a store that does not sync", sqlite.Faults{NoSync: true}, 0},
		{"the store as it is", sqlite.Faults{}, commits},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := syncedCommits(t.Context(), t.TempDir(), commits, c.faults)
			if err != nil || got != c.want {
				t.Errorf("%d of %d commits were followed by a sync, want %d; %v", got, commits, c.want, err)
			}
		})
	}
}
