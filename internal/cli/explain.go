package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func explainCommand(s Streams) *cobra.Command {
	var t target
	var e explanation
	cmd := &cobra.Command{
		Use:   "explain MESSAGE",
		Short: "Say what became of a message, and why",
		Long: `Tell the story of one message in sentences: when and from where it came, to which endpoints it went and why not to
others, every attempt, what happens next and when, and the one setting that would change it. MESSAGE is its id or its eventId.
Without --app every application is asked for it. Nothing is sent and nothing is changed.`,
		Example: "  waypost explain msg_0123456789abc\n  waypost explain order-1001 --app shop-42 --endpoint main --lang zh",
		Args:    exactArgs("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.lang == "" {
				e.lang = ownLanguage(s.Env)
			}
			if e.lang != "en" && e.lang != "zh" {
				return misused("--lang is en or zh, not %q", e.lang)
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			return e.run(cmd.Context(), s, c, args[0])
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&e.app, "app", "", "id or uid of the application; default any")
	fs.StringVar(&e.endpoint, "endpoint", "", "only this endpoint, by id or uid")
	fs.StringVar(&e.lang, "lang", "", "language of the sentences, en or zh; default by LC_ALL, LC_MESSAGES or LANG")
	fs.BoolVar(&e.asJSON, "json", false, "print the server's answer: codes, parameters and texts")
	return cmd
}

// ownLanguage is the language of the terminal: zh for Chinese, else en.
func ownLanguage(env func(string) (string, bool)) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v, ok := env(name); ok && v != "" {
			if strings.HasPrefix(strings.ToLower(v), "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

type explanation struct {
	app, endpoint, lang string
	asJSON              bool
}

// sentence is a fact, or what to change.
type sentence struct {
	Text    string
	Setting string
}

type story struct {
	ID        string
	Facts     []sentence
	Endpoints []struct {
		EndpointID, UID, URL, State string
		Facts                       []sentence
		Change                      *sentence
	}
	Complete bool
}

func (e *explanation) run(ctx context.Context, s Streams, c *client, message string) error {
	apps, err := theApplications(ctx, c, e.app)
	if err != nil {
		return c.advised(err, unknownMessage)
	}
	query := url.Values{"lang": {e.lang}}
	if e.endpoint != "" {
		query.Set("endpoint_id", e.endpoint)
	}
	missing := errors.New("no application has this message")
	for _, a := range apps {
		var text json.RawMessage
		err := c.call(ctx, http.MethodGet, "/app/"+url.PathEscape(a.ID)+"/msg/"+url.PathEscape(message)+"/explain?"+query.Encode(), nil, &text)
		var said *refusal
		if errors.As(err, &said) && said.status == http.StatusNotFound {
			missing = err
			continue
		}
		if err != nil {
			return c.advised(err, unknownMessage)
		}
		return e.print(s, text)
	}
	return failed(missing, unknownMessage)
}

func (e *explanation) print(s Streams, text json.RawMessage) error {
	if e.asJSON {
		_, err := fmt.Fprintln(s.Out, strings.TrimSpace(string(text)))
		return err
	}
	var st story
	if err := json.Unmarshal(text, &st); err != nil {
		return err
	}
	words := explainWords[e.lang]
	var b strings.Builder
	fmt.Fprintln(&b, st.ID)
	for _, f := range st.Facts {
		fmt.Fprintf(&b, "  %s\n", printable(f.Text))
	}
	for _, ep := range st.Endpoints {
		fmt.Fprintf(&b, "\n%s  %s  %s\n", orID(ep.UID, ep.EndpointID), printable(ep.URL), cmp.Or(words.states[ep.State], ep.State))
		for _, f := range ep.Facts {
			fmt.Fprintf(&b, "  %s\n", printable(f.Text))
		}
		if c := ep.Change; c != nil {
			setting := ""
			if c.Setting != "" {
				setting = "[" + c.Setting + "] "
			}
			fmt.Fprintf(&b, "  %s%s%s\n", words.change, setting, printable(c.Text))
		}
	}
	if !st.Complete {
		fmt.Fprintf(&b, "\n%s\n", words.more)
	}
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}

// explainWords are what stands around the server's sentences. A state without a word stands as the API says it.
var explainWords = map[string]struct {
	change, more string
	states       map[string]string
}{
	"en": {"→ To change it: ", "There are more endpoints: --endpoint asks for one.", nil},
	"zh": {"→ 建议：", "还有更多端点：可用 --endpoint 指定。", map[string]string{
		"none": "无投递", "pending": "待投递", "delivered": "已送达", "failed": "已失败", "canceled": "已取消",
	}},
}
