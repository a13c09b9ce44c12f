package wordlist_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// BenchmarkFind reads innocent prose in three tongues, by the corpora's rules.
func BenchmarkFind(b *testing.B) {
	list := corpus(b)
	lines := prose(b)
	for _, size := range []int{20, 100, 1000, 12000} {
		texts := cut(lines, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var hits []wordlist.Hit
			for i := 0; b.Loop(); i++ {
				hits, _ = list.Find(b.Context(), hits[:0], texts[i%len(texts)])
			}
		})
	}
}

// cut makes texts of about a size in bytes, each from another part of the lines.
func cut(lines []string, size int) []string {
	var out []string
	for i := range 64 {
		var text strings.Builder
		for j := i * len(lines) / 64; text.Len() < size; j++ {
			text.WriteString(lines[j%len(lines)])
			text.WriteByte('\n')
		}
		out = append(out, strings.ToValidUTF8(text.String()[:size], ""))
	}
	return out
}
