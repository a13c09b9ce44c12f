package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// checkNames holds the names of the fields in a valid JSON text against the type
// that the text is decoded into. A name that the type does not have is refused,
// and so is one that an object has twice, letter case aside, at any depth: two
// readers could see two different things. Values whose type decodes itself, or is
// a map or an interface, may have any names, each once.
func checkNames(body []byte, t reflect.Type) error {
	type level struct {
		seen map[string]bool // folded names; nil in a list
		of   reflect.Type    // of the object or list; nil where anything is allowed
		path string          // of the object or list, with a dot behind
		name string          // of the field whose value comes next, "" where a name comes next
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // the end: the text is valid
		}
		if d, is := token.(json.Delim); is && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		here, path := opened(t), ""
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.seen != nil && top.name == "" {
				name := token.(string)
				folded := strings.ToLower(name)
				switch {
				case top.seen[folded]:
					return fault.New(fault.Invalid, "the field %q occurs twice", top.path+name)
				case top.of != nil && top.of.Kind() == reflect.Struct && fieldsOf(top.of)[name] == nil:
					return unknownField(top.of, top.path, name)
				}
				top.seen[folded], top.name = true, name+"."
				continue
			}
			here, path = opened(inside(top.of, strings.TrimSuffix(top.name, "."))), top.path+top.name
			top.name = ""
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{seen: make(map[string]bool), of: here, path: path})
		case json.Delim('['):
			stack = append(stack, level{of: here, path: path})
		}
	}
}

// unknownField names a field that is not known, and the one that was meant if
// only the case of letters differs.
func unknownField(t reflect.Type, path, name string) error {
	for known := range fieldsOf(t) {
		if strings.EqualFold(known, name) {
			return fault.New(fault.Invalid, "the field %q is not known here: write %q", path+name, known)
		}
	}
	return fault.New(fault.Invalid, "the field %q is not known here", path+name)
}

// inside is the type of the values of an object or a list.
func inside(t reflect.Type, name string) reflect.Type {
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Struct:
		return fieldsOf(t)[name]
	}
	return t.Elem() // of a list or a map
}

// written is the path of a field as the body has it: package json also names the
// structs that others embed.
func written(t reflect.Type, path string) string {
	var list []string
	for name := range strings.SplitSeq(path, ".") {
		t = opened(t)
		for t != nil && t.Kind() != reflect.Struct {
			t = opened(t.Elem()) // the path has no indexes
		}
		if t != nil {
			if f, is := t.FieldByName(name); is && f.Anonymous && f.Tag.Get("json") == "" {
				t = f.Type
				continue
			}
			t = fieldsOf(t)[name]
		}
		list = append(list, name)
	}
	return strings.Join(list, ".")
}

var (
	decodesJSON = reflect.TypeFor[json.Unmarshaler]()
	decodesText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// opened is the type that says which names are allowed: nil where the type
// decodes itself, or has no names to compare.
func opened(t reflect.Type) reflect.Type {
	for t != nil {
		if p := reflect.PointerTo(t); p.Implements(decodesJSON) || p.Implements(decodesText) {
			return nil
		}
		switch t.Kind() {
		case reflect.Pointer:
			t = t.Elem()
		case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
			return t
		default:
			return nil
		}
	}
	return nil
}

var known sync.Map // reflect.Type -> map[string]reflect.Type

// fieldsOf returns the types of a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if fields, is := known.Load(t); is {
		return fields.(map[string]reflect.Type)
	}
	fields := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[name] = f.Type
	}
	known.Store(t, fields)
	return fields
}
