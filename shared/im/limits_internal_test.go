package im

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

// A client that has sent to very many groups keeps the allowances of the latest
// only.
func TestIdleAllowancesAreForgotten(t *testing.T) {
	now := time.Now()
	l := newLimits(1, func() time.Time { return now }, retry.Sleep)
	for i := range 20 * firstSweep {
		now = now.Add(5 * time.Millisecond)
		if err := l.wait(context.Background(), []turn{{limited{"group messages", fmt.Sprint(i)}, groupPace, 1}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.buckets); n > firstSweep {
		t.Errorf("%d allowances are kept", n)
	}
}

// Whatever comes, is held back or gives up, no span sees more than an allowance,
// of any group and of the API that all share.
func TestNoSpanSeesTooMuch(t *testing.T) {
	api := turn{limited{kind: "api"}, allowance{7, time.Second}, 1}
	group := func(id string, n int) turn {
		return turn{limited{"group", id}, allowance{3, time.Second}, n}
	}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1e9, 0)
		l := newLimits(1, func() time.Time { return now }, retry.Sleep)
		type taken struct {
			at time.Time
			n  int
		}
		used := make(map[limited][]taken)
		for range 400 {
			now = now.Add(time.Duration(rng.IntN(200)) * time.Millisecond * time.Duration(rng.IntN(2)))
			turns := []turn{api}
			if rng.IntN(2) > 0 {
				turns = []turn{group(fmt.Sprint(rng.IntN(6)), 1+rng.IntN(2)), api}
			}
			if rng.IntN(15) == 0 {
				l.hold(turns[0], time.Duration(rng.IntN(2000))*time.Millisecond)
			}
			buckets, at, wait := l.take(turns, 5*time.Second)
			switch {
			case wait > 5*time.Second: // nothing is taken
			case rng.IntN(10) == 0:
				l.giveBack(buckets, turns, at)
			default:
				for i, turn := range turns {
					if at.Before(buckets[i].pause) {
						t.Fatalf("seed %d: a turn within a pause", seed)
					}
					used[turn.of] = append(used[turn.of], taken{at, turn.n})
				}
			}
		}
		for of, list := range used {
			slices.SortFunc(list, func(a, b taken) int { return a.at.Compare(b.at) })
			for i, first := range list {
				sum := 0
				for _, next := range list[i:] {
					if next.at.Sub(first.at) < time.Second+slack {
						sum += next.n
					}
				}
				if most := l.buckets[of].tokens; sum > most {
					t.Errorf("seed %d: %d of %v within a second, want at most %d", seed, sum, of, most)
				}
			}
		}
	}
}

// A turn before those taken in advance is free only if it does not crowd them.
func TestTurnsBeforeThoseTakenInAdvance(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := newLimits(1, func() time.Time { return now }, retry.Sleep)
	api := turn{limited{kind: "api"}, allowance{2, time.Second}, 1}
	group := turn{limited{"group", "g"}, allowance{2, time.Second}, 1}
	hold := func(d time.Duration) {
		l.hold(group, d)
		for range 2 {
			if _, _, wait := l.take([]turn{group, api}, time.Minute); wait != d {
				t.Fatalf("the group's turn is in %v, want %v", wait, d)
			}
		}
	}
	hold(10 * time.Second)
	if _, _, wait := l.take([]turn{api}, time.Minute); wait != 0 {
		t.Errorf("a turn long before is in %v", wait)
	}
	now = now.Add(time.Minute)
	hold(time.Second / 2)
	if _, _, wait := l.take([]turn{api}, time.Minute); wait != time.Second/2+time.Second+slack {
		t.Errorf("a turn shortly before is in %v", wait)
	}
}

// What is given back is there for others at once.
func TestTurnsGivenBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := newLimits(1, func() time.Time { return now }, retry.Sleep)
	turns := []turn{{limited{kind: "api"}, allowance{2, time.Second}, 1}}
	for range 2 {
		if _, _, wait := l.take(turns, 0); wait != 0 {
			t.Fatal("no turn at first")
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	l.sleep = func(context.Context, time.Duration) error {
		cancel()
		return ended.Err()
	}
	for range 4 { // each waits for the same turn, and gives up
		if err := l.wait(context.Background(), turns, 2*time.Second); err == nil {
			t.Fatal("no wait")
		}
	}
	if _, _, wait := l.take(turns, time.Minute); wait != time.Second+slack {
		t.Errorf("the next turn is in %v", wait)
	}
}
