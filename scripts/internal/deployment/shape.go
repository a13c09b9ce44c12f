package deployment

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape compares a YAML value with the Go type that it is to be read into, and says
// what is wrong in the words of the file: the line, the keys that lead there, and what
// is expected. Package yaml would name our types instead.
func shape(n *yaml.Node, is reflect.Type, at string) (faults []error) {
	fault := func(n *yaml.Node, format string, args ...any) {
		faults = append(faults, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
	}
	expect := func(what string) { fault(n, "%s must be %s, and is %s", at, what, found(n)) }
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if is.Kind() == reflect.Pointer {
		is = is.Elem()
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // as if the key was not there
	}
	switch is.Kind() {
	case reflect.Struct, reflect.Map:
		if n.Kind != yaml.MappingNode {
			expect("keys with values, as in \"key: value\"")
			return faults
		}
		given := map[string]int{}
		for key, value := range pairs(n) {
			if key.Tag == "!!merge" {
				merged := []*yaml.Node{value}
				if value.Kind == yaml.SequenceNode {
					merged = value.Content
				}
				for _, m := range merged {
					faults = append(faults, shape(m, is, at)...)
				}
				continue
			}
			path := strings.TrimPrefix(at+"."+key.Value, ".")
			if line, twice := given[key.Value]; twice {
				fault(key, "%s is given twice, first on line %d", path, line)
				continue
			}
			given[key.Value] = key.Line
			below, known := valueType(is, key.Value)
			if !known {
				fault(key, "%s is no key that is known here: correct its name, or take it out: nothing would heed it", path)
				continue
			}
			faults = append(faults, shape(value, below, path)...)
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			expect("a list, as in \"- item\"")
			return faults
		}
		for i, item := range n.Content {
			faults = append(faults, shape(item, is.Elem(), fmt.Sprintf("%s[%d]", at, i+1))...)
		}
	case reflect.Int:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
			expect("a whole number without quotes")
		}
	case reflect.Bool:
		// The words of YAML 1.1 are read as they were meant.
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" && !slices.Contains([]string{"y", "Y", "yes", "on", "n", "N", "no", "off"}, n.Value) {
			expect("true or false")
		}
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			expect("a text")
		}
	}
	return faults
}

// valueType returns the type of what stands below a key.
func valueType(is reflect.Type, key string) (reflect.Type, bool) {
	if is.Kind() == reflect.Map {
		return is.Elem(), true
	}
	for f := range is.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name == key {
			return f.Type, true
		}
	}
	return nil, false
}

// found names what stands in a file. A text is quoted in part only.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + n.Value
	case n.Tag == "!!bool":
		return n.Value
	}
	text := []rune(n.Value)
	if len(text) > 20 {
		return fmt.Sprintf("the text %q...", string(text[:20]))
	}
	return fmt.Sprintf("the text %q", n.Value)
}
