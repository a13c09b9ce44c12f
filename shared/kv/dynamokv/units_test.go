package dynamokv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// chat tallies messages of a room as IM numbers them: so many share a segment,
// a message counts for the room and adds counters of its sender.
func chat(t testing.TB, s kv.Store, room string, messages, users, counters, perSegment int) {
	t.Helper()
	for seq := range messages {
		user := fmt.Sprintf("u/user%04d/", rand.IntN(users))
		deltas := []kv.Delta{{Counter: "messages", By: 1}}
		for c := 1; c < counters; c++ {
			deltas = append(deltas, kv.Delta{Counter: fmt.Sprintf("%sc%d", user, c), By: 1})
		}
		event := kv.Event{ID: fmt.Sprint(seq), At: time.Now()}
		outcome, err := s.Tally(t.Context(), room, fmt.Sprintf("m/%08x", seq/perSegment), event, deltas...)
		if err != nil || outcome != kv.Counted {
			t.Fatal(outcome, err)
		}
	}
}

func fold(t testing.TB, s kv.Store, room string) {
	t.Helper()
	_, err := kv.Fold(t.Context(), s, room, kv.FoldOptions{
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
	chat(t, s, "room/lobby", messages, 60, 2, 32)
	counted := proxy.Units().Write / messages
	fold(t, s, "room/lobby")
	folded := proxy.Units().Write / messages
	t.Logf("write units a message: %.2f counted, %.2f folded", counted, folded)
	if counted+folded > 2 {
		t.Errorf("%.2f write units a message, want at most 2", counted+folded)
	}
	if counted < 1 {
		t.Errorf("%.2f units: the proxy does not count", counted)
	}
}
