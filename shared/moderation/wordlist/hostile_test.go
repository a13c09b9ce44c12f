package wordlist_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// hostileTexts returns texts of a size in bytes that are made to cost time: words
// and their halves again and again, leet from end to end, near misses, signs that
// a word may have between its letters, addresses, marks and what cannot be seen.
func hostileTexts(size int) map[string]string {
	out := map[string]string{}
	add := func(part string) {
		text := strings.Repeat(part, size/len(part)+1)[:size]
		out[fmt.Sprintf("%.24q", part)] = strings.ToValidUTF8(text, "")
	}
	for _, part := range []string{
		"sh1", "b1", "1i", "1l|!", "a$", "b1t", "s4s5", "@", "a@", "1", "12345678 ", "1234567890", "0o", "e3e3x", "deadbeef0123", "!i",
		"fuck", "fuck ", "f u c k ", "fu ck ", "sh it ", "sh, i, t, ", "f!u!c!k!", "fu", "ffffuuuu", "s h i t s", "shit1", "ca si no ",
		"赌", "赌场", "赌 ", "赌,场", "赌。场 ", "主办证", "办证主", "他妈", "印刷单位", "一夜情况", "六合", "6合", "かかかか゛", "か゛", "ﾊﾞ", "死ね ", "カジ", "カジノキ",
		"\u200b", "か\u200b\u3099", "1\u200b\u200b\u200b\u200b", "a\u0301", "f\u0301u\u0301c\u0301", "㌀", "㍿1", "ﬁ1", "\xff", "\xe4\xbd",
		"http://a.b/shit/", "www.shit", "a@b.co,shit@", "shit.", "@shit@", "x@y.zz", "%66", "%66uck", "https://", "。", "....... ", "a......b",
		"k1ll yours3lf ", "kill yourself", "kill yourself kill ", "motherfucke", "m0th3rfuck3", "buy follower", "online bettin", "アホ", "アホ\u3000",
	} {
		add(part)
	}
	random := rand.New(rand.NewPCG(11, 24))
	pick := func(n int, from ...string) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(from[random.IntN(len(from))])
		}
		return b.String()
	}
	out["leet at random"] = pick(size, "s", "h", "1", "i", "t", "$", "!", "b", "c", "u", "n", "|", "@", "4", "3", "0")[:size]
	out["gaps at random"] = pick(size, "s", "h", "i", "t", " ", ".", "-", "f", "u", "c", "k")[:size]
	out["words at random"] = strings.ToValidUTF8(pick(size, "fuck", "sh1t", "主办证", "赌场", " ", "b i t c h", "か゛", "www.")[:size], "")
	out["base64 at random"] = pick(size, strings.Split("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "")...)[:size]
	return out
}

// slack is what may be costly once in a text: a long word, or a long address.
const slack = 12_000

// TestCostIsLinear: four times a text takes four times the steps, even if the
// text may take as many as it likes.
func TestCostIsLinear(t *testing.T) {
	for name, list := range map[string]*wordlist.List{"corpus": corpus(t), "default": wordlist.Default()} {
		long := hostileTexts(32_000)
		for kind, text := range hostileTexts(8_000) {
			once, _ := wordlist.Steps(list, text)
			fourfold, _ := wordlist.Steps(list, long[kind])
			if fourfold > 5*once+slack {
				t.Errorf("%s, %s: %d steps in 8 KB, %d in 32 KB", name, kind, once, fourfold)
			}
		}
	}
}

// FuzzCostIsLinear: the same of anything that is repeated.
func FuzzCostIsLinear(f *testing.F) {
	for _, text := range []string{"sh1", "f u c k ", "主办证", "か\u200b゛", "a@b.co,", "1\u200b"} {
		f.Add("", text, "")
		f.Add(text, "1i", text)
	}
	f.Fuzz(func(t *testing.T, before, part, after string) {
		if part == "" || len(before)+len(part)+len(after) > 100 {
			return
		}
		list := corpus(t)
		of := func(size int) (steps int) {
			steps, _ = wordlist.Steps(list, before+strings.Repeat(part, size/len(part))+after)
			return steps
		}
		if once, fourfold := of(4000), of(16_000); fourfold > 5*once+slack {
			t.Fatalf("%q: %d steps in 4 KB, %d in 16 KB", part, once, fourfold)
		}
	})
}

// TestTooCostly: a text of near misses and disguises from end to end is not read
// to its end, and neither are others' time and words lost over it.
func TestTooCostly(t *testing.T) {
	list := wordlist.Default()
	text := "赌场 " + strings.Repeat("k1ll yours3lf ", 1000)
	hits, err := list.Find(t.Context(), nil, text)
	if !errors.Is(err, wordlist.ErrTooCostly) || len(hits) == 0 || hits[0].Word.Text != "赌场" {
		t.Errorf("%d hits, %v", len(hits), err)
	}
	if _, err := list.Mask(t.Context(), text, func(wordlist.Hit) bool { return true }); !errors.Is(err, wordlist.ErrTooCostly) {
		t.Errorf("masking says %v", err)
	}
}

// TestOrdinaryTextsAreRead: prose, tables of numbers, hexadecimal and base64 data
// are read to their end, a message full of abuse is too.
func TestOrdinaryTextsAreRead(t *testing.T) {
	const size = 12_000
	random := rand.New(rand.NewPCG(5, 24))
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	var table, addresses strings.Builder
	for range 800 {
		fmt.Fprintf(&table, "%d\t%.2f\tQ%d %dkg\n", random.IntN(1e6), random.Float64()*100, 1+random.IntN(4), random.IntN(90))
		fmt.Fprintf(&addresses, "https://example.com/p/%x?id=%d\n", random.Uint32(), random.IntN(1e6))
	}
	texts := map[string]string{
		"base64":             base64.StdEncoding.EncodeToString(bytes)[:size],
		"base64 of URLs":     base64.RawURLEncoding.EncodeToString(bytes)[:size],
		"a dump":             hex.Dump(bytes[:size/5]),
		"a table":            table.String()[:size],
		"addresses":          addresses.String()[:size],
		"dots":               strings.Repeat("1.2 Introduction .......................... 12\n", 200),
		"abuse":              strings.Repeat("fuck you, you motherfucker! ", 15),
		"abuse in disguises": strings.Repeat("f.u.c.k y0u, m0therfuck3r! ", 5),
	}
	for i, text := range cut(prose(t), size) {
		texts[fmt.Sprint("prose ", i)] = text
	}
	for name, list := range map[string]*wordlist.List{"corpus": corpus(t), "default": wordlist.Default()} {
		for kind, text := range texts {
			taken, allowed := wordlist.Steps(list, text)
			if 6*taken > 5*allowed {
				t.Errorf("%s, %s: %d steps of %d", name, kind, taken, allowed)
			}
		}
	}
}

// TestDeadline: a context that has ended ends the search in a long text.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := wordlist.Default().Find(ctx, nil, strings.Repeat("good evening ", 10_000)); !errors.Is(err, context.Canceled) {
		t.Errorf("a text of 130 KB: %v", err)
	}
}

// BenchmarkHostile reads each hostile text in turn with innocent prose, and
// reports the worst of them: how many times as long it took as prose of the same
// length. What is not read to its end counts with the time until then.
func BenchmarkHostile(b *testing.B) {
	const size = 12_000
	texts, clean := hostileTexts(size), cut(prose(b), size)
	for name, list := range map[string]*wordlist.List{"corpus": corpus(b), "default": wordlist.Default()} {
		b.Run(name, func(b *testing.B) {
			worst, which := 0.0, ""
			for b.Loop() {
				worst, which = 0, ""
				for name, text := range texts {
					if r := ratio(b, list, text, clean); r > worst {
						worst, which = r, name
					}
				}
			}
			b.ReportMetric(worst, "worst/clean")
			b.Log("worst:", which)
		})
	}
}

// ratio compares the least time of several turns, which load does not change.
func ratio(b *testing.B, list *wordlist.List, text string, clean []string) float64 {
	var hits []wordlist.Hit
	least := func(text string, before time.Duration) time.Duration {
		start := time.Now()
		hits, _ = list.Find(b.Context(), hits[:0], text) // some are too costly
		return min(before, time.Since(start))
	}
	hostile, prose := time.Hour, time.Duration(0)
	for range 7 {
		hostile = least(text, hostile)
	}
	for i := 0; i < len(clean); i += 4 {
		took := time.Hour
		for range 5 {
			took = least(clean[i], took)
		}
		prose += 4 * took / time.Duration(len(clean))
	}
	return float64(hostile) / float64(prose)
}
