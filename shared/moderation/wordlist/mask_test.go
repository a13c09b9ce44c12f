package wordlist_test

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

func TestMasks(t *testing.T) {
	list := corpus(t)
	for _, m := range readLines[struct{ Text, Want string }](t, "masks.jsonl") {
		if got, err := list.Mask(t.Context(), m.Text, func(wordlist.Hit) bool { return true }); err != nil || got != m.Want {
			t.Errorf("%q is masked to %q, want %q", m.Text, got, m.Want)
		}
	}
}

// TestMaskOnlyWhatIsWanted: the rest of a text stays as it was written.
func TestMaskOnlyWhatIsWanted(t *testing.T) {
	list := corpus(t)
	text := "Ｆｕｃｋ that casino, ﬁne"
	got, err := list.Mask(t.Context(), text, func(h wordlist.Hit) bool { return h.Word.Action == wordlist.Mask })
	if want := "**** that casino, ﬁne"; err != nil || got != want {
		t.Errorf("%q is masked to %q, want %q", text, got, want)
	}
}

// TestMaskLooksAgain: stars are signs, and signs may stand within a word.
func TestMaskLooksAgain(t *testing.T) {
	list := corpus(t)
	const want = "******** you"
	if got, err := list.Mask(t.Context(), "fufuckck you", func(wordlist.Hit) bool { return true }); err != nil || got != want {
		t.Errorf("masked to %q, want %q", got, want)
	}
}
