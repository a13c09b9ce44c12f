// Command rulec compiles a rule set of the word filter into the image that
// functions load, checks it, and explains what it finds in a text.
//
//	go run ./scripts/rulec compile RULES.json [-o IMAGE]
//	go run ./scripts/rulec explain [-rules RULES.json] TEXT
//
// Each command explains itself with -h.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/version"
)

// command is one thing that rulec does. Its run gets the arguments after the
// command's name.
type command struct {
	name, usage, about string
	run                func(t *tool, args []string) error
}

var commands = []command{
	{"compile", "compile RULES.json [-o IMAGE]", "check a rule set, show what is in it, write its image", compileRules},
	{"explain", "explain [-rules RULES.json] TEXT", "show why a text is hit", explain},
}

// tool is what commands work with.
type tool struct {
	command
	out, errs io.Writer
}

// errUsage: the command line is wrong, and it was said how.
var errUsage = errors.New("usage")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the status to exit with: 2 for a wrong command line.
func run(args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		help(errs)
		return 2
	}
	if slices.Contains([]string{"-h", "--help", "help"}, args[0]) {
		help(out)
		return 0
	}
	if args[0] == "-version" || args[0] == "--version" {
		fmt.Fprintln(out, "rulec", version.Version)
		return 0
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(errs, "rulec: there is no command %q\n\n", args[0])
		help(errs)
		return 2
	}
	switch err := commands[i].run(&tool{commands[i], out, errs}, args[1:]); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	default:
		fmt.Fprintf(errs, "rulec %s: %v\n", commands[i].name, err)
		return 1
	}
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: go run ./scripts/rulec COMMAND [flags] [arguments]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-36s %s\n", c.usage, c.about)
	}
	fmt.Fprint(w, "\nrulec COMMAND -h says more.\n")
}

// parse reads the flags that declare makes, before and behind the one argument
// that each command has, and returns that.
func (t *tool) parse(args []string, more string, declare func(*flag.FlagSet)) (string, error) {
	f := flag.NewFlagSet("rulec "+t.name, flag.ContinueOnError)
	f.SetOutput(t.errs)
	f.Usage = func() {
		fmt.Fprintf(t.errs, "usage: rulec %s\n\n%s\n\n", t.usage, strings.TrimSpace(more))
		f.PrintDefaults()
	}
	declare(f)
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return "", err
			}
			return "", errUsage // the flag set has said what is wrong
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) != 1 {
		fmt.Fprintf(t.errs, "rulec %s: %d arguments given\nusage: rulec %s\n", t.name, len(rest), t.usage)
		return "", errUsage
	}
	return rest[0], nil
}
