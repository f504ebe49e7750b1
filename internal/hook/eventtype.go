package hook

import (
	"encoding/json"
	"slices"
	"time"
)

// EventType is a name that messages may carry, described for the developers who subscribe to it. Messages of other types
// are accepted all the same.
type EventType struct {
	Name        string
	Description string
	GroupName   string          // a heading for lists, "" = none
	Schemas     json.RawMessage // an object of version → JSON Schema, byte for byte as given; nil = none
	// FeatureFlags are the permissions of which an application needs one to see the type and to get its messages;
	// empty = everybody may.
	FeatureFlags []string
	Deprecated   bool
	Archived     bool // not listed unless asked for; messages of it are accepted and delivered
	Managed      bool
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// OpenTo says whether somebody who holds these flags may have messages of the type. nil flags are no restriction.
func (t *EventType) OpenTo(flags []string) bool { return Permits(flags, t.FeatureFlags) }

// Permits says whether flags held suffice for flags of which one is needed. held nil = everything is permitted.
func Permits(held, needed []string) bool {
	return held == nil || len(needed) == 0 || slices.ContainsFunc(needed, func(f string) bool { return slices.Contains(held, f) })
}
