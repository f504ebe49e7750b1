//go:build race

package cli

// underRace says that everything is ten times slower, so that suites do less.
const underRace = true
