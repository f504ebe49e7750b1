// Package all owns the table of the dialects that Waypost speaks.
package all

import (
	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/dialect/aop1688"
	"github.com/waypost/waypost/dialect/douyin"
	"github.com/waypost/waypost/dialect/douyinmini"
	"github.com/waypost/waypost/dialect/douyinspi"
	"github.com/waypost/waypost/dialect/pandapon"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/dialect/yunzhimeng"
)

// list is the table, in the order in which people are shown the dialects. A new dialect is one more line.
func list() []*dialect.Dialect {
	return []*dialect.Dialect{
		&standard.Dialect,
		&pandapon.Dialect,
		&aop1688.Dialect,
		&douyin.Dialect,
		&douyinspi.Dialect,
		&douyinmini.Dialect,
		&alipay.Dialect,
		&yunzhimeng.Dialect,
	}
}

// Table returns the dialects by name. The map is the caller's own; the dialects are shared and never change.
func Table() map[string]*dialect.Dialect {
	t := map[string]*dialect.Dialect{}
	for _, d := range list() {
		t[d.Name] = d
	}
	return t
}

// Names returns the names of the dialects, always in the same order.
func Names() []string {
	var names []string
	for _, d := range list() {
		names = append(names, d.Name)
	}
	return names
}
