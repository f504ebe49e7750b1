package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// maxBatch is how many messages one request may bring; their bytes are bounded as those of every body.
const maxBatch = 1000

// batchIn is the body of a batch, for the document: it is read by readBatch.
type batchIn struct {
	_        struct{}      `json:"-" additionalProperties:"true"`
	Messages []MessageBody `json:"messages" minItems:"1" maxItems:"1000"`
}

type batchOut struct {
	Data []batchItem `json:"data" nullable:"false" doc:"What became of each message, in the order of the request"`
}

type batchItem struct {
	Status int    `json:"status" doc:"As the answer to a single publication would have: 202, 409, 422 …" example:"202"`
	ID     string `json:"id,omitempty" doc:"The message's id, when it was stored"`
	Code   string `json:"code,omitempty" doc:"Why it was not stored, a word for programs"`
	Detail string `json:"detail,omitempty" doc:"Why it was not stored, a sentence for people"`
}

// batches mounts the batch beside huma, as the single publication.
func (h *Handler) batches() {
	op := operation("message.create-batch", http.MethodPost, publishPath+"/batch", "Publish up to 1000 messages at once (addition)")
	op.Description = "Each message is stored or refused by itself, in order; those that are stored are stored in one commit, before the answer is given. " +
		"An Idempotency-Key header makes a repeat give the first answer again for 12 hours, unless no message was stored."
	h.mount(&op, reflect.TypeFor[batchIn](), reflect.TypeFor[batchOut](), nil, h.publishMany)
}

func (h *Handler) publishMany(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	app, err := h.publishTo(ctx, r.PathValue(appParam))
	if err != nil {
		return err
	}
	body, err := readBody(r, h.MaxBody)
	if err != nil {
		return err
	}
	out, err := h.publishBatch(ctx, app, body)
	if err != nil {
		return err
	}
	answer, err := plainJSON(out)
	if err != nil {
		return err
	}
	return writeAccepted(w, answer)
}

// publishBatch stores what is right of a batch and says of the rest what is not.
func (h *Handler) publishBatch(ctx context.Context, app hook.ApplicationID, body []byte) (*batchOut, error) {
	docs, err := readBatch(body)
	if err != nil {
		return nil, err
	}
	out := &batchOut{make([]batchItem, len(docs))}
	var wishes []hook.Accept
	var places []int // of the wishes among the messages
	now := h.now()
	for i, doc := range docs {
		wish, err := h.batchWish(ctx, app, doc, now)
		if err != nil {
			out.Data[i] = h.refusedItem(ctx, err)
			continue
		}
		wishes, places = append(wishes, wish), append(places, i)
	}
	if len(wishes) == 0 {
		return out, nil
	}
	fill := func(done []hook.Accepted) (stored int) {
		for i := range done {
			if err := refusedBy(&done[i]); err != nil {
				out.Data[places[i]] = h.refusedItem(ctx, err)
				continue
			}
			out.Data[places[i]] = batchItem{Status: http.StatusAccepted, ID: done[i].Message.ID.String()}
			stored++
		}
		return stored
	}
	done, err := h.Store.Accept(answeringBy(ctx, http.StatusAccepted, func(r store.Result) (any, bool) {
		stored := fill(r.Accepted)
		return out, stored > 0
	}), wishes)
	if err != nil {
		return nil, err
	}
	fill(done)
	return out, nil
}

func (h *Handler) batchWish(ctx context.Context, app hook.ApplicationID, doc []byte, now time.Time) (hook.Accept, error) {
	m, err := readPosted(doc, now)
	if err != nil {
		return hook.Accept{}, err
	}
	if m.application != nil {
		return hook.Accept{}, invalidRequest(wrong("body.application", "cannot be made by a batch: create it first"))
	}
	return h.wish(ctx, app, m)
}

// refusedItem is a refusal as an item of the answer.
func (h *Handler) refusedItem(ctx context.Context, err error) batchItem {
	e := h.answer(ctx, err)
	if e.status != http.StatusUnprocessableEntity {
		return batchItem{Status: e.status, Code: e.body.Code, Detail: e.body.Detail}
	}
	all := make([]string, len(e.fields))
	for i, f := range e.fields {
		all[i] = strings.Join(f.Loc, ".") + " " + f.Msg
	}
	return batchItem{Status: e.status, Code: "validation", Detail: strings.Join(all, "; ")}
}

// readBatch finds the messages of a batch.
func readBatch(body []byte) ([][]byte, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, newError(http.StatusBadRequest, "bad_request", "the body is not a JSON document in UTF-8")
	}
	var docs [][]byte
	var p problems
	if err := members(body, func(name string, value []byte) {
		switch {
		case name != "messages":
		case value[0] != '[':
			p.add("body.messages", "must be a list of messages")
		default:
			elements(value, func(doc []byte) {
				if len(docs) <= maxBatch {
					docs = append(docs, doc)
				}
			})
		}
	}); err != nil {
		return nil, err
	}
	if len(p) == 0 && (len(docs) == 0 || len(docs) > maxBatch) {
		p.add("body.messages", "must have 1 to %d messages", maxBatch)
	}
	return docs, p.err()
}
