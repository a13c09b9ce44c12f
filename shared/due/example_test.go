package due_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

// A lottery is drawn at its time, once, whoever dies when.
func Example() {
	dir, err := os.MkdirTemp("", "due")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx, now := context.Background(), time.Now().Truncate(time.Minute)
	agenda := due.New(store, "lotteries", func() time.Time { return now })

	// Opening a lottery: first the entry, then the commit it guards.
	drawAt := now.Add(5 * time.Minute)
	if err := agenda.Put(ctx, "room-1", drawAt, nil); err != nil {
		log.Fatal(err)
	}
	if err := store.Commit(ctx, "room/room-1", "open-1", kv.Put{Key: "lottery", If: kv.Absent()}); err != nil {
		log.Fatal(err)
	}

	// What the clock does every minute.
	draw := func(ctx context.Context, e due.Entry) error {
		fmt.Println("draw in", e.ID)
		return store.Commit(ctx, "room/"+e.ID, "draw-1", kv.Put{Key: "winner", If: kv.Absent()})
	}
	for minute := range 8 {
		done, err := agenda.Sweep(ctx, draw)
		if done > 0 || err != nil {
			fmt.Println("minute", minute, "done", done, err)
		}
		now = now.Add(time.Minute)
	}
	// Output:
	// draw in room-1
	// minute 5 done 1 <nil>
}
