package api

import (
	"bytes"
	"encoding/json"
	"slices"
)

// members calls f with each member of a JSON object, the value as the bytes that stand there. The document must be valid:
// what it holds is not checked here. Its error is for the caller; f may have been called before it is found.
func members(doc []byte, f func(name string, value []byte)) error {
	i := skipSpace(doc, 0)
	if i == len(doc) || doc[i] != '{' {
		return invalidRequest(wrong("body", "must be an object"))
	}
	var twice problems
	seen := make([]string, 0, 8)
	for i = skipSpace(doc, i+1); doc[i] != '}'; {
		end := skipString(doc, i)
		name := memberName(doc[i:end])
		i = skipSpace(doc, end)
		i = skipSpace(doc, i+1) // the colon
		end = skipValue(doc, i)
		if slices.Contains(seen, name) {
			twice.add("body."+clip(name), "is given twice")
		} else if len(seen) == maxMembers {
			return invalidRequest(wrong("body", "has more than %d members", maxMembers))
		} else {
			seen = append(seen, name)
			f(name, doc[i:end])
		}
		if i = skipSpace(doc, end); doc[i] == ',' {
			i = skipSpace(doc, i+1)
		}
	}
	return twice.err()
}

const maxMembers = 64 // of a publication; far more than there are names

func memberName(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return string(plain)
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // a valid string
	return name
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index behind the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; ; i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// skipValue returns the index behind the value that begins at i.
func skipValue(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		for depth := 0; ; {
			switch doc[i] {
			case '"':
				i = skipString(doc, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for i < len(doc) && doc[i] != ',' && doc[i] != '}' && doc[i] != ']' && skipSpace(doc, i) == i {
		i++
	}
	return i
}

// elements calls f with each element of a JSON list, as the bytes that stand there. The document must be valid.
func elements(list []byte, f func(value []byte)) {
	for i := skipSpace(list, 1); list[i] != ']'; {
		end := skipValue(list, i)
		f(list[i:end])
		if i = skipSpace(list, end); list[i] == ',' {
			i = skipSpace(list, i+1)
		}
	}
}
