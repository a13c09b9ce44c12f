// Package deployment reads the deployment templates as strictly as their
// platforms should: [Serverless] the Tencent component files serverless.yml and
// serverless.split.yml, which no offline tool checks, and [SAM] those parts of template.yaml that the
// repository tests compare with the functions. (cfn-lint checks the rest.)
package deployment

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/backchannel-im/backchannel/shared/config"
)

// Function is one function of a template.
type Function struct {
	Name string // its folder below functions/
	// Environment has the text of each variable; "" where the template
	// computes it.
	Environment map[string]string
	Line        int
}

// secretFile is how a setting may be given by file.
const secretFile = "_FILE"

// CheckEnvironment compares the environment that a template gives to a function with
// the settings that its program reads: every name must be a setting, and required
// settings must be given. It returns one sentence per fault.
func CheckEnvironment(f Function, settings []config.Setting) []string {
	var faults []string
	known := map[string]bool{}
	for _, s := range settings {
		known[s.Name], known[s.Name+secretFile] = true, true
		_, plain := f.Environment[s.Name]
		_, file := f.Environment[s.Name+secretFile]
		if s.Required && !plain && !file {
			faults = append(faults, fmt.Sprintf("line %d: %s needs %s, which is not given", f.Line, f.Name, s.Name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Environment)) {
		if !known[name] {
			faults = append(faults, fmt.Sprintf("line %d: %s is given %s, which it does not read", f.Line, f.Name, name))
		}
	}
	return faults
}

// Gives returns a function that reports whether a template gives a setting to the named
// function.
func Gives(template []Function, name string) func(setting string) bool {
	i := slices.IndexFunc(template, func(f Function) bool { return f.Name == name })
	return func(setting string) bool {
		if i < 0 {
			return false
		}
		_, given := template[i].Environment[setting]
		return given
	}
}

var functionName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// get returns the value below the keys given, or nil.
func get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		if n = child(n, key); n == nil {
			return nil
		}
	}
	return n
}

// near returns the value below the keys given, or the last one on the way that
// exists: where a reader should look for something that is missing.
func near(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		next := child(n, key)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// text returns the scalar below the keys given, or "".
func text(n *yaml.Node, path ...string) string {
	if n = get(n, path...); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// child returns the value of a mapping's key, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	for k, v := range pairs(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// pairs yields the keys and values of a mapping, and nothing for other nodes.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// document returns the root mapping of a YAML text.
func document(in []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(in, &doc); err != nil {
		return nil, err
	}
	if doc.Kind == 0 {
		return nil, errors.New("the file is empty")
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("line 1: the file must be keys with values, as in \"key: value\"")
	}
	return doc.Content[0], nil
}
