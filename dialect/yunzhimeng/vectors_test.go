package yunzhimeng

import (
	"os"
	"testing"

	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &Dialect, os.DirFS("."))
}
