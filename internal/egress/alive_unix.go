//go:build unix

package egress

import (
	"net"
	"syscall"
)

// peek looks at a socket without reading from it. What it needs for that is made once.
type peek struct {
	socket syscall.RawConn // nil = the connection is no socket
	look   func(fd uintptr) bool
	byte   [1]byte
	open   bool // what the last look saw
}

func (p *peek) at(c net.Conn) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	socket, err := sc.SyscallConn()
	if err != nil {
		return
	}
	p.socket = socket
	p.look = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), p.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.open = err == syscall.EAGAIN
		return true
	}
}

// alive says whether a kept connection is open and silent. Bytes that wait on it are no answer to anything that was
// asked, and a closed one would cost the delivery an attempt.
func (cn *conn) alive(x *exchange) bool {
	if cn.peek.socket == nil {
		return cn.silent(x)
	}
	return cn.peek.socket.Read(cn.peek.look) == nil && cn.peek.open
}
