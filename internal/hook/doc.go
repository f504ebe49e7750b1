// Package hook owns the words of Waypost: applications, sources, messages, endpoints, deliveries and attempts, their
// ids, their states, the one state machine of a delivery, and the few kinds of error. It has no I/O, no clock and no
// import outside the standard library.
package hook
