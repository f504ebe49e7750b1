package app

import (
	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
)

// Dialects returns every dialect by name.
func Dialects() map[string]*dialect.Dialect { return all.Table() }
