package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func backupCommand(s Streams) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store into a file while the server works",
		Long: `Copy the store of a running server (or, with --data, of a stopped one) into a new file: one consistent
moment, without stopping anything. An existing file is never overwritten. Secrets in the copy stay sealed: keep the
main key apart from it. To restore, put the file into an empty folder as waypost.db, with the main key beside it as
main.key or in WAYPOST_MAIN_KEY, and start the server on that folder.`,
		Example: "  waypost backup waypost-2026-11-22.db\n  waypost backup --data waypost-data copy.db   while the server is stopped",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if t.data != "" {
				if err := app.Backup(cmd.Context(), t.options(s), args[0]); err != nil {
					return failed(err, "")
				}
			} else if err := fetchBackup(cmd.Context(), s, &t, args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return failed(err, "")
			}
			_, err = fmt.Fprintf(s.Out, "%s: %d bytes\n", args[0], info.Size())
			return err
		},
	}
	t.register(cmd.Flags())
	return cmd
}

// fetchBackup writes the server's copy beside the file and gives it its name when it is complete and on the disk.
func fetchBackup(ctx context.Context, s Streams, t *target, path string) error {
	c, err := t.client(s)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return failed(fmt.Errorf("%s exists: name a new file", path), "")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/backup", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req) // no time-out: a store may be large; Ctrl-C ends it
	if err != nil {
		return failed(err, "is the server running? --data names the folder of a stopped one")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return failed(fmt.Errorf("the server answered %s: %s", resp.Status, text), "")
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed(err, "")
	}
	n, err := io.Copy(f, resp.Body)
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = fmt.Errorf("got %d of %d bytes", n, resp.ContentLength)
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(part, path) // unlike a rename, it never replaces a file
	}
	err = errors.Join(err, os.Remove(part))
	if err != nil {
		return failed(fmt.Errorf("write the backup: %w", err), "")
	}
	return nil
}
