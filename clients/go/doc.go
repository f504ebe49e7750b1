// Package clients holds tests that drive a Waypost server by Svix's own Go client. It is a module of its own, so that the
// program does not depend on that client.
package clients
