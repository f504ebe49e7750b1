package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
)

func tokenCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens of the API",
		Long: `Tokens are shown once, when they are made; only their hashes are stored. An organisation token may do
everything; a token of one application (--app) sees that application alone. The commands work on a running server;
create also works on the folder of a stopped one (--data): so a lost token is replaced.`,
		Args: subcommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: "  waypost token create --name ci\n  waypost token create --app shop-42 --expires 30d\n  waypost token create --data waypost-data   while the server is stopped",
	}
	cmd.AddCommand(tokenCreate(s), tokenList(s), tokenRevoke(s))
	return cmd
}

func tokenCreate(s Streams) *cobra.Command {
	var t target
	var name, appRef, expires string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var until time.Time
			if expires != "" {
				d, err := dialect.ParseDuration(expires)
				if err != nil || d <= 0 {
					return misused("--expires takes a length of time such as 12h or 30d")
				}
				until = time.Now().Add(d)
			}
			token, err := createToken(cmd.Context(), s, &t, name, appRef, until)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Out, token)
			return err
		},
	}
	t.register(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "command line", "what it is for")
	cmd.Flags().StringVar(&appRef, "app", "", "id or uid of the one application that it may see")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it lives, as 30d; default for ever")
	return cmd
}

func createToken(ctx context.Context, s Streams, t *target, name, appRef string, until time.Time) (string, error) {
	if t.data != "" {
		token, err := app.CreateToken(ctx, t.options(s), name, appRef, until)
		if err != nil {
			return "", failed(err, "")
		}
		return token, nil
	}
	c, err := t.client(s)
	if err != nil {
		return "", err
	}
	in := map[string]any{"name": name}
	if appRef != "" {
		in["app"] = appRef
	}
	if !until.IsZero() {
		in["expiresAt"] = until
	}
	var out struct{ Token string }
	if err := c.call(ctx, http.MethodPost, "/token", in, &out); err != nil {
		return "", failed(err, "")
	}
	return out.Token, nil
}

func tokenList(s Streams) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use: "list", Short: "List tokens, without the tokens themselves", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.client(s)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "id\tname\tapplication\tmade\texpires")
			for iterator := ""; ; {
				var page struct {
					Data []struct {
						ID, Name  string
						App       *string
						CreatedAt time.Time
						ExpiresAt *time.Time
					}
					Iterator string
					Done     bool
				}
				if err := c.call(cmd.Context(), http.MethodGet, "/token?limit=250&iterator="+url.QueryEscape(iterator), nil, &page); err != nil {
					return failed(err, "")
				}
				for _, k := range page.Data {
					scope, expires := "all", "never"
					if k.App != nil {
						scope = *k.App
					}
					if k.ExpiresAt != nil {
						expires = k.ExpiresAt.Format(time.RFC3339)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, scope, k.CreatedAt.Format(time.RFC3339), expires)
				}
				if iterator = page.Iterator; page.Done || len(page.Data) == 0 {
					return w.Flush()
				}
			}
		},
	}
	t.registerServer(cmd.Flags())
	return cmd
}

func tokenRevoke(s Streams) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token at once", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.client(s)
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodDelete, "/token/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return failed(err, "waypost token list shows the ids")
			}
			return nil
		},
	}
	t.registerServer(cmd.Flags())
	return cmd
}
