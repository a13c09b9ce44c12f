// Package samples has the body of a callback for every command, with the fields
// that IM's page for it prints or, where a body was not published, the name
// alone. The page is named at the event's type in package callback.
package samples

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.json
var files embed.FS

// Body returns the sample of a command, and whether there is one.
func Body(command string) ([]byte, bool) {
	b, err := files.ReadFile(command + ".json")
	return b, err == nil
}

// Commands returns the commands that have a sample, in order of name.
func Commands() []string {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		panic("samples: " + err.Error()) // the pattern is constant
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, ".json")
	}
	return names
}
