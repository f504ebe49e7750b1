// Package hook owns the words of Waypost: applications, sources, messages, endpoints, deliveries and attempts, their
// ids, their states, the one state machine of a delivery, the few kinds of error, and the Clock that the parts of a server
// share. It has no I/O and no import outside the standard library.
package hook
