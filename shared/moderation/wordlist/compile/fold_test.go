package compile

import (
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"A": "a", "Ｆ": "f", "é": "e", "ﬁ": "fi", "ß": "ss", "ſ": "s", "K": "k", "İ": "i",
		"с": "c", "Η": "h", "ν": "v", "𝖋": "f", "Ⓐ": "a", "🅰": "a", "🅐": "a", "🇯": "j", "ʰ": "h", "Ѐ": "e",
		"賭": "赌", "場": "场", "売": "卖", "後": "后", "豈": "岂",
		"カ": "か", "ｶ": "か", "ガ": "が", "ッ": "つ", "ヵ": "か", "ー": "ー", "ｰ": "ー", "ﾊ": "は", "ㇱ": "し",
		"㌔": "きろ", "㈱": "株", "㈥": "六", "①": "1", "⑩": "10", "❶": "1", "٣": "3", "𝟗": "9", "⒈": "1", "…": "...", "Ⅳ": "iv",
		"\u200b": "", "\u202e": "", "\u0301": "", "\ufe0f": "", "\u3099": "゛", "ﾟ": "゛", "\U000e0061": "", "\x00": "", "\u00ad": "",
		"、": "、", "！": "!", "＠": "@", "゛": "゛", "가": "가", "각": "각", "่": "่",
	} {
		r, _ := utf8.DecodeRuneInString(in)
		if got := string(fold(r)); got != want {
			t.Errorf("%q folds to %q, want %q", in, got, want)
		}
	}
}

// TestFoldIsStable: what is folded folds to itself, or the same word written
// twice would be two words.
func TestFoldIsStable(t *testing.T) {
	for r := range rune(0x20000) {
		for _, once := range fold(r) {
			if twice := fold(once); len(twice) != 1 || twice[0] != once {
				t.Errorf("%U folds to %U, which folds to %U", r, once, twice)
			}
		}
	}
}
