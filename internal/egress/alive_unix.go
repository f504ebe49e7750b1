//go:build unix

package egress

import (
	"errors"
	"net"
	"syscall"
)

// alive says whether a kept connection is open and silent. Bytes that wait on it are no answer to anything that was
// asked, and a closed one would cost the delivery an attempt.
func alive(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return silent(c)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = rc.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, errno := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(errno, syscall.EAGAIN)
		return true
	})
	return err == nil && open
}
