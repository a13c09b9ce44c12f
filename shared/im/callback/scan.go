package callback

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// A callback's body is read once, from front to back: the scanner checks its
// syntax, by the same rules as encoding/json, and notes where values are, so
// that a message's contents are neither parsed twice nor copied.

const (
	// maxFields bounds the top-level fields of a body. The largest documented
	// event has 17.
	maxFields = 200
	// maxDepth bounds how deep values lie in one another: no lower than
	// encoding/json, since what does not decode has no verdict, and IM then
	// delivers it.
	maxDepth = 10_000
)

// field is one field of a JSON object.
type field struct {
	name   []byte // unquoted
	quoted []byte // as it stood
	value  []byte
}

type fields []field

func (fs fields) find(name []byte) *field {
	for i := range fs {
		if bytes.Equal(fs[i].name, name) {
			return &fs[i]
		}
	}
	return nil
}

// repeated returns a name that occurs twice, letter case aside, since some
// readers of JSON, encoding/json among them, do not tell case apart.
func (fs fields) repeated() (name []byte, found bool) {
	for i := range fs {
		for j := range i {
			if len(fs[i].name) == len(fs[j].name) && bytes.EqualFold(fs[i].name, fs[j].name) {
				return fs[i].name, true
			}
		}
	}
	return nil, false
}

func (fs fields) join() []byte {
	out := []byte{'{'}
	for i, f := range fs {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, f.quoted...), ':'), f.value...)
	}
	return append(out, '}')
}

// scanner is a place in a JSON text.
type scanner struct {
	b []byte
	p int
	// checked texts have been passed before: only their ends matter now.
	checked bool
}

// splitObject takes a JSON object apart, and appends its fields to out. Its
// error is ErrNotObject.
func splitObject(b []byte, out fields) (fields, error) {
	s := scanner{b: b}
	return s.object(out)
}

// splitChecked is splitObject for a value that the scanner has passed before.
func splitChecked(b []byte, out fields) (fields, error) {
	s := scanner{b: b, checked: true}
	return s.object(out)
}

// splitArray takes a JSON array apart that the scanner has passed before, and
// reports whether it was one.
func splitArray(b []byte) (values [][]byte, ok bool) {
	s := scanner{b: b, checked: true}
	if !s.next('[') {
		return nil, false
	}
	for end := s.next(']'); !end; {
		s.space()
		from := s.p
		if !s.value(1) {
			return nil, false
		}
		values = append(values, s.b[from:s.p:s.p])
		if end = s.next(']'); !end && !s.next(',') {
			return nil, false
		}
	}
	return values, true
}

func (s *scanner) object(out fields) (fields, error) {
	if !s.next('{') {
		return nil, ErrNotObject
	}
	for end := s.next('}'); !end; {
		f, ok := s.field()
		if !ok {
			return nil, ErrNotObject
		}
		if out = append(out, f); len(out) > maxFields {
			return nil, fmt.Errorf("%w: it has over %d fields", ErrNotObject, maxFields)
		}
		if end = s.next('}'); !end && !s.next(',') {
			return nil, ErrNotObject
		}
	}
	if s.space(); s.p != len(s.b) {
		return nil, ErrNotObject
	}
	return out, nil
}

func (s *scanner) space() {
	for s.p < len(s.b) && (s.b[s.p] == ' ' || s.b[s.p] == '\t' || s.b[s.p] == '\n' || s.b[s.p] == '\r') {
		s.p++
	}
}

// next passes over white space and, if it comes next, over c.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.p < len(s.b) && s.b[s.p] == c {
		s.p++
		return true
	}
	return false
}

// field passes over a field of an object.
func (s *scanner) field() (f field, ok bool) {
	s.space()
	from := s.p
	if !s.text() {
		return f, false
	}
	f.quoted = s.b[from:s.p:s.p]
	f.name = f.quoted[1 : len(f.quoted)-1]
	if bytes.IndexByte(f.name, '\\') >= 0 {
		f.name = []byte(unquote(f.quoted))
	}
	if !s.next(':') {
		return f, false
	}
	s.space()
	from = s.p
	if !s.value(1) {
		return f, false
	}
	f.value = s.b[from:s.p:s.p]
	return f, true
}

// value passes over the value that starts here.
func (s *scanner) value(depth int) bool {
	if s.p >= len(s.b) || depth > maxDepth {
		return false
	}
	switch c := s.b[s.p]; c {
	case '"':
		return s.text()
	case '{':
		s.p++
		for end := s.next('}'); !end; {
			s.space()
			if !s.text() || !s.next(':') {
				return false
			}
			s.space()
			if !s.value(depth + 1) {
				return false
			}
			if end = s.next('}'); !end && !s.next(',') {
				return false
			}
		}
		return true
	case '[':
		s.p++
		for end := s.next(']'); !end; {
			s.space()
			if !s.value(depth + 1) {
				return false
			}
			if end = s.next(']'); !end && !s.next(',') {
				return false
			}
		}
		return true
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.p:], []byte(w)) {
		return false
	}
	s.p += len(w)
	return true
}

func (s *scanner) number() bool {
	if s.at('-') {
		s.p++
	}
	if s.at('0') {
		s.p++
	} else if !s.digits() {
		return false
	}
	if s.at('.') {
		s.p++
		if !s.digits() {
			return false
		}
	}
	if s.at('e') || s.at('E') {
		s.p++
		if s.at('+') || s.at('-') {
			s.p++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) at(c byte) bool { return s.p < len(s.b) && s.b[s.p] == c }

func (s *scanner) digits() bool {
	from := s.p
	for s.p < len(s.b) && '0' <= s.b[s.p] && s.b[s.p] <= '9' {
		s.p++
	}
	return s.p > from
}

// text passes over a quoted string.
func (s *scanner) text() bool {
	if !s.at('"') {
		return false
	}
	if s.checked {
		return s.textEnd()
	}
	for s.p++; s.p < len(s.b); {
		if s.p+8 <= len(s.b) {
			// Nearly all of a body is plain text: eight bytes at a time.
			n := plain(binary.LittleEndian.Uint64(s.b[s.p:]))
			if s.p += n; n == 8 {
				continue
			}
		}
		switch c := s.b[s.p]; {
		case c == '"':
			s.p++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		default:
			s.p++
		}
	}
	return false
}

// textEnd passes over a string that is known to be right.
func (s *scanner) textEnd() bool {
	from := s.p + 1
	for s.p = from; ; {
		n := bytes.IndexByte(s.b[s.p:], '"')
		if n < 0 {
			return false
		}
		end := s.p + n
		s.p = end + 1
		escapes := 0
		for end-escapes > from && s.b[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return true
		}
	}
}

// plain returns how many of eight bytes, lowest first, come before one that
// ends or escapes a string or is a control character.
func plain(w uint64) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, escape := w^(ones*'"'), w^(ones*'\\')
	// Borrows make a byte above a hit look like one, never a byte below it.
	hits := ((quote - ones) &^ quote) | ((escape - ones) &^ escape) | ((w - ones*' ') &^ w)
	return bits.TrailingZeros64(hits&high) / 8
}

// escape passes over a backslash and what it escapes.
func (s *scanner) escape() bool {
	if s.p+1 >= len(s.b) {
		return false
	}
	c := s.b[s.p+1]
	s.p += 2
	if c != 'u' {
		return strings.IndexByte(`"\/bfnrt`, c) >= 0
	}
	if s.p+4 > len(s.b) {
		return false
	}
	for _, c := range s.b[s.p : s.p+4] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	s.p += 4
	return true
}

// unquote returns the text of a string that the scanner has passed. Bytes that
// are no UTF-8 and half surrogates become U+FFFD, as in encoding/json.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		panic("callback: the scanner passed a malformed string: " + err.Error())
	}
	return text
}
