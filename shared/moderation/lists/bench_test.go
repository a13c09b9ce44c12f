package lists_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

// BenchmarkSwap gives verdicts on short messages from two callers, in turn while
// nothing changes and while a list of 20,000 words is replaced by another, and
// compares the time that 99 of 100 verdicts stay below.
//
//	go test -run '^$' -bench Swap -benchtime 20x ./shared/moderation/lists
func BenchmarkSwap(b *testing.B) {
	s := newShelf(b)
	l := s.instance()
	var refs []lists.Ref
	for _, version := range []string{"one", "two"} {
		set := &compile.RuleSet{Version: version}
		for i := range 20_000 {
			set.Words = append(set.Words, compile.Rule{Text: fmt.Sprintf("%s%dxq", version, i), Severity: 1, Action: wordlist.Reject})
		}
		image, err := compile.Compile(set)
		if err != nil {
			b.Fatal(err)
		}
		refs = append(refs, s.put("/"+version, string(image)))
	}
	var quiet, swapped []time.Duration
	for i := 0; b.Loop(); i++ {
		quiet = append(quiet, verdicts(b.Context(), l)...)
		ref := refs[i%2]
		if _, err := l.Stage(b.Context(), ref, 100, ""); err != nil {
			b.Fatal(err)
		}
		s.clock.Advance(lists.Fresh) // the look is taken beside
		swapped = append(swapped, verdicts(b.Context(), l)...)
		s.quiet(l)
	}
	before, during := p99(quiet), p99(swapped)
	b.ReportMetric(0, "ns/op") // of many verdicts together: says nothing
	b.ReportMetric(float64(before.Nanoseconds()), "quiet-p99-ns")
	b.ReportMetric(float64(during.Nanoseconds()), "swap-p99-ns")
	b.ReportMetric(during.Seconds()/before.Seconds(), "x-quiet")
}

// verdicts has two callers judge for a twentieth of a second, longer than a swap
// takes, and returns how long each verdict took.
func verdicts(ctx context.Context, l *lists.Lists) []time.Duration {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
	)
	for range 2 {
		all.Go(func() {
			var mine []time.Duration
			for end := time.Now().Add(50 * time.Millisecond); ; {
				start := time.Now()
				if start.After(end) {
					break
				}
				_, _ = l.For(ctx, "room").Find(ctx, nil, "good evening, who is playing tonight? 晚上好")
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	return took
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}
