package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
)

func verifyCommand(s Streams) *cobra.Command {
	var f dialectFlags
	var at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --dialect D [--set NAME=VALUE]… FILE",
		Short: "Check the signature of a captured request and say which part failed",
		Long: `Check a captured request (request line, headers, empty line, body; - reads standard input) as a
source of the dialect would. It prints what was read, or which part failed and why. It ends with 0 when
the request is right and with 3 when it is not.`,
		Example: `  waypost verify --dialect douyin --set client_secret=env:DOUYIN_SECRET request.http
  waypost sign --dialect standard --set secret=@key --event order.paid body.json | waypost verify --dialect standard --set secret=@key -`,
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			now := time.Now()
			if at != "" {
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return misused("--at takes a moment such as 2026-11-22T12:00:00Z")
				}
				now = t
			}
			return verify(s, &f, args[0], now, asJSON)
		},
	}
	cmd.Flags().StringVar(&f.name, "dialect", "", "the platform's `DIALECT`")
	cmd.Flags().StringVar(&at, "at", "", "the `MOMENT` to judge time stamps by, RFC 3339; default now")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	f.register(cmd.Flags())
	return cmd
}

// verdict is what verify prints as JSON.
type verdict struct {
	Valid      bool              `json:"valid"`
	Reason     string            `json:"reason,omitempty"`
	Part       string            `json:"part,omitempty"`
	Text       string            `json:"text,omitempty"`
	Note       string            `json:"note,omitempty"`
	Key        int               `json:"key,omitempty"` // 1 = the first live key
	Handshake  bool              `json:"handshake,omitempty"`
	EventType  string            `json:"eventType,omitempty"`
	EventID    string            `json:"eventId,omitempty"`
	Account    string            `json:"account,omitempty"`
	Platform   map[string]string `json:"platform,omitempty"`
	Payload    json.RawMessage   `json:"payload,omitempty"`
	Unreadable string            `json:"unreadable,omitempty"`
}

func verify(s Streams, f *dialectFlags, path string, now time.Time, asJSON bool) error {
	d, settings, err := f.settings(s, dialect.Receiving)
	if err != nil {
		return err
	}
	text, err := readInput(s, path)
	if err != nil {
		return failed(err, "")
	}
	in, note, err := parseCapture(text)
	if err != nil {
		return failed(fmt.Errorf("%s: %w", path, err), "")
	}
	in.Now = now
	v := judge(d, settings, in)
	v.Note = note
	if asJSON {
		if err := json.NewEncoder(s.Out).Encode(v); err != nil {
			return err
		}
	} else {
		v.print(s)
	}
	if !v.Valid {
		return saidNo()
	}
	return nil
}

func judge(d *dialect.Dialect, settings dialect.Settings, in dialect.Inbound) verdict {
	got, err := d.Receive(settings, in)
	var refusal *dialect.Error
	switch {
	case errors.As(err, &refusal):
		return verdict{Reason: string(refusal.Reason), Part: refusal.Part, Text: refusal.Text}
	case err != nil:
		return verdict{Reason: string(dialect.ReasonMalformed), Text: err.Error()}
	}
	return verdict{
		Valid: true, Handshake: got.Reply != nil, Key: got.Key + 1, EventType: got.EventType, EventID: got.EventID,
		Account: got.Account, Platform: got.Platform, Payload: got.Payload, Unreadable: got.Unreadable,
	}
}

func (v verdict) print(s Streams) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.Out, "%-11s %s\n", name, value)
		}
	}
	switch {
	case !v.Valid:
		line("NOT VALID", v.Reason)
		line("part", v.Part)
		line("why", v.Text)
	case v.Handshake:
		line("VALID", "a handshake of the platform's console; it carries no message")
	default:
		line("VALID", fmt.Sprintf("verified by live key %d", v.Key))
		line("event type", v.EventType)
		line("event id", v.EventID)
		line("account", v.Account)
		line("unreadable", v.Unreadable)
		for _, name := range sortedKeys(v.Platform) {
			line("platform", name+" = "+v.Platform[name])
		}
		line("payload", string(v.Payload))
	}
	line("note", v.Note)
}
