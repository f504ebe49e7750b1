package simulate_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/dialect/douyin"
	"github.com/waypost/waypost/dialect/pandapon"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/dialect/yunzhimeng"
	"github.com/waypost/waypost/internal/simulate"
)

// TestFaultyReceivers has a receiver for each fault, and wants each to be found by the finding that names it alone.
func TestFaultyReceivers(t *testing.T) {
	t.Parallel()
	// only does without the platform's verification of the URL, which such receivers do not pass either.
	only := func(habits ...string) func(*simulate.Options, *receiver) {
		return func(o *simulate.Options, _ *receiver) { o.Habits, o.Handshake = habits, false }
	}
	tests := []struct {
		name    string
		dialect *dialect.Dialect
		handler func(*receiver) http.Handler
		change  func(*simulate.Options, *receiver)
		want    string // the errors, as check/code
	}{
		{"ignores signatures", &standard.Dialect, ignoresSignatures, nil, "forged/forged_accepted"},
		{"ignores signatures, in words", &alipay.Dialect, ignoresSignatures, nil, "forged/forged_accepted handshake/handshake_failed"},
		{"checks signatures and answers 200 all the same", &pandapon.Dialect, saysYes, nil, "forged/forged_accepted"},
		{"takes what has no signature header", &douyin.Dialect, takesUnsigned("X-Douyin-Signature", ""), nil, "forged/forged_accepted"},
		{"takes a form without sign", &alipay.Dialect, takesUnsigned("", "sign="), nil, "forged/forged_accepted"},
		{"compares as much of the signature as there is", &pandapon.Dialect, comparesPrefix, nil, "corrupted/forged_accepted"},
		{"parses before it verifies, with a 500", &standard.Dialect, parsesFirst, nil, "corrupted/parses_first"},
		{"parses before it verifies, and crashes", &pandapon.Dialect, crashesOnGarbage, nil, "corrupted/parses_first"},
		{"answers late", &pandapon.Dialect, slowHandler(1500 * time.Millisecond), nil, "handshake/late messages/late"},
		{"answers another word", &alipay.Dialect, rewords("success", "Success!"), nil, "messages/wrong_words"},
		{"answers the word in quotes", &alipay.Dialect, rewords("success", `"success"`), nil, "messages/wrong_words"},
		{"answers 201", &yunzhimeng.Dialect, restatus(201), only("duplicates", "pretty", "old"), "messages/wrong_words"},
		{"answers 204", &douyin.Dialect, restatus(204), only("emoji", "corrupted"), "messages/wrong_words"},
		{"redirects", &pandapon.Dialect, restatus(308), nil, "handshake/redirect messages/redirect"},
		{"has no dedup", &yunzhimeng.Dialect, forgets, nil, "duplicates/processed_twice replay/processed_twice"},
		{"has no dedup and answers rightly", &douyin.Dialect, forgets, nil, "duplicates/processed_twice replay/processed_twice"},
		{"answers 500 after the work", &douyin.Dialect, failsAfterWork, nil, "messages/failed_after_work"},
		{"drops what it acknowledged", &standard.Dialect, drops, nil, "messages/lost"},
		{"refuses repeats", &douyin.Dialect, func(rc *receiver) http.Handler { return refuseRepeats(rc) }, nil, "duplicates/duplicate_refused replay/duplicate_refused"},
		{"fails on the same signature", &yunzhimeng.Dialect, uniqueSignatures, nil, "replay/replay_broke"},
		{"breaks on GBK", &alipay.Dialect, utf8Only, nil, "gbk/gbk_refused"},
		{"makes a float of the challenge", &douyin.Dialect, floats, nil, "challenge/challenge_rounded"},
		{"accepts old timestamps", &standard.Dialect, believesTime("Webhook-Timestamp", time.Second), nil, "old/old_accepted"},
		{"accepts old timestamps in milliseconds", &yunzhimeng.Dialect, believesTime("X-Timestamp", time.Millisecond), nil, "old/old_accepted"},
		{"answers before it reads the body", &douyin.Dialect, answersEarly, only("slow-body"), "slow-body/answered_early"},
		{"reads only what comes first", &douyin.Dialect, readsOnce, nil, "slow-body/slow_body_refused"},
		{"verifies what a parser made of the body", &standard.Dialect, reserialises, nil, "pretty/reserialised unicode-escapes/reserialised"},
		{"verifies the body without line ends", &douyin.Dialect, reserialises, nil, "pretty/reserialised unicode-escapes/reserialised"},
		{"knows no escapes", &yunzhimeng.Dialect, refusesText(`\u6d4b`), nil, "unicode-escapes/reserialised"},
		{"knows no escapes in the envelope", &pandapon.Dialect, refusesText(`:\"\u4e2d`), nil, "unicode-escapes/reserialised"},
		{"stores no characters of four bytes", &pandapon.Dialect, threeBytes, nil, "emoji/emoji_refused"},
		{"stores no numbers above 2^53", &standard.Dialect, smallNumbers, nil, "big-numbers/number_refused"},
		{"refuses unknown events", &yunzhimeng.Dialect, refusesEvent("UNHEARD_OF"), nil, "event-names/event_refused"},
		{"knows one spelling of the recharge event", &yunzhimeng.Dialect, refusesEvent("FREIGHT_RECHARGE"), func(o *simulate.Options, _ *receiver) {
			o.Events, o.Habits = yunzhimeng.Dialect.Examples[:1], []string{"event-names"}
		}, "event-names/event_refused"},
		{"wants an order", &yunzhimeng.Dialect, wantsOrder, func(o *simulate.Options, _ *receiver) {
			o.Habits, o.Handshake, o.Rate = []string{"disorder"}, false, 10
		}, "disorder/disorder_refused"},
		{"holds one key", &alipay.Dialect, nil, func(_ *simulate.Options, rc *receiver) {
			rc.settings["alipay_public_key"] = rc.settings["alipay_public_key"][:1]
		}, "rotation/rotation_refused"},
		{"always fails", &douyin.Dialect, restatus(500), only("pretty"), "messages/gave_up"},
		{"has a probe that cannot be read", &douyin.Dialect, nil, func(o *simulate.Options, _ *receiver) {
			o.Probe = func(context.Context) (int, error) { return 0, errors.New("no number") }
		}, "probe/probe_failed"},
		{"is denied by the check command", &douyin.Dialect, nil, func(o *simulate.Options, _ *receiver) {
			o.Confirm = func(context.Context, int) error { return errors.New("exit status 1") }
		}, "confirmed/check_said_no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				report := contract(t, tt.dialect, tt.handler, tt.change)
				var got []string
				for _, f := range report.Findings {
					if f.Level == simulate.LevelError {
						got = append(got, f.Check+"/"+f.Code)
						if !slices.Contains(failed(report), f.Check) {
							t.Errorf("the check %s did not fail", f.Check)
						}
					}
					if f.Text == "" || f.Mend == "" || strings.Contains(f.Text+f.Mend, "%!") {
						t.Errorf("badly worded: %+v", f)
					}
				}
				slices.Sort(got)
				if codes := strings.Join(slices.Compact(got), " "); codes != tt.want || report.Passed {
					t.Errorf("found %s, want %s; passed %v\n%+v", codes, tt.want, report.Passed, report.Findings)
				}
			})
		})
	}
}

func failed(report simulate.Report) (names []string) {
	for _, c := range report.Checks {
		if c.Result == simulate.ResultFailed {
			names = append(names, c.Name)
		}
	}
	return names
}

// ack is what the platform wants to hear.
func (rc *receiver) ack(w http.ResponseWriter) {
	reply := rc.dialect.Reply(rc.settings, dialect.Outcome{Result: dialect.Stored, Received: &dialect.Received{}})
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

func body(r *http.Request) []byte {
	b, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(b))
	return b
}

// before makes a receiver that may answer before the good one does.
func before(first func(rc *receiver, w http.ResponseWriter, r *http.Request, body []byte) (done bool)) func(*receiver) http.Handler {
	return func(rc *receiver) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !first(rc, w, r, body(r)) {
				rc.ServeHTTP(w, r)
			}
		})
	}
}

// afterwards makes a receiver that changes the good one's answer.
func afterwards(change func(status int, text string) (int, string)) func(*receiver) http.Handler {
	return func(rc *receiver) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			k := &kept{header: http.Header{}}
			rc.ServeHTTP(k, r)
			status, text := change(k.status, k.body.String())
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		})
	}
}

type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(s int)           { k.status = s }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

// ignoresSignatures processes whatever comes, once.
func ignoresSignatures(rc *receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := &kept{header: http.Header{}}
		rc.ServeHTTP(k, r)
		rc.ack(w)
	})
}

func saysYes(rc *receiver) http.Handler {
	return afterwards(func(_ int, text string) (int, string) { return 200, text })(rc)
}

// takesUnsigned verifies only where there is a signature.
func takesUnsigned(header, parameter string) func(*receiver) http.Handler {
	return before(func(rc *receiver, w http.ResponseWriter, r *http.Request, b []byte) bool {
		unsigned := header != "" && r.Header.Get(header) == "" || parameter != "" && !bytes.Contains(b, []byte("&"+parameter))
		// What has no other part of a message is no message.
		if !unsigned || len(b) == 0 || !bytes.Contains(b, []byte("event")) && !bytes.Contains(b, []byte("biz_content")) {
			return false
		}
		rc.ack(w)
		return true
	})
}

// comparesPrefix takes any beginning of the right signature for the whole.
func comparesPrefix(rc *receiver) http.Handler {
	return before(func(rc *receiver, w http.ResponseWriter, r *http.Request, b []byte) bool {
		given := r.Header.Get("Authorization")
		var push struct{ MessageBody string }
		if given == "" || json.Unmarshal(b, &push) != nil {
			return false
		}
		mac := hmac.New(sha256.New, []byte(rc.settings.Get("access_secret")))
		mac.Write([]byte(push.MessageBody))
		whole := hex.EncodeToString(mac.Sum(nil))
		if strings.HasPrefix(whole, given) {
			r.Header.Set("Authorization", whole)
		}
		return false
	})(rc)
}

func parsesFirst(rc *receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if len(b) > 0 && !json.Valid(b) {
			w.WriteHeader(500)
			return true
		}
		return false
	})(rc)
}

func crashesOnGarbage(rc *receiver) http.Handler {
	return before(func(_ *receiver, _ http.ResponseWriter, _ *http.Request, b []byte) bool {
		if len(b) > 0 && !json.Valid(b) {
			panic(http.ErrAbortHandler)
		}
		return false
	})(rc)
}

func slowHandler(d time.Duration) func(*receiver) http.Handler {
	return func(rc *receiver) http.Handler { return after(d)(rc) }
}

func rewords(from, to string) func(*receiver) http.Handler {
	return afterwards(func(status int, text string) (int, string) {
		if text == from {
			text = to
		}
		return status, text
	})
}

// restatus answers another status where a good receiver says 200.
func restatus(to int) func(*receiver) http.Handler {
	return afterwards(func(status int, text string) (int, string) {
		if status == 200 {
			return to, ""
		}
		return status, text
	})
}

func forgets(rc *receiver) http.Handler {
	return before(func(rc *receiver, _ http.ResponseWriter, _ *http.Request, _ []byte) bool {
		rc.mu.Lock()
		rc.seen = nil
		rc.mu.Unlock()
		return false
	})(rc)
}

// failsAfterWork does the work, answers 500 the first time, and remembers what it has answered with 200 only.
func failsAfterWork(rc *receiver) http.Handler {
	var mu sync.Mutex
	tried := map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		k := &kept{header: http.Header{}}
		had := rc.has()
		rc.ServeHTTP(k, r)
		if id := r.Header.Get("Msg-Id"); rc.has() > had && !tried[id] {
			tried[id] = true
			rc.mu.Lock()
			delete(rc.seen, rc.got[len(rc.got)-1].DedupKey)
			rc.mu.Unlock()
			w.WriteHeader(500)
			return
		}
		w.WriteHeader(k.status)
		_, _ = w.Write(k.body.Bytes())
	})
}

// drops acknowledges and loses the third request.
func drops(rc *receiver) http.Handler {
	var n atomic.Int32
	return before(func(rc *receiver, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		dropped := n.Add(1) == 3
		if dropped {
			rc.ack(w)
		}
		return dropped
	})(rc)
}

func uniqueSignatures(rc *receiver) http.Handler {
	var mu sync.Mutex
	seen := map[string]bool{}
	return before(func(_ *receiver, w http.ResponseWriter, r *http.Request, _ []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		s := r.Header.Get("X-Signature")
		if seen[s] {
			w.WriteHeader(500)
			return true
		}
		seen[s] = s != ""
		return false
	})(rc)
}

// utf8Only takes the body for UTF-8, whatever it says.
func utf8Only(rc *receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if text, err := url.QueryUnescape(string(b)); err == nil && !utf8.ValidString(text) {
			w.WriteHeader(400)
			return true
		}
		return false
	})(rc)
}

func floats(rc *receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		var push struct {
			Event   string
			Content any
		}
		content, ok := map[string]any(nil), false
		if json.Unmarshal(b, &push) == nil && push.Event == "verify_webhook" {
			content, ok = push.Content.(map[string]any)
		}
		if ok {
			_ = json.NewEncoder(w).Encode(map[string]any{"challenge": content["challenge"]})
		}
		return ok
	})(rc)
}

// believesTime judges a message's age by the message's own clock.
func believesTime(header string, unit time.Duration) func(*receiver) http.Handler {
	return func(rc *receiver) http.Handler {
		rc.clock = func(r *http.Request) time.Time {
			n, _ := strconv.ParseInt(r.Header.Get(header), 10, 64)
			return time.Unix(0, 0).Add(time.Duration(n) * unit)
		}
		return rc
	}
}

func answersEarly(rc *receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		rc.ack(w)
		_ = c.Flush()
		rc.ServeHTTP(&kept{header: http.Header{}}, r)
	})
}

func readsOnce(rc *receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 64<<10)
		n, _ := r.Body.Read(b)
		r.Body = io.NopCloser(bytes.NewReader(b[:n]))
		rc.ServeHTTP(w, r)
	})
}

var escapes = regexp.MustCompile(`\\u[0-9a-f]{4}|\\/`)

// reserialises verifies the JSON text that it would write, in place of the one that came.
func reserialises(rc *receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := body(r)
		var own bytes.Buffer
		if json.Compact(&own, b) == nil {
			b = escapes.ReplaceAllFunc(own.Bytes(), func(e []byte) []byte {
				var c string
				_ = json.Unmarshal([]byte(`"`+string(e)+`"`), &c)
				return []byte(c)
			})
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		rc.ServeHTTP(w, r)
	})
}

func threeBytes(rc *receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if bytes.ContainsFunc(b, func(c rune) bool { return c > 0xffff }) {
			w.WriteHeader(500)
			return true
		}
		return false
	})(rc)
}

// refusesText cannot read a text, and so takes its signature for wrong.
func refusesText(text string) func(*receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if bytes.Contains(b, []byte(text)) {
			w.WriteHeader(401)
			return true
		}
		return false
	})
}

func smallNumbers(rc *receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if bytes.Contains(b, []byte("9007199254740993")) {
			w.WriteHeader(500)
			return true
		}
		return false
	})(rc)
}

func refusesEvent(name string) func(*receiver) http.Handler {
	return before(func(_ *receiver, w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Header.Get("X-EventCode") == name {
			w.WriteHeader(400)
			return true
		}
		return false
	})
}

// wantsOrder refuses an event that stands before the last one in the platform's list, unless it is the first.
func wantsOrder(rc *receiver) http.Handler {
	last := 0
	return before(func(rc *receiver, w http.ResponseWriter, r *http.Request, _ []byte) bool {
		rc.mu.Lock()
		defer rc.mu.Unlock()
		at := slices.IndexFunc(rc.dialect.Examples, func(e dialect.Example) bool { return e.EventType == r.Header.Get("X-EventCode") })
		if at < last && at > 0 {
			w.WriteHeader(409)
			return true
		}
		last = at
		return false
	})(rc)
}
