package callback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Decode reads the body of a callback whose command is known to be command. An
// unknown command becomes an [Unknown].
//
// Names of top-level fields and of a message's elements are taken exactly as IM
// spells them, and may occur once: [ErrRepeatedField]. Values may be spelt in
// another way that means the same: a number as text or with an exponent, text as
// a number, an element that is no object, or a content that is bare text.
//
// A field whose value means nothing here is [ErrWrongType] in an after-callback,
// whose identity it may be part of. A before-callback keeps such a field empty and
// is judged by the others, since IM delivers what gets no verdict; the [Endpoint]
// counts the field in [Stats]. The remaining error is [ErrNotObject].
//
// The event shares memory with body, which must not be changed afterwards.
func Decode(command string, body []byte) (Event, error) {
	var few [20]field // as many as events have, off the heap
	fs, err := splitObject(body, few[:0])
	if err != nil {
		return nil, err
	}
	if _, found := fs.repeated(); found {
		return nil, ErrRepeatedField
	}
	t := lookUp(command)
	e := t.make()
	read := t.readers()
	v := reflect.ValueOf(e).Elem()
	var unread []string
	for _, f := range fs {
		r, known := read[string(f.name)]
		if !known {
			continue // kept in raw
		}
		switch err := r.read(v.FieldByIndex(r.index), f.value); {
		case err == nil:
		case err == ErrWrongType && t.kind == before && string(f.name) != "CallbackCommand":
			v.FieldByIndex(r.index).SetZero()
			unread = append(unread, string(f.name))
		default:
			return nil, fmt.Errorf("%w: %s", err, f.name) // one of our own names
		}
	}
	b := e.base()
	b.raw, b.unread, b.Query.Command = body, unread, command
	return e, nil
}

// reader fills one field of an event from a JSON value whose syntax is known to
// be right. Its errors are ErrWrongType and ErrRepeatedField.
type reader struct {
	index []int
	read  func(to reflect.Value, value []byte) error
}

// readersOf returns the readers of an event type by wire name.
func readersOf(event reflect.Type) map[string]reader {
	out := make(map[string]reader)
	for _, f := range reflect.VisibleFields(event) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		out[name] = reader{f.Index, readInto(f.Type)}
	}
	return out
}

func readInto(t reflect.Type) func(reflect.Value, []byte) error {
	switch {
	case t == reflect.TypeFor[im.MsgBody]():
		return readElements
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return readByItself
	}
	switch t.Kind() {
	case reflect.String:
		return readString
	case reflect.Int, reflect.Int64:
		return readInt
	case reflect.Uint32, reflect.Uint64:
		return readUint
	default:
		return readAny
	}
}

func isNull(value []byte) bool { return value[0] == 'n' }

// readString takes text, and a number as it is written.
func readString(to reflect.Value, value []byte) error {
	switch c := value[0]; {
	case isNull(value):
	case c == '"':
		to.SetString(unquote(value))
	case c == '-' || c >= '0' && c <= '9':
		to.SetString(string(value))
	default:
		return ErrWrongType
	}
	return nil
}

// readInt takes a whole number, however it is written.
func readInt(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	n, err := strconv.ParseInt(number(value), 10, to.Type().Bits())
	if err != nil {
		return ErrWrongType
	}
	to.SetInt(n)
	return nil
}

// readUint is readInt for numbers without a sign. A negative one of the same size
// stands for the same bits: languages without unsigned numbers write it so.
func readUint(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	bits, text := to.Type().Bits(), number(value)
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		signed, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return ErrWrongType
		}
		n = uint64(signed) & (math.MaxUint64 >> (64 - bits))
	}
	to.SetUint(n)
	return nil
}

// number returns the digits of a number as JSON has it, or as text that holds
// one. A whole number with a fraction or an exponent is written out, if it is
// small enough to be exact; anything else comes back as it is.
func number(value []byte) string {
	text := string(bytes.Trim(value, `"`))
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	const exact = 1 << 53
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > exact {
		return text
	}
	return strconv.FormatInt(int64(f), 10)
}

func readByItself(to reflect.Value, value []byte) error {
	if to.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(value) != nil {
		return ErrWrongType
	}
	return nil
}

func readAny(to reflect.Value, value []byte) error {
	if json.Unmarshal(value, to.Addr().Interface()) != nil {
		return ErrWrongType // the cause would quote the value
	}
	return nil
}

// readElements reads a message's elements. Their contents stay where they are.
// What is no list of objects is taken for contents of a type that nobody knows,
// so that rules see whatever a client may show.
func readElements(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	list, ok := splitArray(value)
	if !ok {
		list = [][]byte{value}
	}
	body := make(im.MsgBody, len(list))
	for i, v := range list {
		if isNull(v) {
			continue
		}
		if err := readElement(&body[i], v); err != nil {
			return err
		}
		if !ok && body[i].MsgContent == nil {
			body[i].MsgContent = v
		}
	}
	to.Set(reflect.ValueOf(body))
	return nil
}

func readElement(e *im.Element, value []byte) error {
	var few [4]field
	fs, err := splitChecked(value, few[:0])
	if err != nil {
		e.MsgContent = value
		return nil
	}
	if _, found := fs.repeated(); found {
		return ErrRepeatedField
	}
	for _, f := range fs {
		switch string(f.name) {
		case "MsgType":
			if readString(reflect.ValueOf(&e.MsgType).Elem(), f.value) != nil {
				e.MsgType = "" // unknown
			}
		case "MsgContent":
			e.MsgContent = f.value
		}
	}
	return nil
}
