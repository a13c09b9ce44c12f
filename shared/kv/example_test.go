package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

func tempStore() (s kv.Store, done func()) {
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		log.Fatal(err)
	}
	s, err = boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// A purchase takes the coins and writes the receipt, or does neither, however
// often it is tried.
func Example() {
	s, done := tempStore()
	defer done()
	ctx, wallet := context.Background(), "wallet/ann"

	err := s.Commit(ctx, wallet, "top-up-1", kv.Add{Key: "coins", Deltas: []kv.Delta{{Counter: "gold", By: 10}}, If: kv.Absent()})
	fmt.Println("top up:", err)

	floor := int64(0)
	buy := func(order string, price int64) error {
		return s.Commit(ctx, wallet, order,
			kv.Put{Key: "receipt/" + order, If: kv.Absent()},
			kv.Add{Key: "coins", Deltas: []kv.Delta{{Counter: "gold", By: -price, Floor: &floor}}})
	}
	fmt.Println("buy:", buy("order-1", 8))
	fmt.Println("the same again:", buy("order-1", 8))
	fmt.Println("another:", buy("order-2", 8))
	coins, _ := s.Get(ctx, wallet, "coins")
	fmt.Println("left:", coins.Counters["gold"])
	// Output:
	// top up: <nil>
	// buy: <nil>
	// the same again: <nil>
	// another: kv: counter out of range
	// left: 2
}

// Messages are counted in segments of 32, and closed segments are folded into
// one total.
func ExampleFold() {
	s, done := tempStore()
	defer done()
	ctx, room := context.Background(), "room/1"

	count := func(seq int) {
		e := kv.Event{ID: fmt.Sprint(seq), At: time.Now()}
		if _, err := s.Tally(ctx, room, fmt.Sprintf("messages/%010d", seq>>5), e, kv.Delta{Counter: "messages", By: 1}); err != nil {
			log.Fatal(err)
		}
	}
	for seq := range 100 {
		count(seq)
	}
	count(0) // delivered twice

	folded, err := kv.Fold(ctx, s, room, kv.FoldOptions{
		Closed: func(g kv.Segment) bool { return g.Events == 32 },
		Into:   func(string) string { return "total/messages" },
	})
	fmt.Println("folded:", folded, err)
	totals, err := kv.Totals(ctx, s, room, "total/")
	fmt.Println("messages:", totals["messages"], err)
	// Output:
	// folded: 3 <nil>
	// messages: 100 <nil>
}
