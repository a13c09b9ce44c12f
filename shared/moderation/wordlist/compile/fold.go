package compile

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/internal/image"
)

// hanVariants holds one simplified character a line, followed by those written
// for it elsewhere. Its head says where they come from.
//
//go:embed han.txt
var hanVariants string

// lookalikes are letters of other alphabets that pass for Latin ones, which
// stand before the colon. Where capital and small letter look differently, each
// is taken for what it looks like.
const lookalikes = `a:аАɑαΑᴀᎪꓮ b:вВΒʙƀᏴꓐᛒ c:сСϲᴄᏟꓚⲥⲤ d:ԁԀᴅđĐꓓᎠɗ e:еЕɛεΕᴇᎬꓰєЄ f:ꜰƒꓝϝ
g:ɡɢԍԌցꓖᏀ h:нНһҺΗʜհħĦᎻꓧ i:іІıιΙɪӀꓲɩ j:јЈᴊϳᎫꓙ k:кКκΚᴋᏦꓗ l:ӏʟłŁᏞꓡⳑ m:мМΜᴍᎷꓟ
n:ոΝɴηꓠո o:оОοΟᴏօՕσøØⲟⲞꓳ p:рРρΡᴘᏢꓑ q:ԛԚգզ r:ʀᏒꓣг s:ѕЅꜱՏᏚꓢ t:тТτΤᴛŧŦᎢꓔ u:սՍυᴜꓴʋ
v:ѵѴνᴠᏙꓦ w:ԝԜωᴡᏔꓪѡ x:хХχΧꓫ y:уУΥʏүҮꓬγ z:ΖᴢᏃꓜ`

// smallKana are written small and read with their neighbour; here they count as
// their large form, which follows each.
const smallKana = "ぁあぃいぅうぇえぉおっつゃやゅゆょよゎわゕかゖけ"

// voiceable are the kana that take dakuten, below the same with it; the last
// five take handakuten too.
const (
	voiceable  = "うかきくけこさしすせそたちつてとはひふへほ"
	voiced     = "ゔがぎぐげござじずぜぞだぢづでどばびぶべぼ"
	semiVoiced = "ぱぴぷぺぽ"
)

// folding is the table of single characters.
var folding = sync.OnceValue(func() map[rune]rune {
	to := map[rune]rune{}
	for line := range strings.Lines(hanVariants) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		simple, n := utf8.DecodeRuneInString(line)
		for _, variant := range strings.TrimSpace(line[n:]) {
			to[variant] = simple
		}
	}
	for field := range strings.FieldsSeq(lookalikes) {
		for _, r := range field[2:] {
			to[r] = rune(field[0])
		}
	}
	small := []rune(smallKana)
	for i := 0; i < len(small); i += 2 {
		to[small[i]] = small[i+1]
	}
	for i, r := range []rune("くしすとぬはひふへほむらりるれろ") {
		to['ㇰ'+rune(i)] = r
	}
	for i := range rune(26) {
		to['🇦'+i] = 'a' + i // regional indicators
		to['🅐'+i] = 'a' + i
		to['🅰'+i] = 'a' + i
	}
	for i := range rune(9) {
		to['❶'+i], to['➀'+i], to['➊'+i], to['⓵'+i] = '1'+i, '1'+i, '1'+i, '1'+i
	}
	to['⓿'], to['🄋'], to['🄌'] = '0', '0', '0'
	return to
})

// fold returns what is matched for a character: nothing for one that cannot be
// seen, otherwise letters in their plainest form, or the sign itself.
func fold(r rune) []rune {
	switch {
	case strings.ContainsRune(voicingMarks, r):
		return []rune{mark}
	case isInvisible(r):
		return nil
	case r < utf8.RuneSelf:
		return []rune{unicode.ToLower(r)}
	}
	var out []rune
	if to, ok := folding()[r]; ok {
		out = []rune{to}
	} else {
		for _, c := range norm.NFKC.String(string(r)) {
			out = append(out, foldComposed(c)...)
		}
	}
	// (株), 1. and the like: the letters are what counts.
	if len(out) > 1 {
		bare := trimSigns(out)
		if len(bare) > 0 {
			out = bare
		}
	}
	return out
}

// foldComposed folds a character that NFKC leaves alone.
func foldComposed(c rune) []rune {
	var out []rune
	if isInvisible(c) {
		return nil
	}
	if unicode.In(c, unicode.Hiragana, unicode.Katakana, unicode.Hangul) {
		return append(out, plain(c))
	}
	for _, d := range norm.NFKD.String(string(c)) {
		switch {
		case isInvisible(d):
		case d == 'ß', d == 'ẞ':
			out = append(out, 's', 's')
		case d == 'æ', d == 'Æ':
			out = append(out, 'a', 'e')
		case d == 'œ', d == 'Œ':
			out = append(out, 'o', 'e')
		default:
			out = append(out, plain(d))
		}
	}
	return out
}

// plain folds letter case, alphabets, digits, kana and variants of Han.
func plain(r rune) rune {
	if to, ok := folding()[r]; ok {
		return to
	}
	if unicode.Is(unicode.Nd, r) {
		return '0' + digitOf(r)
	}
	if 'ァ' <= r && r <= 'ヶ' {
		r -= 'ァ' - 'ぁ'
	}
	r = unicode.ToLower(unicode.ToUpper(r))
	if to, ok := folding()[r]; ok {
		return to
	}
	return r
}

// digitOf returns the value of a decimal digit; Unicode keeps the ten of a
// script in a row.
func digitOf(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	return 0
}

func trimSigns(s []rune) []rune {
	for len(s) > 0 && !isLetter(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && !isLetter(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isLetter(r rune) bool { return unicode.In(r, unicode.L, unicode.Nd, unicode.Mc, unicode.Mn) }

// isInvisible: zero-width and bidi controls, fillers, and marks that only
// decorate a letter. Vowel signs of Indic and Thai letters do not.
func isInvisible(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r < ' ' && !unicode.IsSpace(r) || r == 0x7f
	case r == 'ᅟ', r == 'ᅠ', r == 'ㅤ', r == 'ﾠ': // fillers of Hangul
		return true
	case r == 'ـ', r == 'ߺ', r == '᠊': // only make a word longer: Arabic, N'Ko, Mongolian
		return true
	case unicode.In(r, unicode.Cf, unicode.Me, unicode.Variation_Selector):
		return true
	case unicode.Is(unicode.Cc, r):
		return !unicode.IsSpace(r)
	}
	return unicode.Is(unicode.Mn, r) && unicode.In(r, unicode.Inherited, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic)
}

// voicingMarks belong to the kana before them, or to nothing; they fold to mark.
const (
	voicingMarks = "゛゜ﾞﾟ\u3099\u309a"
	mark         = '゛'
)

const blankBraille = '⠀'

// signOf returns the code of a folded character that is no letter, None for
// letters and what nobody knows.
func signOf(r rune) uint16 {
	switch {
	case r == utf8.RuneError:
		return image.None
	case r == '.':
		return image.Dot
	case unicode.IsSpace(r), unicode.Is(unicode.Z, r), r == blankBraille:
		return image.Space
	case r == '。':
		return image.Period
	case strings.ContainsRune(`,;:!?'"、！？；：，`, r), unicode.In(r, unicode.Pi, unicode.Pf, unicode.Ps, unicode.Pe):
		return image.Stop
	case unicode.In(r, unicode.P, unicode.S, unicode.Co), 0x1F000 <= r && r <= 0x1FBFF && !isLetter(r):
		return image.Joint
	}
	return image.None
}

// groupOf sorts the letters.
func groupOf(r rune) uint8 {
	switch {
	case '0' <= r && r <= '9':
		return image.Numeral
	case unicode.Is(unicode.Han, r):
		return image.Han
	case unicode.In(r, unicode.Hiragana, unicode.Katakana), r == 'ー':
		return image.KanaGroup
	case unicode.In(r, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Yi, unicode.Bopomofo):
		return image.Other
	case unicode.IsLetter(r), unicode.In(r, unicode.Mc, unicode.Mn):
		return image.Alpha
	}
	return image.Other
}

// special returns the code of a folded character that has one in every image.
func special(r rune) (code uint16, ok bool) {
	switch {
	case '0' <= r && r <= '9':
		return image.Digit + uint16(r-'0'), true
	case r == mark:
		return image.Mark, true
	case r == '@':
		return image.At, true
	case r == '$':
		return image.Dollar, true
	case r == '!':
		return image.Bang, true
	case r == '|':
		return image.Bar, true
	}
	if i := strings.IndexRune(voiceable, r); i >= 0 {
		return image.FirstKana + uint16(i/3), true
	}
	return 0, false
}
