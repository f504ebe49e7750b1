package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// GapType is the event type of a Gap's message.
const GapType = "source.gap"

const (
	gapBatch = 100
	gapKeep  = 30 * 24 * time.Hour
)

// gap is the payload of a message of GapType.
type gap struct {
	Source  string    `json:"source"`
	Dialect string    `json:"dialect"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
}

// Gap tells the applications that pushes may be lost for good: it puts a message of GapType into the application of each
// source whose platform had given up repeating when we were back. before is the last sign of life of the earlier run,
// now the start of this one. It returns how many messages are new: the same times never make a second one.
func (d *Door) Gap(ctx context.Context, before, now time.Time, routes []hook.Route) (int, error) {
	if before.IsZero() || !before.Before(now) {
		return 0, nil
	}
	made := 0
	var batch []hook.Accept
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		done, err := d.opt.Accept(ctx, batch)
		if err != nil {
			return fmt.Errorf("store the gaps of sources: %w", err)
		}
		for _, a := range done {
			if a.Err == nil && !a.Duplicate {
				made++
			}
		}
		batch = batch[:0]
		return nil
	}
	for i := range routes {
		a, ok := d.gapOf(&routes[i], before, now)
		if !ok {
			continue
		}
		batch = append(batch, a)
		if len(batch) == gapBatch {
			if err := flush(); err != nil {
				return made, err
			}
		}
	}
	return made, flush()
}

// gapOf makes a source's message, if its platform's last repeat fell into the gap.
func (d *Door) gapOf(r *hook.Route, before, now time.Time) (hook.Accept, bool) {
	if r.Source.Disabled {
		return hook.Accept{}, false
	}
	e, err := d.newEntry(*r)
	if err != nil {
		return hook.Accept{}, false // a source that cannot be served has worse troubles, which its first push will log
	}
	if now.Sub(before) <= e.policy.Total()+e.policy.Deadline {
		return hook.Accept{}, false
	}
	payload, err := json.Marshal(gap{r.Source.ID.String(), e.dialect.Name, before.UTC(), now.UTC()})
	if err != nil {
		return hook.Accept{}, false // times of the years 0 to 9999 always encode
	}
	return hook.Accept{
		Message: hook.Message{
			ID:        hook.NewID[hook.MessageID](d.opt.IDs, now),
			App:       r.Source.App,
			Source:    r.Source.ID,
			EventType: GapType,
			EventID:   fmt.Sprintf("%s/%s/%d", GapType, r.Source.ID, before.UnixMilli()),
			Payload:   payload,
			CreatedAt: now,
		},
		Unique:     true,
		UniqueKeep: gapKeep,
	}, true
}
