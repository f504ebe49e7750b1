package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Bounds of documents that are interpreted. Payloads are not, unless they have to fit a schema.
const (
	maxDepth  = 100 // objects and lists within one another
	maxDigits = 400 // characters of a number
)

// fault is what is wrong with a document that is JSON all the same.
type fault struct {
	Loc string // as body.metadata.a
	Msg string
}

// faultMark is how the text of a fault begins. huma hands on the texts of errors only.
const faultMark = "fault: "

// Error returns the mark, the place and what is wrong there.
func (f *fault) Error() string { return faultMark + f.Loc + " " + f.Msg }

var errNotUTF8 = errors.New("the document is not UTF-8")

// unmarshal reads a body. huma calls it with a *any first, to validate what is there: then the document itself is looked at.
func unmarshal(doc []byte, v any) error {
	if _, first := v.(*any); first {
		if err := checkDocument("body", doc); err != nil {
			return err
		}
	}
	return json.Unmarshal(doc, v)
}

// checkDocument refuses what JSON allows and readers disagree about, so that nobody is told something else than what is done:
// members given twice, numbers beyond all bounds, bytes that are not UTF-8, a depth that nobody means. It fails with a fault,
// or when the document is not JSON.
func checkDocument(loc string, doc []byte) error {
	if !utf8.Valid(doc) {
		return errNotUTF8
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := checkValue(d, loc, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind the document")
	}
	return nil
}

func checkValue(d *json.Decoder, loc string, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Number:
		return checkNumber(loc, t)
	case json.Delim:
		if depth == maxDepth {
			return &fault{loc, fmt.Sprintf("is nested more than %d deep", maxDepth)}
		}
		if t == '{' {
			return checkMembers(d, loc, depth)
		}
		for i := 0; d.More(); i++ {
			if err := checkValue(d, fmt.Sprintf("%s[%d]", loc, i), depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token() // the bracket at the end
	}
	return err
}

func checkMembers(d *json.Decoder, loc string, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // a member's name is a text, or Token had failed
		place := loc + "." + clip(name)
		if seen[name] {
			return &fault{place, "is given twice"}
		}
		seen[name] = true
		if err := checkValue(d, place, depth+1); err != nil {
			return err
		}
	}
	_, err := d.Token() // the brace at the end
	return err
}

func checkNumber(loc string, n json.Number) error {
	if _, err := n.Float64(); err != nil || len(n) > maxDigits {
		return &fault{loc, "is a number beyond what is taken"}
	}
	return nil
}
