//go:build race

package sqlite_test

// underRace says that the race detector is on, which makes the driver's code ten times slower.
const underRace = true
