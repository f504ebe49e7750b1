package egress

import (
	"errors"
	"os"
	"time"
)

// past is a deadline that has passed whatever the clock says.
var past = time.Unix(1, 0)

// silent is alive for connections that are no sockets: it sees that the other side has closed, not that bytes wait.
func (cn *conn) silent(x *exchange) bool {
	if cn.raw.SetReadDeadline(past) != nil {
		return false
	}
	var one [1]byte
	n, err := cn.raw.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && x.begin(cn)
}
