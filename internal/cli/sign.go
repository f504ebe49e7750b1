package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
)

func signCommand(s Streams) *cobra.Command {
	var f dialectFlags
	var event, id, to, format string
	var platform map[string]string
	cmd := &cobra.Command{
		Use:   "sign --dialect D --event TYPE [--set NAME=VALUE]… FILE",
		Short: "Make the signed request that a platform would send",
		Long: `Sign a payload (a JSON object in FILE; - reads standard input) as the platform would, and print the
request: as raw HTTP, as a curl command line, or as JSON.`,
		Example: `  waypost sign --dialect pandapon --set access_secret=env:SECRET --event ORDER_CREATE --format curl --to http://localhost:8070/in/DOOR order.json`,
		Args:    exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			d, settings, err := f.settings(s, dialect.Sending)
			if err != nil {
				return err
			}
			target, err := url.Parse(to)
			if err != nil || target.Host == "" {
				return misused("--to takes a URL such as http://localhost:8070/in/DOOR")
			}
			payload, err := readInput(s, args[0])
			if err != nil {
				return failed(err, "")
			}
			payload = bytes.TrimRight(payload, "\r\n")
			if !json.Valid(payload) || !bytes.HasPrefix(bytes.TrimSpace(payload), []byte("{")) {
				return failed(fmt.Errorf("%s does not hold a JSON object", args[0]), "")
			}
			out := dialect.Outbound{ID: id, EventType: event, Payload: payload, Platform: platform, Now: time.Now()}
			out.Created = out.Now
			_, _ = rand.Read(out.Seed[:])
			req, err := d.Sign(settings, out)
			if err != nil {
				return failed(fmt.Errorf("sign: %w", err), "")
			}
			return printRequest(s, req, target, format)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.name, "dialect", "", "the platform's `DIALECT`")
	fs.StringVar(&event, "event", "test.event", "event `TYPE`")
	fs.StringVar(&id, "id", "msg_"+strings.ToLower(rand.Text())[:13], "message `ID`, where the dialect sends one")
	fs.StringVar(&to, "to", "http://localhost:8070/in/DOOR", "receiver's `URL`")
	fs.StringVar(&format, "format", "http", "http, curl or json")
	fs.StringToStringVar(&platform, "platform", nil, "envelope member as `NAME=VALUE`; may be repeated")
	f.register(fs)
	return cmd
}

func printRequest(s Streams, req dialect.Request, to *url.URL, format string) error {
	if req.Query != "" {
		to.RawQuery = strings.TrimPrefix(to.RawQuery+"&"+req.Query, "&")
	}
	names := sortedKeys(req.Header)
	switch format {
	case "http":
		fmt.Fprintf(s.Out, "%s %s HTTP/1.1\r\nHost: %s\r\n", req.Method, to.RequestURI(), to.Host)
		for _, name := range names {
			for _, v := range req.Header[name] {
				fmt.Fprintf(s.Out, "%s: %s\r\n", name, v)
			}
		}
		fmt.Fprintf(s.Out, "Content-Length: %d\r\n\r\n", len(req.Body))
		_, err := s.Out.Write(req.Body)
		return err
	case "curl":
		parts := []string{"curl -sS -i -X " + req.Method}
		for _, name := range names {
			for _, v := range req.Header[name] {
				parts = append(parts, "-H "+shellQuote(name+": "+v))
			}
		}
		parts = append(parts, "--data-binary "+shellQuote(string(req.Body)), shellQuote(to.String()))
		_, err := fmt.Fprintln(s.Out, strings.Join(parts, " \\\n  "))
		return err
	case "json":
		return json.NewEncoder(s.Out).Encode(map[string]any{
			"method": req.Method, "url": to.String(), "headers": req.Header, "bodyBase64": req.Body,
		})
	}
	return misused("--format is http, curl or json, not %q", format)
}

func shellQuote(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
