package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

const compileHelp = `
Checks a rule set, prints its contents and probable mistakes, and with -o writes
the image. A rule set is JSON:

  {"version": "any text",
   "words": [{"text": "casino", "category": "gambling", "severity": 2,
              "action": "reject"}, ...],
   "allow": ["harmless phrases that contain a word", ...],
   "scopes": {"type:AVChatRoom": {"gambling": "drop", "*": "mask"}}}

Actions are reject (the default), drop, mask, review and shadow; severity is 1
to 5. A word may have more:

  "word": true      no letter of the same script may be adjacent; the default for
                    edges of an alphabet and digits ("word": false: anywhere)
  "exact": true     only as it is written here
  "numerals": true  6, 六 and 陆 are the same
  "inflect": true   with -s, -es, -ies, -y, -ed, -ing and -selves at its end; the
                    default for words that end in five letters of English or more
  "urls": true      in URLs and e-mail addresses too, percent-encoded or not
  "note": "..."     for readers of the file

A word of Han or kana is no hit where ordinary words overlap its edges. The
dictionaries for that are in a Go module, so rulec needs the go command and this
repository.

Scopes are c2c, type:GROUPTYPE, room:GROUPID and topic:TOPICID, and may also
allow.`

func compileRules(t *tool, args []string) error {
	var target *string
	source, err := t.parse(args, compileHelp, func(f *flag.FlagSet) {
		target = f.String("o", "", "write the image to this `file`")
	})
	if err != nil {
		return err
	}
	set, err := load(source)
	if err != nil {
		return err
	}
	image, err := compile.Compile(set)
	if err != nil {
		return err
	}
	conflicts, err := compile.Conflicts(set)
	if err != nil {
		return err
	}
	t.statistics(set, len(image))
	for _, c := range conflicts {
		fmt.Fprintf(t.out, "look at: %s\n", c)
	}
	if *target == "" {
		return nil
	}
	if err := os.WriteFile(*target, image, 0o644); err != nil {
		return err
	}
	// What names the image where it is fetched from, behind its URL.
	fmt.Fprintf(t.out, "%s written: #sha256=%x\n", *target, sha256.Sum256(image))
	return nil
}

func load(name string) (*compile.RuleSet, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	set, err := compile.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// statistics prints how many words there are, by category and action.
func (t *tool) statistics(set *compile.RuleSet, size int) {
	fmt.Fprintf(t.out, "version %q: %d words, %d allowed phrases, %d scopes; the image has %d bytes\n",
		set.Version, len(set.Words), len(set.Allow), len(set.Scopes), size)
	counts := map[string]map[string]int{}
	for _, r := range set.Words {
		if counts[r.Category] == nil {
			counts[r.Category] = map[string]int{}
		}
		counts[r.Category][string(r.Action)]++
	}
	for _, category := range slices.Sorted(maps.Keys(counts)) {
		var parts []string
		for _, action := range slices.Sorted(maps.Keys(counts[category])) {
			parts = append(parts, fmt.Sprintf("%d %s", counts[category][action], action))
		}
		if category == "" {
			category = "(no category)"
		}
		fmt.Fprintf(t.out, "  %-16s %s\n", category, strings.Join(parts, ", "))
	}
}
