package faas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/version"
)

// onCommandLine listens, or prints what -h or -settings asks for. It returns the
// status to exit with.
func (f *function) onCommandLine(args []string) int {
	if len(args) == 0 {
		return f.listen()
	}
	if args[0] == "-version" || args[0] == "--version" {
		fmt.Printf("%s %s\n", f.name, version.Version)
		return 0
	}
	settings, err := f.settings()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s cannot list its settings: %v\n", f.name, err)
		return 1
	}
	switch args[0] {
	case "-h", "-help", "--help":
		printUsage(os.Stdout, f.name, settings)
	case "-settings", "--settings":
		err = printSettings(os.Stdout, settings)
	default:
		fmt.Fprintf(os.Stderr, "unknown argument %q\n\n", args[0])
		printUsage(os.Stderr, f.name, settings)
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// settings returns everything the function may be told, by building it with a
// reader that only lists.
func (f *function) settings() ([]config.Setting, error) {
	set := config.NewLister()
	listenAddress(set)
	_, err := f.open(context.Background(), set)
	if !errors.Is(err, config.ErrListing) {
		return nil, err
	}
	return set.Settings(), nil
}

func printUsage(w io.Writer, name string, settings []config.Setting) {
	fmt.Fprintf(w, `%[1]s is a function of Backchannel.

  %[1]s            listen on HOST and PORT until SIGINT or SIGTERM
  %[1]s -settings  print the settings below as JSON
  %[1]s -version   print the version
  %[1]s -h         print this

AWS Lambda and Tencent SCF start it without arguments, and it finds out where it
runs. It reads these settings from the environment; NAME_FILE may name a file
that holds the value of NAME instead.
`, name)
	for _, s := range settings {
		fmt.Fprintf(w, "\n%s%s\n    %s\n    %s\n", s.Name, remark(s), s.Meaning, s.Format)
	}
}

func remark(s config.Setting) string {
	var words []string
	if s.Required {
		words = append(words, "required")
	}
	if s.Secret {
		words = append(words, "secret")
	}
	if s.Default != "" {
		words = append(words, "default "+s.Default)
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// printedSetting is a [config.Setting] for programs.
type printedSetting struct {
	Name        string `json:"name"`
	Meaning     string `json:"meaning"`
	Format      string `json:"format"`
	Default     string `json:"default"`
	Required    bool   `json:"required"`
	Secret      bool   `json:"secret"`
	Group       string `json:"group"`
	Least, Most int    `json:"-"`
}

func printSettings(w io.Writer, settings []config.Setting) error {
	out := make([]printedSetting, len(settings))
	for i, s := range settings {
		out[i] = printedSetting(s)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
