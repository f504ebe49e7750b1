package longconn_test

import (
	"bytes"
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/longconn"
)

// BenchmarkDeliver is the server's own part of a message over 100 connections, without its signature and without the store:
// write a frame, read its acknowledgement, find who waits for it. The clients are in the same process and verify signatures,
// so the server costs less than is shown.
func BenchmarkDeliver(b *testing.B) {
	s := newPeerServer(b, nil)
	for range 100 {
		l := s.connect(s.client())
		go func() { _ = l.run(time.Minute) }()
	}
	eventually(b, "all are connected", func() bool { return len(s.Peers(s.endpoint)) == 100 })
	req, err := longconn.Dialect.Sign(s.settings, dialect.Outbound{EventType: "a.b.c", Payload: []byte(`{"n":1}`), Now: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	parcel := longconn.ReadParcel(req.Header.Get, req.Body, false)
	var lanes atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		// Every lane has a stream-id of its own, as every attempt has; it is not signed.
		m := parcel
		m.StreamID = parcel.StreamID + strconv.FormatInt(lanes.Add(1), 10)
		m.Frame = bytes.Replace(parcel.Frame, []byte(parcel.StreamID), []byte(m.StreamID), 1)
		for pb.Next() {
			if ack, err := s.Deliver(context.Background(), s.endpoint, m); err != nil || ack.Status != "SUCCESS" {
				b.Errorf("%+v (%v)", ack, err)
				return
			}
		}
	})
}
