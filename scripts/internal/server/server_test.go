package server

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

// TestWrongCommandLines: each says what is wrong and what to do, and ends with 2.
func TestWrongCommandLines(t *testing.T) {
	flags := func() *flag.FlagSet {
		f := flag.NewFlagSet("x", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		return f
	}
	l, err := Listen("127.0.0.1:0", "-addr")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, nonsense := Listen("nonsense", "-addr")
	_, taken := Listen(l.Addr().String(), "-addr")
	for _, tt := range []struct {
		name, says string
		err        error
		code       int
	}{
		{"nothing", "", nil, 0},
		{"help", "", Parse(flags(), []string{"-h"}), 0},
		{"an unknown flag", "", Parse(flags(), []string{"-nonsense"}), 2}, // the flag set says it
		{"an argument", `x: unexpected argument "serve"; -h shows the flags`, Parse(flags(), []string{"serve"}), 2},
		{"no address", `x: -addr "nonsense": use HOST:PORT`, nonsense, 2},
		{"a taken address", "another program listens on", taken, 1},
		{"trouble", "x: the disk is full", errors.New("the disk is full"), 1},
	} {
		var said strings.Builder
		if code := explain(&said, "x", tt.err); code != tt.code || !strings.Contains(said.String(), tt.says) || tt.says == "" && said.Len() > 0 {
			t.Errorf("%s: exit %d and %q, want %d and %q", tt.name, code, said.String(), tt.code, tt.says)
		}
	}
}
