package dialecttest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
)

// resign changes a request on its way out of the toy.
func resign(d *dialect.Dialect, change func(o dialect.Outbound, r *dialect.Request)) {
	d.Sign = func(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
		r, err := toySign(s, o)
		if err == nil {
			change(o, &r)
		}
		return r, err
	}
}

// moreBites go on with bites: what is rarer, in the order of the runner's files.
var moreBites = []bite{
	{"a message that is answered as a handshake is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.Reply = &dialect.Reply{} })
	}, "good: the request was answered as a handshake"},
	{"a refusal without a text is seen", func(d *dialect.Dialect, _ *File) {
		complain(d, func(dialect.Settings, dialect.Inbound) string { return "" })
	}, "forged: the refusal has no text"},
	{"a decrypted payload of a dialect that does not decrypt is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Want.Decrypted = "{}"
	}, "of a dialect that does not decrypt"},
	{"a payload that does not decrypt is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[0].Want.Decrypted = "{}"
		d.Decrypt = func(dialect.Settings, []byte, map[string]string) ([]byte, error) { return nil, errors.New("no") }
	}, "good: decrypting: no"},
	{"another decrypted payload is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[0].Want.Decrypted = "{}"
		d.Decrypt = func(dialect.Settings, []byte, map[string]string) ([]byte, error) { return []byte("{ }"), nil }
	}, "good: the decrypted payload is"},
	{"a secret in an error of Decrypt is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[0].Want.Decrypted = "{}"
		d.Decrypt = func(s dialect.Settings, _ []byte, _ map[string]string) ([]byte, error) {
			return nil, errors.New(s.Get("key"))
		}
	}, "an error of Decrypt holds the value of setting key"},
	{"a readable message without an event type is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[0].Want.EventType = ""
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.EventType = "" })
	}, "good: the event type is empty"},
	{"a reply of a dialect that does not reply is seen", func(d *dialect.Dialect, _ *File) { d.Reply = nil }, "of a dialect that does not reply"},
	{"a handshake without an answer is seen", func(d *dialect.Dialect, _ *File) {
		d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
			r, err := toyReceive(s, in)
			r.Reply = nil
			return r, err
		}
	}, "ping: the handshake has no answer of its own"},
	{"a flip that is refused without a *dialect.Error is seen", func(d *dialect.Dialect, _ *File) {
		d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
			r, err := toyReceive(s, in)
			var refusal *dialect.Error
			if errors.As(err, &refusal) && refusal.Reason == dialect.ReasonNotEnvelope {
				err = errors.New("no")
			}
			return r, err
		}
	}, "good: body with byte 0 flipped from '{' to 'z': the refusal is not a *dialect.Error"},
	{"a flip that is taken for a handshake is seen", func(d *dialect.Dialect, _ *File) {
		d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
			r, err := toyReceive(s, in)
			if len(in.Body) == 0 {
				return dialect.Received{Reply: &dialect.Reply{}}, nil
			}
			return r, err
		}
	}, "good: body left out: the message is taken for a handshake"},
	{"a receiver that takes anything is seen", func(d *dialect.Dialect, _ *File) {
		d.Receiver = func(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
			return func(in dialect.Inbound) (dialect.Received, error) {
				r, err := toyReceive(s, in)
				if err != nil {
					return dialect.Received{EventType: "a"}, nil
				}
				return r, nil
			}
		}
	}, "Receive comes out differently under settings that are read once"},
	{"a receiver that is used up is seen", func(d *dialect.Dialect, _ *File) {
		d.Receiver = func(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
			var used atomic.Int32
			return func(in dialect.Inbound) (dialect.Received, error) {
				if used.Add(1) > 1 {
					return dialect.Received{}, nil
				}
				return toyReceive(s, in)
			}
		}
	}, "Receive comes out differently under settings that are read once"},
	{"a signer that makes another request is seen", func(d *dialect.Dialect, _ *File) {
		d.Signer = func(s dialect.Settings) func(dialect.Outbound) (dialect.Request, error) {
			return func(o dialect.Outbound) (dialect.Request, error) {
				r, err := toySign(s, o)
				r.Query = "a=b"
				return r, err
			}
		}
	}, "Sign comes out differently under settings that are read once"},
	{"a message that cannot be signed is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[4].Settings = nil }, "signed: signing: "},
	{"a request without a method is seen", func(d *dialect.Dialect, _ *File) {
		resign(d, func(_ dialect.Outbound, r *dialect.Request) { r.Method = "" })
	}, "the request has no method"},
	{"another method is seen", func(d *dialect.Dialect, _ *File) {
		resign(d, func(_ dialect.Outbound, r *dialect.Request) { r.Method = "PUT" })
	}, `signed: the method is "PUT"`},
	{"another query is seen", func(d *dialect.Dialect, _ *File) {
		resign(d, func(_ dialect.Outbound, r *dialect.Request) { r.Query = "a=b" })
	}, `signed: the query is "a=b"`},
	{"another header value is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[4].Request.Header["x-sig"] = "0" }, "signed: header x-sig is"},
	{"a header that is sent twice is seen", func(d *dialect.Dialect, _ *File) {
		resign(d, func(_ dialect.Outbound, r *dialect.Request) { r.Header["x-sig"] = append(r.Header["x-sig"], "") })
	}, "signed: header x-sig is"},
	{"a body that changes by itself is seen", func(d *dialect.Dialect, _ *File) {
		n := 0
		resign(d, func(o dialect.Outbound, r *dialect.Request) {
			if o.ID != "msg_1" {
				return // an example
			}
			if n++; n > 1 {
				r.Body = append(r.Body, ' ')
			}
		})
	}, "signed differently the second time"},
	{"a later attempt that cannot be signed is seen", func(d *dialect.Dialect, _ *File) {
		d.Sign = func(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
			if o.Now.After(defaultNow) {
				return dialect.Request{}, errors.New("too late")
			}
			return toySign(s, o)
		}
	}, "signing a later attempt: too late"},
	{"a later attempt that is not received is seen", func(d *dialect.Dialect, _ *File) {
		resign(d, func(o dialect.Outbound, r *dialect.Request) {
			if o.Now.After(defaultNow) {
				r.Header["x-sig"] = []string{"0"}
			}
		})
	}, "a later attempt is not received"},
	{"a reply to a request that is refused is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[8].Settings = toySettings("x") }, "reply to a message: the request was refused"},
	{"a secret in a reply is seen", func(d *dialect.Dialect, _ *File) {
		d.Reply = func(s dialect.Settings, _ dialect.Outcome) dialect.Reply {
			return dialect.Reply{Status: 200, Body: []byte(s.Get("key"))}
		}
	}, "a reply holds the value of setting key"},
	{"a secret in a verdict is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[9].Settings = toySettings(toyKey)
		d.Judge = func(s dialect.Settings, _ dialect.Response) dialect.Verdict {
			return dialect.Verdict{Kind: dialect.Retry, Reason: s.Get("key")}
		}
	}, "a verdict holds the value of setting key"},
	{"a name in capitals is seen", func(d *dialect.Dialect, _ *File) { d.Name = "Toy" }, "not in lower case"},
	{"a field name in camel case is seen", func(d *dialect.Dialect, _ *File) { d.Fields[1].Name = "theMode" }, "not in snake_case"},
	{"a choice without choices is seen", func(d *dialect.Dialect, _ *File) { d.Fields[1].Choices = nil }, "a choice without choices"},
	{"a field of no direction is seen", func(d *dialect.Dialect, _ *File) { d.Fields[1].Receiving = dialect.Unused }, "used in no direction"},
	{"half of a direction is seen", func(d *dialect.Dialect, _ *File) { d.Judge = nil }, "belong together"},
	{"a signature header in capitals is seen", func(d *dialect.Dialect, _ *File) { d.SignatureHeaders = []string{"X-Sig"} }, "signature header X-Sig"},
	{"an example that is no object is seen", func(d *dialect.Dialect, _ *File) { d.Examples[0].Payload = []byte("1") }, "its payload is not a JSON object"},
	{"a missing policy is seen", func(d *dialect.Dialect, _ *File) { d.Policy = nil }, "there is no Policy"},
	{"a policy without a deadline is seen", func(d *dialect.Dialect, _ *File) {
		d.Policy = func(dialect.Settings) dialect.Policy { return dialect.Policy{} }
	}, "has no deadline"},
	{"a negative wait is seen", func(d *dialect.Dialect, _ *File) {
		d.Policy = func(dialect.Settings) dialect.Policy {
			return dialect.Policy{Deadline: 1, Schedule: []time.Duration{-1}}
		}
	}, "negative wait"},
	{"a handshake without a judge is seen", func(d *dialect.Dialect, _ *File) {
		d.Handshake = func(dialect.Settings, dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
			return dialect.Request{}, nil, nil
		}
	}, "the handshake has no judge"},
	{"a handshake that never works is seen", func(d *dialect.Dialect, _ *File) {
		d.Handshake = func(dialect.Settings, dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
			return dialect.Request{}, nil, errors.New("no")
		}
	}, "works with the settings of no sign vector"},
}
