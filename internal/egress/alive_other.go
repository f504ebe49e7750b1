//go:build !unix

package egress

import "net"

// peek would look at a socket without reading from it, which the standard library cannot do here.
type peek struct{}

func (*peek) at(net.Conn) {}

// alive says whether a kept connection is open and silent, as far as that can be seen here. The exchange's one fresh
// start covers the rest.
func (cn *conn) alive(x *exchange) bool { return cn.silent(x) }
