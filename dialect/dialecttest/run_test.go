package dialecttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/waypost/waypost/dialect"
)

// all is what Run would report, of all vectors.
func all(d *dialect.Dialect, f File) []string {
	out := slices.Concat(checkShape(d), checkFile(d, f))
	for _, v := range f.Vectors {
		for _, p := range checkVector(d, v, false) {
			out = append(out, v.Name+": "+p)
		}
	}
	return out
}

// swap changes a received message on its way out of the toy.
func swap(d *dialect.Dialect, change func(in dialect.Inbound, r *dialect.Received)) {
	d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		r, err := toyReceive(s, in)
		if err == nil && r.Reply == nil {
			change(in, &r)
		}
		return r, err
	}
}

// complain changes the text of every refusal.
func complain(d *dialect.Dialect, text func(s dialect.Settings, in dialect.Inbound) string) {
	d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		r, err := toyReceive(s, in)
		var refusal *dialect.Error
		if errors.As(err, &refusal) {
			err = dialect.Refuse(refusal.Reason, refusal.Part, "%s", text(s, in))
		}
		return r, err
	}
}

// A bite is a way to break the toy or its vectors, and what the runner must say of it.
type bite struct {
	promise string
	breakIt func(d *dialect.Dialect, f *File)
	want    string // in one of the findings
}

var bites = []bite{
	{"a check that always succeeds is seen in the refused vector", alwaysAccept, "forged: the request was accepted"},
	{"a check that always succeeds is seen in the flips", alwaysAccept, "accepted as another message (the payload differs)"},
	{"a prefix compare is seen in a signature that is cut short", prefixCompare, "good: header X-Sig less its last byte: accepted"},
	{"an unsigned body member that is not listed is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Unsigned = f.Vectors[0].Unsigned[1:]
	}, `good: body with byte 24 flipped`},
	{"an unsigned header that is not listed is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Unsigned = f.Vectors[0].Unsigned[:1]
	}, "good: header X-Id with byte 0 flipped"},
	{"a part listed as unsigned that is signed is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Unsigned = append(f.Vectors[0].Unsigned, Unsigned{"body", `"data"`})
	}, `body "\"data\"" is listed as unsigned, but every change there is refused`},
	{"an unsigned part that is not in the request is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Unsigned = append(f.Vectors[0].Unsigned, Unsigned{"body", "elsewhere"})
	}, "is not in the request"},
	{"a blanket unsigned body is not allowed", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Unsigned = append(f.Vectors[0].Unsigned, Unsigned{"body", ""})
	}, "is not in the request"},
	{"a secret in a refusal is seen", func(d *dialect.Dialect, _ *File) {
		complain(d, func(s dialect.Settings, _ dialect.Inbound) string { return "does not match under " + s.Get("key") })
	}, "an error of Receive holds the value of setting key"},
	{"a second secret in a refusal is seen", func(d *dialect.Dialect, f *File) {
		f.Vectors[2].Settings["key"] = []string{toyKey, "another one"}
		complain(d, func(s dialect.Settings, _ dialect.Inbound) string { return fmt.Sprint([]string(s["key"])) })
	}, "forged: an error of Receive holds the value of setting key"},
	{"a piece of the body in a refusal is seen", func(d *dialect.Dialect, _ *File) {
		complain(d, func(_ dialect.Settings, in dialect.Inbound) string { return string(in.Body) })
	}, "repeats 32 bytes or more of the body"},
	{"a refusal that is no *dialect.Error is seen", func(d *dialect.Dialect, _ *File) {
		d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
			r, err := toyReceive(s, in)
			if err != nil {
				err = errors.New("no")
			}
			return r, err
		}
	}, "forged: the refusal is not a *dialect.Error"},
	{"another reason is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[2].Refuse = "replay" }, "refused as signature, not as replay"},
	{"a good request that is refused is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Settings = toySettings(toyOldKey) }, "good: the request was refused"},
	{"another event type is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.EventType = "" })
	}, `the event type is ""`},
	{"an event type that cannot be printed is seen", func(d *dialect.Dialect, f *File) {
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.EventType = "a\nb" })
	}, "not printable"},
	{"another payload is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Want.Payload = `{"a": 1}` }, "good: the payload is"},
	{"a payload that is no object is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.Payload = []byte("[1]") })
	}, "not a JSON object"},
	{"a missing platform member is seen", func(_ *dialect.Dialect, f *File) {
		f.Vectors[0].Want.Platform = map[string]string{"client": ""}
	}, "platform member client"},
	{"a signature in platform is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(in dialect.Inbound, r *dialect.Received) { r.Platform["sign"] = in.Header.Get("X-Sig") })
	}, "holds the signature of header x-sig"},
	{"an unexpected unreadable is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { r.Unreadable = "broken" })
	}, `unreadable is "broken"`},
	{"another key is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[1].Want.Key = 2 }, "key 1 verified"},
	{"a changed request is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(in dialect.Inbound, _ *dialect.Received) { in.Header.Set("X-Seen", "1") })
	}, "changed the request"},
	{"a result that depends on more than the arguments is seen", func(d *dialect.Dialect, _ *File) {
		n := 0
		swap(d, func(_ dialect.Inbound, r *dialect.Received) { n++; r.DedupKey = fmt.Sprint(n) })
	}, "differently the second time"},
	{"an empty key that verifies is seen", emptyKeyVerifies, "accepted although every secret and key is empty"},
	{"a key with a line end behind it that validates is seen", func(d *dialect.Dialect, _ *File) { d.Check = nil }, `setting key with "\n" behind it validates`},
	{"settings that work but do not validate are seen", func(d *dialect.Dialect, _ *File) { d.Fields[0].Several = false }, "rotated: the settings work but do not validate"},
	{"another handshake answer is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[3].Reply.Body = "pang" }, "the handshake is answered with"},
	{"another acknowledgement is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Reply.Body = "success" }, "the stored message is answered with"},
	{"a repeat that is answered otherwise is seen", func(d *dialect.Dialect, _ *File) {
		d.Reply = func(s dialect.Settings, o dialect.Outcome) dialect.Reply {
			r := toyReply(s, o)
			if o.Result == dialect.Duplicate {
				r.Status = 409
			}
			return r
		}
	}, "its repeat is answered with 409"},
	{"another reply is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[7].Reply.Status = 403 }, "reply: the result forged is answered with 401"},
	{"another verdict is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[9].Verdict = "gone" }, "the verdict is retry"},
	{"a verdict without a reason is seen", func(d *dialect.Dialect, _ *File) {
		d.Judge = func(dialect.Settings, dialect.Response) dialect.Verdict { return dialect.Verdict{Kind: dialect.Retry} }
	}, "has no reason"},
	{"another signed byte is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[4].Request.Body += " " }, "signed: the body is"},
	{"another spelling of a header that is sent is seen", func(_ *dialect.Dialect, f *File) {
		h := f.Vectors[4].Request.Header
		h["X-Sig"] = h["x-sig"]
		delete(h, "x-sig")
	}, "no header X-Sig in this spelling"},
	{"a header too many is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[4].Request.Header = nil }, "a header x-sig that the vector does not have"},
	{"a header that cannot be sent is seen", func(d *dialect.Dialect, _ *File) {
		d.Sign = func(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
			r, err := toySign(s, o)
			if err == nil {
				r.Header.Set("X-Note", "a\r\nb")
			}
			return r, err
		}
	}, "cannot be sent"},
	{"a message that is signed under an empty key is seen", func(d *dialect.Dialect, _ *File) {
		d.Sign = func(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
			if s.Get("key") == "" {
				s = dialect.Set("key", "x")
			}
			return toySign(s, o)
		}
	}, "signed although every secret and key is empty"},
	{"a message that must not be signed is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[6].Settings = toySettings(toyKey) }, "unsignable: the message was signed"},
	{"a round trip that the receiver refuses is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[5].RoundTrip = toySettings(toyOldKey) }, "what was signed is not received"},
	{"a round trip that loses the event type is seen", func(d *dialect.Dialect, _ *File) {
		d.Sign = func(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
			o.EventType = "lost"
			return toySign(s, o)
		}
	}, `came back as event "lost"`},
	{"a dedup key that changes with the attempt is seen", func(d *dialect.Dialect, _ *File) {
		swap(d, func(in dialect.Inbound, r *dialect.Received) { r.DedupKey = in.Now.String() })
	}, "another dedup key"},
	{"an example that does not come back is seen", func(d *dialect.Dialect, f *File) {
		d.Examples[0].Payload = []byte(` {"a":1}`)
		f.Vectors = slices.Delete(f.Vectors, 4, 5)
	}, "example made: its payload does not come back"},
	{"an example without a title in Chinese is seen", func(d *dialect.Dialect, _ *File) { d.Examples[0].Title.Zh = "" }, "not given in both languages"},
	{"a handshake that an error passes is seen", func(d *dialect.Dialect, _ *File) {
		d.Handshake = func(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
			r, _, err := toyHandshake(s, n)
			return r, func(dialect.Response) dialect.Verdict { return dialect.Verdict{} }, err
		}
	}, "passed by an answer of 500"},
	{"a memory shorter than the schedule is seen", func(d *dialect.Dialect, _ *File) {
		d.Policy = func(s dialect.Settings) dialect.Policy { p := toyPolicy(s); p.DedupFor = 1; return p }
	}, "is forgotten after"},
	{"a missing refused vector is seen", func(_ *dialect.Dialect, f *File) { f.Vectors = slices.Delete(f.Vectors, 2, 3) }, "no vector of a refused request"},
	{"a missing sign vector is seen", func(_ *dialect.Dialect, f *File) { f.Vectors = slices.Delete(f.Vectors, 4, 7) }, "no vector of a signed request"},
	{"a missing rotated vector is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[1].Want.Key = 0 }, "that a second live key verifies"},
	{"a missing origin is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Origin = "" }, "does not say where it comes from"},
	{"a name used twice is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Name = "judge" }, "used twice"},
	{"vectors of another dialect are seen", func(_ *dialect.Dialect, f *File) { f.Dialect = "top" }, `is of the dialect "top"`},
	{"an unknown do is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[0].Do = "recieve" }, "do is"},
	{"an unknown reason is seen", func(_ *dialect.Dialect, f *File) { f.Vectors[2].Refuse = "forged" }, "is not a reason"},
}

func alwaysAccept(d *dialect.Dialect, _ *File) {
	d.Receive = func(_ dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		var b toyBody
		if json.Unmarshal(in.Body, &b) != nil {
			return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "is not JSON")
		}
		return dialect.Received{EventType: "made", EventID: "17", Payload: b.Data, Platform: map[string]string{"note": "unsigned words"}}, nil
	}
}

func prefixCompare(d *dialect.Dialect, _ *File) {
	d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		var b toyBody
		_ = json.Unmarshal(in.Body, &b)
		right := toyMAC(s.Get("key"), in.Body, b.Note)
		if sig := in.Header.Get("X-Sig"); len(sig) >= 8 && sig != right && strings.HasPrefix(right, sig) {
			in.Header = in.Header.Clone()
			in.Header.Set("X-Sig", right)
			r, err := toyReceive(s, in)
			r.EventID += " (cut)"
			return r, err
		}
		return toyReceive(s, in)
	}
}

func emptyKeyVerifies(d *dialect.Dialect, _ *File) {
	d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		if s.Get("key") == "" {
			s = dialect.Set("key", toyKey)
		}
		return toyReceive(s, in)
	}
}

func TestRunnerBites(t *testing.T) {
	t.Parallel()
	for _, b := range slices.Concat(bites, moreBites) {
		t.Run(b.promise, func(t *testing.T) {
			t.Parallel()
			d, f := toy(), toyFile()
			b.breakIt(d, &f)
			got := all(d, f)
			if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, b.want) }) {
				t.Errorf("no finding says %q; there are:\n%s", b.want, strings.Join(got, "\n"))
			}
		})
	}
}

func TestRunnerFindsNothingInARightDialect(t *testing.T) {
	t.Parallel()
	for _, p := range all(toy(), toyFile()) {
		t.Error(p)
	}
}

func TestRunReadsVectorsAndRunsThem(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(toyFile())
	if err != nil {
		t.Fatal(err)
	}
	Run(t, toy(), fstest.MapFS{Vectors: {Data: b}})
}

func TestLoadIsStrict(t *testing.T) {
	t.Parallel()
	for promise, text := range map[string]string{
		"a misspelt member is refused":         `{"dialect":"toy","vectors":[{"name":"a","whant":{}}]}`,
		"something behind the end is refused":  `{"dialect":"toy"} {}`,
		"a file that is not JSON is refused":   `{`,
		"a missing file is refused with a why": "",
	} {
		t.Run(promise, func(t *testing.T) {
			t.Parallel()
			dir := fstest.MapFS{Vectors: {Data: []byte(text)}}
			if text == "" {
				dir = fstest.MapFS{}
			}
			if _, err := load(dir); err == nil || !strings.Contains(err.Error(), Vectors) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestWithinFindsOverlapsOfAListedText(t *testing.T) {
	t.Parallel()
	body := []byte("aXYbXY")
	for i, want := range []bool{false, true, true, false, true, true} {
		if got := within(body, "XY", i); got != want {
			t.Errorf("byte %d: %v", i, got)
		}
	}
}

func TestShortModeStillFlips(t *testing.T) {
	t.Parallel()
	d, f := toy(), toyFile()
	alwaysAccept(d, &f)
	if got := checkVector(d, f.Vectors[0], true); len(got) == 0 {
		t.Error("a check that always succeeds passes the sample")
	}
}
