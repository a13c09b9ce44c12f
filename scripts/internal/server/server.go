// Package server is the common part of commands that serve: shutdown, exit status and
// errors of the command line.
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/backchannel-im/backchannel/shared/version"
)

// Main runs a command until it ends or is interrupted, or prints its version on
// -version. It exits with 2 after a wrong command line, and with 1 after another error.
func Main(name string, run func(ctx context.Context, args []string, out, errs io.Writer) error) {
	if len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Printf("%s %s\n", name, version.Version)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if code := explain(os.Stderr, name, err); code != 0 {
		os.Exit(code)
	}
}

// explain says what is wrong and returns the exit status.
func explain(errs io.Writer, name string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	usage, is := errors.AsType[*usageError](err)
	if !is || !usage.said {
		fmt.Fprintf(errs, "%s: %v\n", name, err)
	}
	if is {
		return 2
	}
	return 1
}

type usageError struct {
	text string
	said bool // by the flag set
}

func (e *usageError) Error() string { return e.text }

// Usage returns an error of the command line.
func Usage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...) + "; -h shows the flags"}
}

// Parse parses a command line that has only flags.
func Parse(flags *flag.FlagSet, args []string) error {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return &usageError{err.Error(), true}
	case flags.NArg() > 0:
		return Usage("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// Listen listens at the address that a flag names.
func Listen(addr, flag string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, Usage("%s %q: use HOST:PORT, such as 127.0.0.1:8080, or port 0 for any free one", flag, addr)
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program listens on %s; is it running already? %s takes another address", addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, addr, err)
	}
	return l, nil
}
