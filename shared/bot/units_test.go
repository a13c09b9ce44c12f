package bot_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// counted counts commits, and write units as DynamoDB charges them: one for each
// begun KB of an item, twice that in a transaction.
type counted struct {
	kv.Store
	mu             sync.Mutex
	commits, units int
}

func (c *counted) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	c.mu.Lock()
	c.commits++
	times := 1
	if len(writes) > 1 {
		times = 2
	}
	for _, w := range writes {
		size := 100 + len(partition)
		if p, is := w.(kv.Put); is {
			size += len(p.Key) + len(p.Value)
		}
		c.units += times * (size/1024 + 1)
	}
	c.mu.Unlock()
	return c.Store.Commit(ctx, partition, op, writes...)
}

func (c *counted) take() (commits, units float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	commits, units = float64(c.commits), float64(c.units)
	c.commits, c.units = 0, 0
	return commits, units
}

// BenchmarkUnits is what a message to a robot and its answer of 800 bytes cost: sent
// whole, as before answers were streamed, and in 16 pieces, as one takes 6 seconds.
//
//	go test -run '^$' -bench Units ./shared/bot
func BenchmarkUnits(b *testing.B) {
	pieces := make([]string, 16)
	for i := range pieces {
		pieces[i] = strings.Repeat("word ", 10)
	}
	for name, whole := range map[string]bool{"whole": true, "streamed": false} {
		b.Run(name, func(b *testing.B) {
			clock := kvtest.NewClock()
			file, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{Now: clock.Now})
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			store := &counted{Store: file}
			w := newWorld(b, store, clock)
			w.whole = whole
			w.restart(store)
			var callbacks, answers [2]float64
			for n := 0; b.Loop(); n++ {
				user := w.Login(fmt.Sprint("user", n))
				store.take()
				w.model.Next(modeltest.Behaviour{Pieces: pieces, Before: func(i int) {
					if !whole && i > 0 { // until the piece before is shown
						w.until(user, func(texts []string) bool { return len(texts) == 1 && strings.Count(texts[0], "wor") >= i*10 })
					}
				}})
				w.tell(user, "how long can I send it back?")
				w.Must(w.App.Settle(b.Context()))
				commits, units := store.take()
				callbacks[0], callbacks[1] = callbacks[0]+commits, callbacks[1]+units
				w.work()
				commits, units = store.take()
				answers[0], answers[1] = answers[0]+commits, answers[1]+units
			}
			n := float64(b.N)
			b.ReportMetric(callbacks[0]/n, "callback-commits")
			b.ReportMetric(callbacks[1]/n, "callback-units")
			b.ReportMetric(answers[0]/n, "answer-commits")
			b.ReportMetric(answers[1]/n, "answer-units")
		})
	}
}

// BenchmarkFirstPiece is how long the first piece of an answer takes from the model's
// first token to the user's client, over loopback, with the state on disk.
//
//	go test -run '^$' -bench FirstPiece ./shared/bot
func BenchmarkFirstPiece(b *testing.B) {
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	w := newWorld(b, store, clock)
	w.conf.Stream = bot.Stream{} // as it is deployed
	w.restart(store)
	var took time.Duration
	for n := 0; b.Loop(); n++ {
		user := w.Login(fmt.Sprint("user", n))
		var first time.Time
		w.model.Next(modeltest.Behaviour{Pieces: []string{"One ", "two."}, Before: func(i int) {
			switch i {
			case 0:
				first = time.Now()
			case 1:
				w.until(user, func(texts []string) bool { return len(texts) == 1 })
				took += time.Since(first)
			}
		}})
		w.tell(user, "hello")
		w.work()
	}
	b.ReportMetric(float64(took.Microseconds())/float64(b.N)/1000, "first-piece-ms")
}
