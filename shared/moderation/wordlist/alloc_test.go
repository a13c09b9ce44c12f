//go:build !race

package wordlist_test

import (
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// TestNoAllocationOnCleanText is not for the race detector, with which sync.Pool forgets
// some of what it holds.
func TestNoAllocationOnCleanText(t *testing.T) {
	list := corpus(t)
	var hits []wordlist.Hit
	for _, text := range []string{
		"", "good evening, everybody", "今晚一起吃饭吗？", "ばかり、パチンコ", "his assets are h264 and mp3", "see http://casino.example/", "Scunthorpe",
		strings.Repeat("大麻烦 and a55, good evening to everybody who is here ", 100),
	} {
		ctx := t.Context()
		allocs := testing.AllocsPerRun(20, func() { hits, _ = list.Find(ctx, hits[:0], text) })
		if allocs > 0 || len(hits) > 0 {
			t.Errorf("%.40q: %v allocations, %d hits", text, allocs, len(hits))
		}
	}
}
