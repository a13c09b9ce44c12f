package bot_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/bot"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		text  string
		bytes int
		want  []string
	}{
		{"", 16, nil},
		{" \n\t", 16, nil},
		{"short", 16, []string{"short"}},
		{"First one. Second one. Third one.", 24, []string{"First one. Second one.", "Third one."}},
		{"one two three four five six", 16, []string{"one two three", "four five six"}},
		{"A paragraph of text.\n\nAnother. And more.", 30, []string{"A paragraph of text.", "Another. And more."}},
		{"第一句话。第二句话。第三句话。", 32, []string{"第一句话。第二句话。", "第三句话。"}},
		{"没有标点的一段话没有标点的一段话", 20, []string{"没有标点的一", "段话没有标点", "的一段话"}},
		{strings.Repeat("x", 40), 16, []string{strings.Repeat("x", 16), strings.Repeat("x", 16), strings.Repeat("x", 8)}},
		{"version 1.5 is out! Get it", 22, []string{"version 1.5 is out!", "Get it"}},
		{"a\x00b\x1bc\ufffdd", 16, []string{"abcd"}},
	} {
		if got := bot.Split(tt.text, tt.bytes); strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%q:\n%q, want\n%q", tt.text, got, tt.want)
		}
	}
	long := bot.Split(strings.Repeat("a sentence of some words. ", 100), 100)
	if last := long[len(long)-1]; len(long) != bot.MaxParts || !strings.HasSuffix(last, "…") || len(last) > 100 {
		t.Errorf("%d parts, the last %q", len(long), last)
	}
}

// FuzzSplit: every part is text of the size that was asked for, and together they
// are what was said, but for blanks where it was cut.
func FuzzSplit(f *testing.F) {
	f.Add("First. Second! 第三。", 16)
	f.Add(strings.Repeat("字", 50), 17)
	f.Add("a\x80\xffb", 16)
	f.Fuzz(func(t *testing.T, text string, bytes int) {
		if bytes < 16 || bytes > 1000 {
			return
		}
		parts := bot.Split(text, bytes)
		var together strings.Builder
		for _, p := range parts {
			if p == "" || len(p) > bytes || !utf8.ValidString(p) {
				t.Fatalf("%q has the part %q of %d bytes", text, p, len(p))
			}
			together.WriteString(p)
		}
		if len(parts) == bot.MaxParts {
			return
		}
		bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if got, want := bare(together.String()), bare(strings.Join(bot.Split(text, 1<<20), "")); got != want {
			t.Fatalf("%q came apart as %q", want, got)
		}
	})
}

func TestTokens(t *testing.T) {
	for text, want := range map[string]int{"": 4, "hello": 6, "你好世界": 8, "こんにちは": 9, "hello 你好": 8} {
		if got := bot.Tokens(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
