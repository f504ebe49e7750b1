package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func resendCommand(s Streams) *cobra.Command {
	var t target
	var appRef, endpoint string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "resend MESSAGE",
		Short: "Send a message once more",
		Long: `Send a message to an endpoint once more, at once and beside its schedule, whatever became of it before. Without
--endpoint it is sent to every endpoint where it was given up or withdrawn. MESSAGE is its id or its eventId. The command ends
when the wish is stored: waypost tail shows what comes of it.`,
		Example: "  waypost resend msg_0123456789abc --app shop-42\n  waypost resend order-1001 --app shop-42 --endpoint main",
		Args:    exactArgs("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if appRef == "" {
				return misused("--app is needed: the id or uid of the message's application")
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			return resend(cmd.Context(), s, c, "/app/"+url.PathEscape(appRef)+"/msg/"+url.PathEscape(args[0]), endpoint, asJSON)
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&appRef, "app", "", "id or uid of the application")
	fs.StringVar(&endpoint, "endpoint", "", "id or uid of the endpoint; default every one where the message was given up or withdrawn")
	fs.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

const unknownMessage = "the message, the endpoint or the application is not there: ids and uids are case-sensitive, and retention removes old messages"

// resend sends a message again. one is its path.
func resend(ctx context.Context, s Streams, c *client, one, endpoint string, asJSON bool) error {
	endpoints := []string{endpoint}
	if endpoint == "" {
		var list struct {
			Data []struct{ EndpointID, State string }
		}
		if err := c.call(ctx, http.MethodGet, one+"/delivery", nil, &list); err != nil {
			return c.advised(err, unknownMessage)
		}
		endpoints = nil
		for _, d := range list.Data {
			if d.State == "failed" || d.State == "canceled" {
				endpoints = append(endpoints, d.EndpointID)
			}
		}
	}
	done := []string{}
	for _, e := range endpoints {
		err := c.call(ctx, http.MethodPost, one+"/endpoint/"+url.PathEscape(e)+"/resend", nil, nil)
		if err != nil {
			return c.advised(fmt.Errorf("%w (sent to %d of %d endpoints before)", err, len(done), len(endpoints)), unknownMessage)
		}
		done = append(done, e)
		if !asJSON {
			fmt.Fprintf(s.Out, "will be sent once more to %s\n", e)
		}
	}
	if len(done) == 0 && !asJSON {
		fmt.Fprintln(s.Out, "nothing to do: the message was given up or withdrawn nowhere; --endpoint sends it all the same")
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(map[string]any{"endpoints": done})
	}
	return nil
}
