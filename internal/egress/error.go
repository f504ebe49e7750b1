package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Kind sorts errors by what happened.
type Kind string

// The kinds of error.
const (
	KindURL       Kind = "url"       // the URL cannot be requested
	KindHeader    Kind = "header"    // a header or the method must not be sent
	KindDNS       Kind = "dns"       // the name has no address
	KindForbidden Kind = "forbidden" // the address is not public and not allowed
	KindConnect   Kind = "connect"   // nobody answers there
	KindTLS       Kind = "tls"       // no trust, or no common protocol
	KindTimeout   Kind = "timeout"   // the deadline passed
	KindReset     Kind = "reset"     // the connection broke before the answer was complete
	KindProtocol  Kind = "protocol"  // the answer is not HTTP, or over a limit
	KindCanceled  Kind = "canceled"  // our side gave up
)

// Error says why there is no (complete) answer. Text is one sentence for the owner of the endpoint: it names nothing of
// our own network. Hint is for the operator: what to change here, with the address; "" when there is nothing.
type Error struct {
	Kind Kind
	Text string
	Hint string
}

// Error returns text and hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + "; " + e.Hint
}

func resolveError(ctx context.Context, host string, err error) *Error {
	if e := contextError(ctx, "while looking up the name "+host); e != nil {
		return e
	}
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return &Error{Kind: KindDNS, Text: "the name " + host + " does not exist"}
	case errors.As(err, &d) && d.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: KindDNS, Text: "the name " + host + " could not be looked up in time"}
	}
	// The resolver's own text may hold its address.
	return &Error{Kind: KindDNS, Text: "the name " + host + " could not be looked up"}
}

func dialError(ctx context.Context, t *target, err error) *Error {
	if e := contextError(ctx, "while connecting to "+t.authority); e != nil {
		return e
	}
	text := "could not connect to " + t.authority
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		text = t.authority + " refused the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		text = t.authority + " cannot be reached from here"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return &Error{Kind: KindTimeout, Text: t.authority + " did not accept the connection in time"}
	}
	return &Error{Kind: KindConnect, Text: text}
}

func tlsError(ctx context.Context, t *target, err error) *Error {
	if e := contextError(ctx, "during the TLS handshake with "+t.authority); e != nil {
		return e
	}
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	reason := ""
	switch {
	case errors.As(err, &cert):
		reason = certificateReason(cert.Err)
	case errors.As(err, &alert):
		reason = "the other side refused the TLS handshake (" + alert.Error() + ")"
	case errors.As(err, &record):
		reason = "the other side does not speak TLS on this port"
	case isBroken(err):
		reason = "the connection broke during the TLS handshake"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: KindTimeout, Text: "the TLS handshake with " + t.authority + " took too long"}
	default:
		reason = "the TLS handshake did not succeed"
	}
	return &Error{Kind: KindTLS, Text: t.authority + ": " + reason}
}

func certificateReason(err error) string {
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return "the certificate is for another name"
	case errors.As(err, &unknown):
		return "the certificate is signed by an authority that is not trusted here"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not yet valid"
	}
	return "the certificate is not valid"
}

// exchangeError explains a failed write or read. where says what was waited for.
func exchangeError(ctx context.Context, end time.Time, err error, where string) *Error {
	if e := overError(ctx, end, where); e != nil {
		return e
	}
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errOverLimit):
		return &Error{Kind: KindProtocol, Text: "the headers of the answer are longer than " + strconv.Itoa(maxHead>>10) + " KiB"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: KindTimeout, Text: "the deadline passed " + where}
	case isBroken(err):
		return &Error{Kind: KindReset, Text: "the connection was closed " + where}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return &Error{Kind: KindReset, Text: "the connection broke " + where}
	}
	return &Error{Kind: KindProtocol, Text: "the answer is not valid HTTP/1.1"}
}

// contextError returns the error of a context that is over, or whose deadline is reached though its timer has not run
// yet.
func contextError(ctx context.Context, where string) *Error {
	end, _ := ctx.Deadline()
	return overError(ctx, end, where)
}

// overError is contextError with a deadline that need not be the context's; zero = none.
func overError(ctx context.Context, end time.Time, where string) *Error {
	err := ctx.Err()
	if errors.Is(err, context.Canceled) {
		return &Error{Kind: KindCanceled, Text: "given up by this server " + where}
	}
	if err != nil || !end.IsZero() && !time.Now().Before(end) {
		return &Error{Kind: KindTimeout, Text: "the deadline passed " + where}
	}
	return nil
}

func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
