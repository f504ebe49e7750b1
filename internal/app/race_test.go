//go:build race

package app

// underRace says that everything is ten times slower, so that suites do less.
const underRace = true
