package sqlite

import (
	"context"

	"github.com/waypost/waypost/internal/hook"
)

// Refuse is part of store.Flow. Requests to a source that does not exist (any more) are not kept.
func (db *DB) Refuse(ctx context.Context, batch []hook.Refused, keep int) error {
	if len(batch) == 0 {
		return nil
	}
	requests := make([][]byte, len(batch))
	size := 0
	for i := range batch {
		requests[i] = packBytes(packHead(nil, &batch[i].Raw), batch[i].Raw.Body)
		size += 512 + len(requests[i])
	}
	return db.write(ctx, &request{kind: forAccept, rows: len(batch), bytes: size, run: func(t *tx) error {
		touched := map[hook.SourceID]bool{}
		for i := range batch {
			r := &batch[i]
			known, err := t.has(`SELECT 1 FROM sources WHERE id = ?`, int64(r.Source))
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			touched[r.Source] = true
			t.issued(r.ID)
			err = t.query(`INSERT INTO refusals (id, source, refused, reason, detail, remote, request) VALUES (?, ?, ?, ?, ?, ?, ?)`).
				int(r.ID).int(int64(r.Source)).int(r.At.UnixMilli()).text(r.Reason).text(r.Detail).text(r.Remote).blob(requests[i]).exec()
			if err != nil {
				return err
			}
		}
		for id := range touched {
			err := t.query(`DELETE FROM refusals WHERE source = ?1 AND id <= (SELECT id FROM refusals WHERE source = ?1
				ORDER BY id DESC LIMIT 1 OFFSET ?2)`).int(int64(id)).int(int64(max(keep, 0))).exec()
			if err != nil {
				return err
			}
		}
		return nil
	}})
}

// Refusals is part of store.Read. Older ones are left out where those before them hold more than pageBytes.
func (db *DB) Refusals(ctx context.Context, id hook.SourceID, n int) (all []hook.Refused, err error) {
	err = db.list(ctx, func(c *conn) error {
		q := c.query(`SELECT id, refused, reason, detail, remote, request FROM refusals WHERE source = ? ORDER BY id DESC LIMIT ?`).
			int(int64(id)).int(int64(max(n, 0)))
		return q.each(func() error {
			if q.read >= pageBytes {
				return nil
			}
			r := hook.Refused{
				Source: id, ID: q.getInt(), At: fromMillis(q.getInt()), Reason: q.getText(), Detail: q.getText(), Remote: q.getText(),
			}
			u := unpacker{b: q.getBlob()}
			r.Raw = hook.Raw{Method: u.text(), Query: u.text(), Header: u.lists(), Body: u.bytes()}
			all = append(all, r)
			return u.err
		})
	})
	return all, err
}
