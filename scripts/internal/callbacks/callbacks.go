// Package callbacks lists the callbacks of IM for which a feature's rules are
// registered, for operators who enable callbacks in IM's console.
package callbacks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

// Heading is the section of a function's README that names callbacks.
const Heading = "## Callbacks to enable in the console"

// Wanted is a feature with its rules.
type Wanted struct {
	Feature wiring.Feature
	Rules   *callback.Mux
}

// All opens every feature with these settings, over temporary files, and returns the
// features with callbacks. It makes no request.
func All(ctx context.Context, values map[string]string) (all []Wanted, err error) {
	dir, err := os.MkdirTemp("", "callbacks")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	q, err := boltqueue.Open(filepath.Join(dir, "jobs"), boltqueue.Options{})
	if err != nil {
		return nil, err
	}
	defer q.Close()
	for _, f := range features.All() {
		set := config.NewReader(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
		rules, err := wiring.Rules(ctx, f, set, &wiring.House{Store: store, Jobs: queue.NewLedger(store, q, nil)})
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		case f.Callbacks != (len(rules.Commands()) > 0):
			return nil, fmt.Errorf("%s wants the callbacks %q with all of its settings, and its Feature says %v", f.Name, rules.Commands(), f.Callbacks)
		case f.Callbacks:
			all = append(all, Wanted{f, rules})
		}
	}
	return all, nil
}

// Title is a callback's name in IM's console, "" for one without.
func Title(command string) string { return titles[command] }

// Table returns the table of a function's README: the callbacks of its feature with the
// rules registered for each, or, for programs with all features, the functions. The
// table is "" for a function without callbacks.
func Table(function string, all []Wanted) (string, error) {
	var b strings.Builder
	wanted := all
	column := "rules"
	switch function {
	case "bundle", "callback-router":
		column = "for"
	default:
		wanted = slices.DeleteFunc(slices.Clone(all), func(w Wanted) bool { return w.Feature.Function != function })
	}
	if len(wanted) == 0 {
		return "", nil
	}
	fmt.Fprintf(&b, "| callback | command | %s |\n|---|---|---|\n", column)
	var commands []string
	for _, w := range wanted {
		commands = append(commands, w.Rules.Commands()...)
	}
	slices.Sort(commands)
	for _, command := range slices.Compact(commands) {
		title, known := titles[command]
		if !known {
			return "", fmt.Errorf("%s has no title in scripts/internal/callbacks", command)
		}
		var by []string
		for _, w := range wanted {
			rules := w.Rules.RulesFor(command)
			if column == "for" && len(rules) > 0 {
				rules = []string{fmt.Sprintf("[%s](../%s)", w.Feature.Function, w.Feature.Function)}
			}
			by = append(by, rules...)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", title, command, strings.Join(by, ", "))
	}
	return b.String(), nil
}
