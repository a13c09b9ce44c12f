package deployment

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SAM reads the functions of a SAM template below root. Each must be built from
// build/aws/NAME, where scripts/build.sh puts the program of functions/NAME, and none
// may occur twice.
func SAM(root fs.FS, file string) ([]Function, error) {
	in, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, err
	}
	doc, err := document(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var out []Function
	var faults []error
	seen := map[string]bool{}
	for id, resource := range pairs(get(doc, "Resources")) {
		if text(resource, "Type") != "AWS::Serverless::Function" {
			continue
		}
		name, found := strings.CutPrefix(text(resource, "Properties", "CodeUri"), "build/aws/")
		if !found || !functionName.MatchString(name) {
			faults = append(faults, fmt.Errorf("line %d: the CodeUri of %s must be build/aws/NAME", id.Line, id.Value))
			continue
		}
		if _, err := fs.Stat(root, path.Join("functions", name, "main.go")); err != nil {
			faults = append(faults, fmt.Errorf("line %d: functions/%s has no main.go", id.Line, name))
		}
		if seen[name] {
			faults = append(faults, fmt.Errorf("line %d: functions/%s is here twice", id.Line, name))
		}
		seen[name] = true
		f := Function{Name: name, Environment: map[string]string{}, Line: id.Line}
		for _, level := range []*yaml.Node{get(doc, "Globals", "Function"), get(resource, "Properties")} {
			for key, value := range pairs(get(level, "Environment", "Variables")) {
				f.Environment[key.Value] = literal(value)
			}
		}
		out = append(out, f)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%s:\n%w", file, err)
	}
	return out, nil
}

// literal returns the text of a value, or "" for one that CloudFormation
// computes, such as !Ref Table.
func literal(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || !strings.HasPrefix(n.Tag, "!!") {
		return ""
	}
	return n.Value
}
