package api

import (
	"context"
	"strings"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// PageIn are the parameters of every list.
type PageIn struct {
	Limit    int    `query:"limit" minimum:"1" maximum:"250" default:"50" doc:"How many items at most"`
	Iterator string `query:"iterator" maxLength:"512" doc:"Where to go on: the iterator of an earlier answer, or its prevIterator to go back"`
}

// OrderIn is the order of a list.
type OrderIn struct {
	Order string `query:"order" enum:"ascending,descending" doc:"Oldest or newest first"`
}

// listResponse is a page of a list, as Svix has it.
type listResponse[T any] struct {
	Data         []T     `json:"data" nullable:"false"`
	Iterator     *string `json:"iterator" doc:"Gives the next page; also once done, for what comes later"`
	PrevIterator *string `json:"prevIterator" doc:"Gives the page before"`
	Done         bool    `json:"done" doc:"There is nothing further in this direction"`
}

// page makes the store's page of a request; descending is the order unless the request says otherwise.
func (p PageIn) page(order string, descending bool) store.Page {
	out := store.Page{Limit: p.Limit, Descending: descending}
	if order != "" {
		out.Descending = order == "descending"
	}
	if before, ok := strings.CutPrefix(p.Iterator, "-"); ok {
		out.Before = before
	} else {
		out.After = p.Iterator
	}
	return out
}

// listed turns the store's page into the answer's. The one thing of a request that a store's list finds invalid is the
// iterator.
func listed[S, T any](list store.List[S], err error, show func(S) T) (*output[listResponse[T]], error) {
	if hook.KindOf(err) == hook.KindInvalid {
		return nil, invalidRequest(wrong("query.iterator", "is not an iterator of this list"))
	}
	if err != nil {
		return nil, err
	}
	out := listResponse[T]{Data: make([]T, 0, len(list.Items)), Done: list.Done}
	for _, item := range list.Items {
		out.Data = append(out.Data, show(item))
	}
	if list.Last != "" {
		out.Iterator = &list.Last
	}
	if list.First != "" {
		prev := "-" + list.First
		out.PrevIterator = &prev
	}
	return &output[listResponse[T]]{out}, nil
}

// output is an answer with the operation's own status.
type output[T any] struct{ Body T }

// made is an answer that may say that something was made.
type made[T any] struct {
	Status int
	Body   T
}

// handler is the function behind an operation.
type handler[I, O any] func(context.Context, *I) (*O, error)
