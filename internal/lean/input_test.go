package lean

import (
	"io"
	"net"
	"strings"
	"testing"
)

func TestALongHeadHoldsMemoryOnlyUntilItIsUsed(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	var in input
	in.open(far)
	defer in.close()
	text := strings.Repeat("0123456789", 1000)
	go func() { _, _ = io.WriteString(near, text) }()
	for len(in.ahead()) < len(text) {
		if err := in.fill(); err != nil {
			t.Fatal(err)
		}
	}
	if string(in.ahead()) != text {
		t.Error("something else was read")
	}
	in.skip(4000)
	if in.shrink(); string(in.ahead()) != text[4000:] || len(in.buf) != maxHead {
		t.Errorf("what does not fit a small buffer is in one of %d bytes", len(in.buf))
	}
	in.skip(3000)
	if in.shrink(); string(in.ahead()) != text[7000:] || len(in.buf) != smallBuffer {
		t.Errorf("what fits a small buffer is in one of %d bytes", len(in.buf))
	}
}
