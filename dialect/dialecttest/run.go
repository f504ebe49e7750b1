package dialecttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/waypost/waypost/dialect"
)

// Vectors is the name of the file that Run reads.
const Vectors = "vectors.json"

// maxProblems bounds what is reported of one vector: the first few tell it all.
const maxProblems = 8

// Run checks a dialect against the vectors.json of dir and against the rules that hold for every dialect:
//
//   - every vector comes out as it says;
//   - one bit of every byte of every accepted request is flipped, and the request is then refused, or read as the very
//     same message, or the byte lies in a part that the vector lists as unsigned;
//   - blanked keys neither verify nor sign, and a key with a pasted line end is stripped or named, never used;
//   - no text of an error or verdict holds a setting, or more than a few words of the request;
//   - there is a vector for everything that the dialect can do, a refusal and a rotated key among them.
//
// With -short only a sample of the flips is made.
func Run(t *testing.T, d *dialect.Dialect, dir fs.FS) {
	t.Helper()
	f, err := load(dir)
	if err != nil {
		t.Fatalf("dialect %s: %v", d.Name, err)
	}
	t.Run("dialect", func(t *testing.T) {
		t.Parallel()
		fail(t, append(checkShape(d), checkFile(d, f)...))
	})
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			fail(t, checkVector(d, v, testing.Short()))
		})
	}
}

func fail(t *testing.T, problems []string) {
	t.Helper()
	for i, p := range problems {
		if i == maxProblems {
			t.Errorf("and %d more", len(problems)-i)
			return
		}
		t.Error(p)
	}
}

// load reads the vectors strictly: a misspelt member would otherwise be a check that is silently not made.
func load(dir fs.FS) (File, error) {
	var f File
	b, err := fs.ReadFile(dir, Vectors)
	if err != nil {
		return f, fmt.Errorf("reading the vectors: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return f, fmt.Errorf("reading %s: %w", Vectors, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return f, fmt.Errorf("reading %s: something follows the document", Vectors)
	}
	return f, nil
}

// findings collects what is wrong, as sentences.
type findings []string

func (f *findings) addf(format string, args ...any) {
	*f = append(*f, fmt.Sprintf(format, args...))
}

// checkVector runs one vector and returns what is wrong.
func checkVector(d *dialect.Dialect, v Vector, short bool) []string {
	c, err := newCase(d, v)
	if err != nil {
		return []string{"the vector itself: " + err.Error()}
	}
	switch v.Do {
	case "receive":
		c.receive(short)
	case "sign":
		c.sign()
	case "reply":
		c.reply()
	case "judge":
		c.judge()
	}
	return c.findings
}

// checkFile says which vectors are missing.
func checkFile(d *dialect.Dialect, f File) []string {
	var out findings
	if f.Dialect != d.Name {
		out.addf("%s is of the dialect %q, not %q", Vectors, f.Dialect, d.Name)
	}
	var accepted, refused, rotated, proven int
	did, names := map[string]int{}, map[string]bool{}
	for _, v := range f.Vectors {
		if v.Name == "" || names[v.Name] {
			out.addf("the vector name %q is empty or used twice", v.Name)
		}
		names[v.Name] = true
		if v.Origin == "" {
			out.addf("vector %q does not say where it comes from (origin)", v.Name)
		}
		did[v.Do]++
		switch {
		case v.Do == "receive" && v.Refuse != "":
			refused++
		case v.Do == "receive" && v.Want != nil:
			accepted++
			if v.Want.Key > 0 {
				rotated++
			}
		}
		if v.Do == "sign" && v.Refuse == "" {
			proven++
		}
	}
	need := func(needed bool, n int, text string) {
		if needed && n == 0 {
			out.addf("there is no vector %s", text)
		}
	}
	need(d.Receive != nil, accepted, "of an accepted request (do receive, with want)")
	need(d.Receive != nil, refused, "of a refused request (do receive, with refuse)")
	need(d.Receive != nil && severalKeys(d), rotated, "of a request that a second live key verifies (want.key over 0)")
	need(d.Sign != nil, proven, "of a signed request (do sign)")
	need(d.Reply != nil, did["reply"], "of a reply (do reply)")
	need(d.Judge != nil, did["judge"], "of a judgement (do judge)")
	if len(out) == 0 && d.Sign != nil {
		out = append(out, checkExamples(d, f)...)
		out = append(out, checkHandshake(d, f)...)
	}
	return out
}

func severalKeys(d *dialect.Dialect) bool {
	for _, f := range d.Fields {
		if f.Several && f.Receiving != dialect.Unused {
			return true
		}
	}
	return false
}
