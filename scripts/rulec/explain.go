package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

const explainHelp = `
Shows how a text is read and which words are hit, where and why, and which hits
an allowed phrase lifts. Without -rules it uses the built-in rule set.`

func explain(t *tool, args []string) error {
	var rules *string
	text, err := t.parse(args, explainHelp, func(f *flag.FlagSet) {
		rules = f.String("rules", "", "take the rule set in this `file`")
	})
	if err != nil {
		return err
	}
	set := compile.Default()
	if *rules != "" {
		if set, err = load(*rules); err != nil {
			return err
		}
	}
	list, err := open(set)
	if err != nil {
		return err
	}
	set.Allow = nil
	strict, err := open(set)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "rule set %q reads %q as %q\n", list.Version(), text, compile.Fold(text))
	hits, err := list.Find(context.Background(), nil, text)
	if err != nil {
		return err
	}
	all, err := strict.Find(context.Background(), nil, text)
	if err != nil {
		return err
	}
	for _, h := range all {
		what := "hit"
		if !slices.Contains(hits, h) {
			what = "allowed by a phrase"
		}
		t.show(what, text, h)
	}
	if len(all) == 0 {
		fmt.Fprintln(t.out, "no hit")
	}
	return nil
}

func open(set *compile.RuleSet) (*wordlist.List, error) {
	image, err := compile.Compile(set)
	if err != nil {
		return nil, err
	}
	return wordlist.Open(string(image))
}

func (t *tool) show(what, text string, h wordlist.Hit) {
	written := text[h.Start:h.End]
	fmt.Fprintf(t.out, "%s: bytes %d to %d, %q", what, h.Start, h.End, written)
	if written != h.Word.Text {
		fmt.Fprintf(t.out, " (read as %q)", compile.Fold(written))
	}
	fmt.Fprintf(t.out, ", is the word %q: %s, severity %d, %s\n", h.Word.Text, h.Word.Category, h.Word.Severity, h.Word.Action)
}
