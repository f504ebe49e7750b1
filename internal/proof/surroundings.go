package proof

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Surroundings are what stands around a server under test: for every platform a source that it pushes to, and an endpoint
// in its dialect that a program publishes for, with receivers behind. They outlive the server, which may come back under
// other addresses.
type Surroundings struct {
	Ledger   *Ledger
	Dialects map[string]*dialect.Dialect
	Keys     func(name string) (platform, receiver dialect.Settings, err error)
	// Call posts to the server's API; path is behind /api/v1. out may be nil.
	Call          func(path string, in, out any) error
	Public, Admin func() string // addresses of the server at present
	Token         string
	Schedule      []float64 // of the endpoints, seconds
	Concurrency   int       // of the endpoints
	Answer        Answer    // of the receivers; nil = they accept

	Ways    []Way // filled by Furnish
	servers []*http.Server
}

// The application that receives, its one endpoint, and the application that publishes.
const (
	ReceivingApp = "erp"
	ServiceName  = "service"
	SendingApp   = "shop"
)

// Furnish makes everything through the API.
func (s *Surroundings) Furnish() error {
	for _, app := range []string{ReceivingApp, SendingApp} {
		if err := s.Call("/app", map[string]any{"uid": app, "name": app}, nil); err != nil {
			return err
		}
	}
	if err := s.Endpoint(ReceivingApp, ServiceName, "standard", nil); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Dialects)) {
		if err := s.platform(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// platform makes a source and an endpoint, and the ways to both.
func (s *Surroundings) platform(name string) error {
	platform, ours, err := s.Keys(name)
	if err != nil {
		return err
	}
	var source struct{ Path string }
	if err := s.Call("/app/"+ReceivingApp+"/source", map[string]any{"uid": name, "dialect": name, "settings": ours}, &source); err != nil {
		return err
	}
	s.Ways = append(s.Ways, Source(s.Dialects[name], platform, func() string { return "http://" + s.Public() + source.Path }, ServiceName))
	to, eventType := "to-"+name, "to."+name
	s.Ways = append(s.Ways, s.API("api-"+to, eventType, to))
	return s.Endpoint(SendingApp, to, name, map[string]any{"filterTypes": []string{eventType}})
}

// API is the way of a program that publishes an event type to an endpoint of the sending application.
func (s *Surroundings) API(name, eventType, endpoint string) Way {
	return API(name, eventType, func() string { return "http://" + s.Admin() + "/api/v1/app/" + SendingApp + "/msg" }, s.Token, endpoint)
}

// Endpoint makes a receiver and an endpoint for it. extra is laid over the endpoint's fields.
func (s *Surroundings) Endpoint(app, name, dialectName string, extra map[string]any) error {
	platform, ours, err := s.Keys(dialectName)
	if err != nil {
		return err
	}
	fields := map[string]any{
		"uid": name, "dialect": dialectName, "settings": platform, "retrySchedule": s.Schedule,
		"concurrency": s.Concurrency, "timeoutMs": 20_000, // patient: a machine under load is no failing receiver
	}
	maps.Copy(fields, extra)
	to := Destination{Name: name, Dialect: s.Dialects[dialectName], Settings: ours, Concurrency: s.Concurrency}
	for _, seconds := range fields["retrySchedule"].([]float64) {
		to.Schedule = append(to.Schedule, time.Duration(seconds*float64(time.Second)))
	}
	s.Ledger.Add(to)
	if fields["url"] == nil {
		if fields["url"], err = s.serve(s.Ledger.Receiver(name, s.Answer)); err != nil {
			return err
		}
	}
	return s.Call("/app/"+app+"/endpoint", fields, nil)
}

func (s *Surroundings) serve(h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := NewServer(h)
	s.servers = append(s.servers, srv)
	go func() { _ = srv.Serve(l) }() // ends with Close
	return "http://" + l.Addr().String() + "/hook", nil
}

// Close ends the receivers.
func (s *Surroundings) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	return errors.Join(errs...)
}
