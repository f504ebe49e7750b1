package alipay_test

import (
	"os"
	"testing"

	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &alipay.Dialect, os.DirFS("."))
}
