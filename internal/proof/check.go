// Package proof owns what shows that Waypost keeps its promises: loads that remember what was acknowledged, receivers that
// remember what came, and the checker that compares the two.
package proof

import (
	"fmt"
	"slices"
)

// Check compares what was acknowledged with what arrived.
type Check struct {
	Acknowledged int      `json:"acknowledged"`
	Delivered    int      `json:"delivered"`  // acknowledged and accepted by the receiver at least once
	Lost         []string `json:"lost"`       // acknowledged, never accepted by the receiver
	Invented     []string `json:"invented"`   // arrived, never sent
	Altered      []string `json:"altered"`    // arrived with another body than before or than was sent
	Duplicates   int      `json:"duplicates"` // arrivals of a message after its first acceptance
}

// OK says whether the promises held: duplicates are allowed, nothing else.
func (c Check) OK() bool { return len(c.Lost)+len(c.Invented)+len(c.Altered) == 0 }

// String is one line.
func (c Check) String() string {
	return fmt.Sprintf("acknowledged %d, delivered %d, lost %d, invented %d, altered %d, duplicates %d",
		c.Acknowledged, c.Delivered, len(c.Lost), len(c.Invented), len(c.Altered), c.Duplicates)
}

// Compare checks arrivals against what producers sent (by key, with the SHA-256 of the body that must arrive; the zero
// sum is not compared) and which of these keys were acknowledged.
func Compare(sent map[string][32]byte, acknowledged []string, arrivals map[string]Arrival) Check {
	c := Check{Acknowledged: len(acknowledged)}
	for _, key := range acknowledged {
		if arrivals[key].Accepted > 0 {
			c.Delivered++
		} else {
			c.Lost = append(c.Lost, key)
		}
	}
	for key, a := range arrivals {
		sum, ours := sent[key]
		switch {
		case !ours:
			c.Invented = append(c.Invented, key)
		case a.Changed || sum != [32]byte{} && sum != a.Body:
			c.Altered = append(c.Altered, key)
		}
		if a.Accepted > 0 {
			c.Duplicates += a.Accepted - 1
		}
	}
	slices.Sort(c.Lost)
	slices.Sort(c.Invented)
	slices.Sort(c.Altered)
	return c
}
