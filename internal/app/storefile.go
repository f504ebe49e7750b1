package app

import "github.com/waypost/waypost/internal/store"

const storeFile = "waypost.db" // as sqlite names it

// ErrStoreBroken ends Run after an error of the disk: nobody can say what is on it but the next start, which reads it.
var ErrStoreBroken = store.ErrBroken
