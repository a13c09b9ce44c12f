// Command imctl is the operator's and developer's tool: it checks and makes
// deployments, sends callbacks as IM would, records and replays them, imports users,
// creates chatbots, lists and redrives jobs, activates rule sets, sends mail to
// players, and verifies lotteries.
//
//	go run ./scripts/imctl COMMAND [flags] [arguments]
//
// Each command explains itself with -h. Without flags the commands call scripts/dev,
// with its published values; for other deployments name the URL and give secrets in
// the environment, not in flags, which other users of the machine can see.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/backchannel-im/backchannel/shared/version"
)

// command is one thing that imctl does. Its run gets the arguments after the
// command's name.
type command struct {
	name, usage, about string
	run                func(ctx context.Context, t *tool, args []string) error
}

var commands = []command{
	{"doctor", "doctor [-url URL] [-env FILE] [-json]", "check a deployment: name each fault and how to fix it", runDoctor},
	{"deploy", "deploy tencent plan|apply|diff|rollback|prune [-file FILE] [-env FILE]", "deploy a serverless.yml to Tencent SCF", deploy},
	{"trigger", "trigger COMMAND [-set path=value]... [-n N]", "send a correctly signed callback", trigger},
	{"record", "record FILE -to URL", "forward callbacks and record them in a file, without secrets", record},
	{"replay", "replay FILE [-filter PATTERN] [-speed N]", "send recorded callbacks again, with new signatures", replay},
	{"accounts", "accounts import FILE", "import users into the app", accounts},
	{"bot", "bot ensure ROBOT [-nick NICK] [-face URL] [-about TEXT]", "create or update a chatbot's account", bot},
	{"jobs", "jobs [show ID | redrive ID... | drop ID...]", "list jobs; redrive or drop dead ones", jobs},
	{"webhooks", "webhooks [-url URL] [-callback-url URL] [-all]", "print the checklist of callbacks for IM's console", webhooks},
	{"user", "user export|erase USERID [-yes]", "export or delete the stored records of a user", user},
	{"knowledge", "knowledge [compile DIR -o FILE | stage URL | promote | rollback]", "compile pages for chatbots, and activate them", knowledgeOf},
	{"rules", "rules [stage URL | promote | rollback]", "activate rule sets of the word filter", rules},
	{"zendesk", "zendesk install|status|remove|app [-zendesk URL] -url URL [-yes]", "set up Zendesk's webhooks and trigger, and write its app", runZendesk},
	{"mail", "mail send|plan|status|pause|resume|cancel [flags] [ID]", "send mail to players, with a progress bar", runMail},
	{"lottery", "lottery verify FILE", "recompute the draw of a live room's lottery from public data", verifyLottery},
}

// tool is the environment of a command.
type tool struct {
	command
	out, errs io.Writer
	getenv    func(string) string
}

// errUsage: the command line is wrong, and it was said how.
var errUsage = errors.New("usage")

// misuse is an error of the command line that says what is wrong and what to do.
type misuse string

func (m misuse) Error() string { return string(m) }

// refused is the advice where nothing listens at a URL.
const refused = "nothing listens there: start go run ./scripts/dev, or give the address of the deployment (-url) or of IM (-domain)"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// run returns the status to exit with: 2 for a wrong command line.
func run(ctx context.Context, args []string, out, errs io.Writer, getenv func(string) string) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		help(out)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	if args[0] == "-version" || args[0] == "--version" || args[0] == "version" {
		fmt.Fprintln(out, "imctl", version.Version)
		return 0
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, &tool{c, out, errs, getenv}, args[1:])
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return 2
		}
		fmt.Fprintf(errs, "imctl %s: %v\n", c.name, err)
		if _, is := errors.AsType[misuse](err); is {
			fmt.Fprintf(errs, "usage: imctl %s\n", c.usage)
			return 2
		}
		if errors.Is(err, syscall.ECONNREFUSED) && c.name != "deploy" { // whose -endpoint is another's
			fmt.Fprintln(errs, refused)
		}
		return 1
	}
	fmt.Fprintf(errs, "imctl: there is no command %q\n\n", args[0])
	help(errs)
	return 2
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: go run ./scripts/imctl COMMAND [flags] [arguments]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-52s %s\n", c.usage, c.about)
	}
	fmt.Fprint(w, "\nimctl COMMAND -h says more, imctl -version the version.\n")
}

// flags returns the command's flag set, which explains the command with -h.
func (t *tool) flags(more string) *flag.FlagSet {
	f := flag.NewFlagSet("imctl "+t.name, flag.ContinueOnError)
	f.SetOutput(t.errs)
	f.Usage = func() {
		fmt.Fprintf(t.errs, "usage: imctl %s\n\n%s\n\n", t.usage, strings.TrimSpace(more))
		f.PrintDefaults()
	}
	return f
}

// parse reads flags that may stand before, between and after the arguments. It
// returns the arguments, least to most of them; -1 is any number.
func (t *tool) parse(f *flag.FlagSet, args []string, least, most int) ([]string, error) {
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage // the flag set has said what is wrong
		}
		if f.NArg() == 0 {
			break
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	if len(rest) < least || most >= 0 && len(rest) > most {
		fault := "missing argument"
		if len(rest) >= least {
			fault = fmt.Sprintf("unexpected argument %q", rest[most])
		}
		fmt.Fprintf(t.errs, "imctl %s: %s\nusage: imctl %s\n", t.name, fault, t.usage)
		return nil, errUsage
	}
	return rest, nil
}
