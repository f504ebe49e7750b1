package hook

import "time"

// TaskKind says what a background task does. The texts are Svix's where it has them, and are stored.
type TaskKind string

// The kinds of task.
const (
	TaskRecover   TaskKind = "endpoint.recover"     // wish a resend of what failed at an endpoint
	TaskReplay    TaskKind = "endpoint.replay"      // send an endpoint what matches it and never went to it
	TaskBulk      TaskKind = "endpoint.bulk-replay" // wish a resend of everything that the filter selects
	TaskBroadcast TaskKind = "message.broadcast"    // one message to every application
)

// TaskState is where a task stands. The texts are Svix's and are stored.
type TaskState string

// The states of a task.
const (
	TaskRunning  TaskState = "running"
	TaskFinished TaskState = "finished"
	TaskFailed   TaskState = "failed"
)

// Task is work on many messages or applications, done in bounded steps. Each step is one commit together with the place
// where the next one goes on, so that a crash neither skips nor repeats anything.
type Task struct {
	ID       TaskID
	Kind     TaskKind
	State    TaskState
	Reason   string        // why it failed, one sentence
	App      ApplicationID // 0 for a broadcast
	Endpoint EndpointID    // 0 for a broadcast

	// Which messages: those whose id lies in [Since, Until), that the rest of the filter selects.
	Since, Until time.Time
	EventTypes   []string // empty = all
	Channel, Tag string
	States       []State // of the delivery; for TaskBulk, empty = every message that matches the endpoint

	Message *Accept // what a broadcast sends; its Message.App is 0, and each copy gets an id of its own

	Looked    int64 // messages or applications looked at so far
	Done      int64 // resends wished, or messages accepted, so far
	CreatedAt time.Time
	UpdatedAt time.Time
}
