//go:build unix

package proof

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp says whether the other end of a connection has closed it, or died, behind what has been read so far. The kernel
// closes the connections of a process before anyone is told that it has ended, and delivers that behind what was sent:
// there is no moment at which the sender is known to be dead and its connection still looks open. (Over a network there
// is one. Here both are on one machine.)
func hungUp(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return gone || err != nil
}
