package callback

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// field is one field of a JSON object, in its original spelling.
type field struct {
	name   string
	quoted []byte // the name with its quotes, as it stood
	value  []byte
}

type fields []field

// find returns the field of that name. Like encoding/json, it does not tell
// upper from lower case.
func (fs fields) find(name string) *field {
	for i := range fs {
		if strings.EqualFold(fs[i].name, name) {
			return &fs[i]
		}
	}
	return nil
}

func (fs fields) join() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(f.quoted)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// hasDuplicate reports whether two fields have the same name, letter case
// aside.
func (fs fields) hasDuplicate() bool {
	for i := range fs {
		if fs[:i].find(fs[i].name) != nil {
			return true
		}
	}
	return false
}

// maxFields bounds the top-level fields of a callback; the largest documented
// event has 17.
const maxFields = 200

var (
	errNotObject = errors.New("callback: the body is not a JSON object")
	errFields    = errors.New("callback: the body has too many fields")
)

// splitObject takes a JSON object apart without decoding its values.
func splitObject(b []byte) (fields, error) {
	if !json.Valid(b) {
		return nil, errNotObject
	}
	p := space(b, 0)
	if b[p] != '{' {
		return nil, errNotObject
	}
	out := make(fields, 0, 20)
	// From here the syntax is known to be right.
	for p = space(b, p+1); b[p] != '}'; {
		if b[p] == ',' {
			p = space(b, p+1)
		}
		end := value(b, p)
		f := field{quoted: b[p:end]}
		if bytes.IndexByte(f.quoted, '\\') < 0 {
			f.name = string(b[p+1 : end-1])
		} else if err := json.Unmarshal(f.quoted, &f.name); err != nil {
			return nil, errNotObject
		}
		p = space(b, space(b, end)+1) // beyond the colon
		end = value(b, p)
		f.value = b[p:end]
		out = append(out, f)
		if len(out) > maxFields {
			return nil, errFields
		}
		p = space(b, end)
	}
	return out, nil
}

func space(b []byte, p int) int {
	for p < len(b) && (b[p] == ' ' || b[p] == '\t' || b[p] == '\n' || b[p] == '\r') {
		p++
	}
	return p
}

// value returns where the value that starts at p ends.
func value(b []byte, p int) int {
	depth := 0
	for {
		switch b[p] {
		case '"':
			for p++; b[p] != '"'; p++ {
				if b[p] == '\\' {
					p++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth < 0 {
				return p
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return p
			}
			p++
			continue
		default: // a number or a word
			for p+1 < len(b) && !strings.ContainsRune(",:]} \t\n\r", rune(b[p+1])) {
				p++
			}
		}
		p++
		if depth == 0 {
			return p
		}
	}
}
