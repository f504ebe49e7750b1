// Package longconn owns both ends of Alipay's WebSocket long connection: the client that a source dials out with, and the
// server that endpoints' connections come to. What a frame and a signature are is pure code in dialect/alipay; this package
// has the sockets, the clocks and the order in which things happen.
package longconn
