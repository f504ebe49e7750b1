package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var errTodo = errors.New("not built yet")

func (db *DB) CreateEventType(context.Context, hook.EventType) error { return errTodo }
func (db *DB) UpdateEventType(context.Context, hook.EventType) error { return errTodo }
func (db *DB) EventType(context.Context, string) (t hook.EventType, err error) {
	return t, errTodo
}
func (db *DB) EventTypes(context.Context, store.EventTypeFilter, store.Page) (l store.List[hook.EventType], err error) {
	return l, errTodo
}
func (db *DB) DeleteEventType(context.Context, string) error { return errTodo }
func (db *DB) Consumer(context.Context, hook.ApplicationID, hook.EndpointID, string) (c hook.Consumer, err error) {
	return c, errTodo
}
func (db *DB) SwapConsumer(context.Context, hook.Consumer, hook.Consumer) (bool, error) {
	return false, errTodo
}
func (db *DB) ExpireTokens(context.Context, hook.ApplicationID, []string, time.Time) error {
	return errTodo
}
func (db *DB) Cancel(context.Context, hook.ApplicationID, hook.MessageID, hook.EndpointID, time.Time) (int, error) {
	return 0, errTodo
}
func (db *DB) Expunge(context.Context, hook.ApplicationID, hook.MessageID, time.Time) error {
	return errTodo
}
func (db *DB) ExpungeResponse(context.Context, hook.ApplicationID, hook.AttemptID) error {
	return errTodo
}
func (db *DB) StartTask(context.Context, hook.Task) error { return errTodo }
func (db *DB) StepTask(context.Context, hook.TaskID, time.Time, int, func() int64) (t hook.Task, err error) {
	return t, errTodo
}
func (db *DB) RunningTasks(context.Context) ([]hook.TaskID, error) { return nil, nil }
func (db *DB) Destinations(context.Context, hook.ApplicationID, hook.MessageID, store.Page) (l store.List[hook.Delivery], err error) {
	return l, errTodo
}
func (db *DB) Attempted(context.Context, hook.ApplicationID, hook.EndpointID, store.AttemptedFilter, store.Page) (l store.List[store.Attempted], err error) {
	return l, errTodo
}
func (db *DB) Stats(context.Context, hook.ApplicationID, hook.EndpointID, time.Time, time.Time) (c store.DeliveryCounts, err error) {
	return c, errTodo
}
func (db *DB) Task(context.Context, hook.TaskID) (t hook.Task, err error) { return t, errTodo }
func (db *DB) Tasks(context.Context, store.TaskFilter, store.Page) (l store.List[hook.Task], err error) {
	return l, errTodo
}
func (db *DB) Receipt(context.Context, [32]byte, time.Time) (int, []byte, bool, error) {
	return 0, nil, false, nil
}
