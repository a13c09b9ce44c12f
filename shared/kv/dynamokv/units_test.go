package dynamokv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// chat tallies messages of a room as IM numbers them: 32 share a segment, a
// message counts for the room and adds counters of its sender.
func chat(t testing.TB, s kv.Store, messages, users, counters int) {
	t.Helper()
	for seq := range messages {
		user := fmt.Sprintf("u/user%04d/", rand.IntN(users))
		deltas := []kv.Delta{{Counter: "messages", By: 1}}
		for c := 1; c < counters; c++ {
			deltas = append(deltas, kv.Delta{Counter: fmt.Sprintf("%sc%d", user, c), By: 1})
		}
		event := kv.Event{ID: fmt.Sprint(seq), At: time.Now()}
		outcome, err := s.Tally(t.Context(), "room/lobby", fmt.Sprintf("m/%08x", seq>>5), event, deltas...)
		if err != nil || outcome != kv.Counted {
			t.Fatal(outcome, err)
		}
	}
}

func fold(t testing.TB, s kv.Store) {
	t.Helper()
	_, err := kv.Fold(t.Context(), s, "room/lobby", kv.FoldOptions{
		Closed: func(kv.Segment) bool { return true },
		Into: func(counter string) string {
			if counter == "messages" {
				return "t/room"
			}
			return "t/" + counter[:10]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnits: a counted message costs at most two write units, folding
// included, where sixty people write what a room's counter shows.
func TestUnits(t *testing.T) {
	endpoint, proxy := emulator(t)
	if proxy == nil {
		t.Skip("units are counted by the proxy, which DYNAMODB_ENDPOINT leaves out")
	}
	s := openAt(t, endpoint, table(t, endpoint), time.Now)
	const messages = 640
	proxy.Units()
	chat(t, s, messages, 60, 2)
	counted := proxy.Units().Write / messages
	fold(t, s)
	folded := proxy.Units().Write / messages
	t.Logf("write units a message: %.2f counted, %.2f folded", counted, folded)
	if counted+folded > 2 {
		t.Errorf("%.2f write units a message, want at most 2", counted+folded)
	}
	if counted < 1 {
		t.Errorf("%.2f units: the proxy does not count", counted)
	}
}

// BenchmarkUnits prints what an event costs with 1, 5 and 20 counters, folding
// included, beside the transactional way: a put that recognises the event and
// an update for each counter, at twice the price.
//
//	go test -run '^$' -bench Units -benchtime 1x ./shared/kv/dynamokv
func BenchmarkUnits(b *testing.B) {
	for _, counters := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("%d counters", counters), func(b *testing.B) {
			endpoint, proxy := emulator(b)
			if proxy == nil {
				b.Skip("units are counted by the proxy, which DYNAMODB_ENDPOINT leaves out")
			}
			s := openAt(b, endpoint, table(b, endpoint), time.Now)
			const messages = 640
			for b.Loop() {
				proxy.Units()
				chat(b, s, messages, 60, counters)
				b.ReportMetric(proxy.Units().Write/messages, "units/event")
				fold(b, s)
				b.ReportMetric(proxy.Units().Write/messages, "units-folding/event")
				b.ReportMetric(float64(2*(1+counters)), "units-by-transaction/event")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
