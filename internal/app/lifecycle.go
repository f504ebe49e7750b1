package app

import (
	"context"
	"errors"
	"fmt"
)

// A stack tears down in the reverse order of start: whatever was started is stopped, also when a later part failed to
// start.
type stack struct {
	parts []part
}

type part struct {
	name string
	stop func(context.Context) error
}

func (s *stack) push(name string, stop func(context.Context) error) {
	s.parts = append(s.parts, part{name, stop})
}

// unwind stops everything, last started first, and joins the errors with the names of the parts.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		if err := s.parts[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.parts[i].name, err))
		}
	}
	s.parts = nil
	return errors.Join(errs...)
}
