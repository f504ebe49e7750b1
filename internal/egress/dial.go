package egress

import (
	"context"
	"net"
	"net/netip"
)

// Dial opens a connection of its own to where a URL leads, for a protocol that is more than one request: TLS on top where the
// URL is https, with the name verified. It is judged and bounded in time as that of Do is, and every error is an *Error.
// Whoever gets it sets its deadlines, and closes it.
func (c *Client) Dial(ctx context.Context, rawURL string, allow []netip.Prefix) (net.Conn, error) {
	t, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	cn, err := c.connect(ctx, &t, allow)
	if err != nil {
		return nil, err
	}
	return cn.Conn, nil
}
