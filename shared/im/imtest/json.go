package imtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// object is a JSON object that keeps the order of its fields, as IM writes
// them: names and values in turn.
type object []any

// with returns the object with more fields at its end.
func (o object) with(namesAndValues ...any) object {
	return append(o[:len(o):len(o)], namesAndValues...)
}

// withText adds a text field unless it is empty.
func (o object) withText(name, text string) object {
	if text == "" {
		return o
	}
	return o.with(name, text)
}

// MarshalJSON writes the fields in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i := 0; i < len(o); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(o[i]); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // the encoder ends each value with a newline
		b.WriteByte(':')
		if err := enc.Encode(o[i+1]); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// accounts is a list of objects with one field each, as IM names users.
func accounts(field string, ids []string) []object {
	list := make([]object, len(ids))
	for i, id := range ids {
		list[i] = object{field, id}
	}
	return list
}

// maxDepth bounds how deep requests nest; the deepest documented one has five
// levels.
const maxDepth = 32

// reader decodes requests the way IM reads them: names and types are exact
// (1047/34620), where encoding/json would forgive a name in the wrong case.
// Fields that the request type lacks are ignored and noted, but for formerNames. A
// field with the tag old is read under that former name too, which is noted.
type reader struct {
	whole   bool // the type has all that the command knows: formerNames beside it are refused
	unknown []string
	old     []oldName
}

// formerNames are those that many clients still send. One that takes no effect is
// refused, though IM would ignore it: its sender takes it to have worked.
var formerNames = []string{"Identifier", "ShutUpTime", "ShutUpAllMember"}

// oldName is a field that came under its former name.
type oldName struct{ is, was string }

func (r *reader) read(raw json.RawMessage, into any) error {
	return r.value(raw, reflect.ValueOf(into).Elem(), "", 0)
}

// misfit is a field of the wrong type.
type misfit struct{ path, want string }

func (m *misfit) Error() string { return m.path + " must be " + m.want }

// top returns the request's own field that holds the misfit.
func (m *misfit) top() string { return m.path[:strings.IndexAny(m.path+".", ".[")] }

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (r *reader) value(raw json.RawMessage, v reflect.Value, path string, depth int) error {
	t := v.Type()
	switch {
	case depth > maxDepth:
		return &misfit{path, "less deep"}
	case t == rawMessage:
		v.SetBytes(slices.Clone(raw))
		return nil
	case string(raw) == "null":
		return nil
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return r.value(raw, v.Elem(), path, depth)
	case t.Kind() == reflect.Struct:
		return r.fields(raw, v, path, depth)
	case t.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return &misfit{path, "an array"}
		}
		v.Set(reflect.MakeSlice(t, len(items), len(items)))
		for i, item := range items {
			if err := r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
				return err
			}
		}
		return nil
	case json.Unmarshal(raw, v.Addr().Interface()) != nil:
		return &misfit{path, "a " + t.Kind().String()}
	}
	return nil
}

func (r *reader) fields(raw json.RawMessage, v reflect.Value, path string, depth int) error {
	var given map[string]json.RawMessage
	if json.Unmarshal(raw, &given) != nil {
		return &misfit{path, "an object"}
	}
	if path != "" {
		path += "."
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous {
			continue
		}
		name := f.Tag.Get("json")
		if name == "" {
			name = f.Name
		}
		value, ok := given[name]
		if was := f.Tag.Get("old"); !ok && was != "" {
			if value, ok = given[was]; ok {
				r.old = append(r.old, oldName{is: path + name, was: path + was})
				name = was
			}
		}
		if !ok {
			continue
		}
		delete(given, name)
		if err := r.value(value, v.FieldByIndex(f.Index), path+name, depth+1); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(given) {
		if r.whole && slices.Contains(formerNames, name) {
			return &misfit{path + name, "left out: it has no effect here"}
		}
		r.unknown = append(r.unknown, path+name)
	}
	return nil
}
