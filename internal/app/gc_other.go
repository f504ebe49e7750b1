//go:build !linux

package app

// forgetProgram does nothing: other systems count and reclaim the pages of programs in ways of their own.
func forgetProgram() {}
