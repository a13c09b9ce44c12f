package compile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// Fold returns the form in which a text is matched: without invisible characters, all
// others in their plainest form.
func Fold(text string) string {
	var b strings.Builder
	for _, r := range compose(text) {
		for _, f := range fold(r) {
			if f != mark {
				b.WriteRune(f)
			}
		}
	}
	return b.String()
}

// Conflicts returns probable mistakes in a rule set, one sentence each: words that are
// equal after folding, words that can never be hit, allowed phrases without effect,
// words of one letter.
func Conflicts(set *RuleSet) ([]string, error) {
	list, err := open(set)
	if err != nil {
		return nil, err
	}
	bare := *set
	bare.Allow = nil
	strict, err := open(&bare)
	if err != nil {
		return nil, err
	}
	var out []string
	first := map[string]int{}
	for i, r := range set.Words {
		key := fmt.Sprint(letterString(r.Text), r.Word == nil, r.Word != nil && *r.Word, r.Exact, r.URLs)
		if j, ok := first[key]; ok {
			out = append(out, fmt.Sprintf("word %d %q repeats word %d %q", i+1, r.Text, j+1, set.Words[j].Text))
			continue
		}
		first[key] = i
		is := func(h wordlist.Hit) bool { return h.Word.Text == r.Text }
		switch {
		case len(lettersOf(r.Text)) == 1:
			out = append(out, fmt.Sprintf("word %d %q is a single letter", i+1, r.Text))
		case slices.ContainsFunc(find(list, r.Text), is):
		case slices.ContainsFunc(find(strict, r.Text), is):
			out = append(out, fmt.Sprintf("word %d %q is allowed by a phrase as it stands", i+1, r.Text))
		default:
			out = append(out, fmt.Sprintf("word %d %q is not hit as it stands; does it need \"urls\"?", i+1, r.Text))
		}
	}
	for i, text := range set.Allow {
		if len(find(strict, text)) == 0 {
			out = append(out, fmt.Sprintf("allowed phrase %d %q has no word in it", i+1, text))
		}
	}
	return out, nil
}

func open(set *RuleSet) (*wordlist.List, error) {
	data, err := Compile(set)
	if err != nil {
		return nil, err
	}
	return wordlist.Open(string(data))
}

// letterString returns the letters of a text alone.
func letterString(text string) string {
	var b strings.Builder
	for _, l := range lettersOf(text) {
		b.WriteRune(l.r)
	}
	return b.String()
}

// find returns the hits in a word or a phrase, which is too short to cost too
// much.
func find(list *wordlist.List, text string) []wordlist.Hit {
	hits, _ := list.Find(context.Background(), nil, text)
	return hits
}
