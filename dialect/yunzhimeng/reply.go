package yunzhimeng

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

// reply answers a callback. As the platform does not say what it takes for success, the default answer pleases every
// rule that may hold: HTTP 200, JSON, code 200, and the word success in it.
func reply(s dialect.Settings, o dialect.Outcome) dialect.Reply {
	status, word := o.Result.DefaultStatus(), "fail"
	if o.Result == dialect.Stored || o.Result == dialect.Duplicate {
		word = "success"
	}
	if s.Get(setSuccess) == successText {
		return dialect.Reply{Status: status, ContentType: "text/plain;charset=UTF-8", Body: []byte(word)}
	}
	return dialect.Reply{
		Status: status, ContentType: "application/json;charset=UTF-8",
		Body: []byte(`{"code":` + strconv.Itoa(status) + `,"msg":"` + word + `"}`),
	}
}

// judge says what an answer means. Nothing that a receiver answers stops a message: the platform knows only success and
// three calls.
func judge(s dialect.Settings, r dialect.Response) dialect.Verdict {
	v := dialect.JudgeStatus(r, func(status int) bool { return status == http.StatusOK })
	if v.Kind != dialect.Accepted {
		return v
	}
	switch s.Or(setSuccess, successStatus) {
	case successCode:
		if !hasCode200(r) {
			return dialect.Verdict{Kind: dialect.Retry, Reason: v.Reason + ", but not with JSON whose code is 200"}
		}
	case successText:
		if r.Truncated || string(bytes.TrimSpace(r.Body)) != "success" {
			return dialect.Verdict{Kind: dialect.Retry, Reason: v.Reason + ", but not with the text success"}
		}
	}
	return v
}

// hasCode200 looks for the member code with the number 200, or with a string of it as some Java encoders write.
func hasCode200(r dialect.Response) bool {
	var answer map[string]json.RawMessage
	if r.Truncated || json.Unmarshal(r.Body, &answer) != nil {
		return false
	}
	code := string(answer["code"])
	return code == `200` || code == `"200"`
}

// policy returns the times. The three calls are the platform's word, the rest is our choice.
func policy(s dialect.Settings) dialect.Policy {
	p := dialect.Policy{
		Deadline: s.Duration(setDeadline, defaultDeadline),
		Schedule: s.Durations(setSchedule),
		DedupFor: memory(s),
	}
	if p.Deadline <= 0 {
		p.Deadline = defaultDeadline
	}
	if n := len(p.Schedule); n == 0 || n > maxCalls {
		p.Schedule = []time.Duration{5 * time.Second, 30 * time.Second}
	}
	return p
}
