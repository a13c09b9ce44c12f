package callback

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Decode reads the body of a callback whose command is known to be command. An
// unknown command becomes an [Unknown].
//
// Names of top-level fields and of a message's elements are taken exactly as IM
// spells them, and may occur once: [ErrRepeatedField]. Other errors are
// [ErrNotObject] and [ErrWrongType]. The event shares memory with body, which
// must not be changed afterwards.
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
	for _, f := range fs {
		r, known := read[string(f.name)]
		if !known {
			continue // kept in raw
		}
		if err := r.read(v.FieldByIndex(r.index), f.value); err != nil {
			return nil, fmt.Errorf("%w: %s", err, f.name) // one of our own names
		}
	}
	b := e.base()
	b.raw, b.Query.Command = body, command
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

func readString(to reflect.Value, value []byte) error {
	switch {
	case isNull(value):
	case value[0] != '"':
		return ErrWrongType
	default:
		to.SetString(unquote(value))
	}
	return nil
}

func readInt(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	n, err := strconv.ParseInt(string(value), 10, to.Type().Bits())
	if err != nil {
		return ErrWrongType
	}
	to.SetInt(n)
	return nil
}

func readUint(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	n, err := strconv.ParseUint(string(value), 10, to.Type().Bits())
	if err != nil {
		return ErrWrongType
	}
	to.SetUint(n)
	return nil
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
func readElements(to reflect.Value, value []byte) error {
	if isNull(value) {
		return nil
	}
	list, ok := splitArray(value)
	if !ok {
		return ErrWrongType
	}
	body := make(im.MsgBody, len(list))
	for i, v := range list {
		if isNull(v) {
			continue
		}
		var few [4]field
		fs, err := splitChecked(v, few[:0])
		if err != nil {
			return ErrWrongType
		}
		if _, found := fs.repeated(); found {
			return ErrRepeatedField
		}
		for _, f := range fs {
			switch string(f.name) {
			case "MsgType":
				if err := readString(reflect.ValueOf(&body[i].MsgType).Elem(), f.value); err != nil {
					return err
				}
			case "MsgContent":
				body[i].MsgContent = f.value
			}
		}
	}
	to.Set(reflect.ValueOf(body))
	return nil
}
