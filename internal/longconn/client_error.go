package longconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
)

// statusError is an HTTP status that the platform should not have answered with.
type statusError struct {
	step   string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the platform answered the %s with HTTP %d", e.step, e.status)
}

type silenceError struct{ after time.Duration }

func (e *silenceError) Error() string {
	return fmt.Sprintf("nothing was heard of the platform for %s", e.after)
}

var errUpgrade = errors.New("the answer is not that of a WebSocket server")

// explain says for people why there is no connection, and what they can do about it; "" = nothing, it is tried again.
func explain(err error) (text, mend string) {
	var network *egress.Error
	var refused *alipay.RegisterRefused
	var setting *dialect.Error
	var status *statusError
	var silence *silenceError
	switch {
	case errors.As(err, &network):
		return network.Text, mendNetwork(network)
	case errors.As(err, &refused):
		return refused.Error(), mendRefusal(refused)
	case errors.As(err, &setting):
		return setting.Error(), mendAnswer(setting)
	case errors.As(err, &status):
		return status.Error(), mendStatus(status)
	case errors.As(err, &silence):
		return silence.Error(), ""
	case errors.Is(err, websocket.ErrMessageTooBig):
		return fmt.Sprintf("the platform sent a frame of more than %d bytes", alipay.MaxFrame), ""
	case errors.Is(err, errUpgrade):
		return err.Error(), "check longconn_server, and whether a proxy on the way takes the upgrade out"
	}
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return "the platform closed the connection with " + strconv.Itoa(int(closed.Code)) + reason(closed), ""
	case errors.Is(err, context.DeadlineExceeded):
		return "the platform did not answer in time", ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut without a goodbye", ""
	case err == nil:
		return "the connection ended", ""
	}
	return "the connection broke: " + clip(err.Error()), ""
}

func mendNetwork(e *egress.Error) string {
	if e.Hint != "" {
		return e.Hint
	}
	switch e.Kind {
	case egress.KindDNS, egress.KindURL:
		return "check longconn_server"
	case egress.KindTLS:
		return "check longconn_server; for a server with certificates of your own, start with --egress-ca"
	case egress.KindConnect, egress.KindTimeout:
		return "check longconn_server, and that a firewall lets this machine connect to it"
	}
	return ""
}

func mendRefusal(e *alipay.RegisterRefused) string {
	if e.SubCode == "" {
		return "look the code up in the documents of Alipay's open platform; most often app_id or app_private_key is not the application's"
	}
	return "" // the text has it, where it is known
}

// mendAnswer is for what is wrong with our settings, and with what the platform signed.
func mendAnswer(e *dialect.Error) string {
	if e.Reason == dialect.ReasonSignature {
		return "set alipay_public_key to the platform's key, which is not the application's: the console shows it beside the application's signing method"
	}
	return ""
}

func mendStatus(e *statusError) string {
	switch {
	case e.status >= http.StatusInternalServerError:
		return ""
	case e.step == "upgrade" && (e.status == http.StatusUnauthorized || e.status == http.StatusForbidden):
		return "check app_private_key, and this machine's clock"
	}
	return "check longconn_server: what answers there is not Alipay's message service"
}

// reason is what the other side said when it closed, made fit to be shown.
func reason(e websocket.CloseError) string {
	if e.Reason == "" {
		return ""
	}
	return " (" + clip(e.Reason) + ")"
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			r = '.'
		}
		out = append(out, r)
	}
	return string(out)
}
