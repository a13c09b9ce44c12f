package bot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// counted counts commits, and write units as DynamoDB charges them: one for each
// begun KB of an item, twice that in a transaction.
type counted struct {
	kv.Store
	mu             sync.Mutex
	commits, units int
	partitions     map[string]bool // written to; nil: not asked for
}

func (c *counted) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	c.mu.Lock()
	c.commits++
	if c.partitions != nil {
		c.partitions[partition] = true
	}
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

// BenchmarkConversation is what a conversation of ten questions, with answers of 800
// bytes, costs and leaves in the store: the whole, and the memory that the model is
// told.
//
//	go test -run '^$' -bench Conversation -benchtime 20x ./shared/bot
func BenchmarkConversation(b *testing.B) {
	clock := kvtest.NewClock()
	file, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	store := &counted{Store: file, partitions: map[string]bool{}}
	w := newWorld(b, store, clock)
	w.whole = true
	w.restart(store)
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Text: strings.Repeat("word ", 160)}
	})
	const questions = 10
	store.take()
	for n := 0; b.Loop(); n++ {
		user := w.Login(fmt.Sprint("user", n))
		for range questions {
			w.Advance(time.Second)
			w.tell(user, "how long can I send it back?")
			w.work()
		}
	}
	commits, units := store.take()
	size, memory := 0, 0
	for partition := range store.partitions {
		for r := (kv.Range{Limit: 1000}); ; {
			page, err := file.List(b.Context(), partition, r)
			if err != nil {
				b.Fatal(err)
			}
			for _, item := range page.Items {
				size += len(partition) + len(item.Key) + len(item.Value)
				if strings.HasPrefix(item.Key, "memory/") {
					memory += len(item.Value)
				}
			}
			if r.After = page.Next; r.After == "" {
				break
			}
		}
	}
	n := float64(b.N)
	b.ReportMetric(commits/n/questions, "commits/answer")
	b.ReportMetric(units/n/questions, "units/answer")
	b.ReportMetric(units/n, "units/conversation")
	b.ReportMetric(float64(size)/n, "store-bytes/conversation")
	b.ReportMetric(float64(memory)/n, "memory-bytes/conversation")
}

// nowhere is an IM that takes everything, and a model that stops in the middle of each
// answer until it is told to go on.
type nowhere struct {
	begun sync.WaitGroup
	end   chan struct{}
}

func (*nowhere) SendStreamMsg(context.Context, im.StreamChunk) (string, error) { return "key", nil }

func (*nowhere) C2CHistory(context.Context, im.C2CHistoryQuery) (im.C2CHistoryPage, error) {
	return im.C2CHistoryPage{}, nil
}

func (*nowhere) ModifyC2CMsg(context.Context, string, string, string, im.Modification) error {
	return nil
}

func (*nowhere) ModifyGroupMsg(context.Context, string, string, uint32, im.Modification) error {
	return nil
}

func (*nowhere) C2C(context.Context, string, im.C2CMsg) (im.C2CSent, error) {
	return im.C2CSent{}, nil
}

func (*nowhere) Group(context.Context, string, im.GroupMsg) (im.GroupSent, error) {
	return im.GroupSent{}, nil
}

func (n *nowhere) Ask(_ context.Context, _ bot.Question, hear func(string)) (bot.Reply, error) {
	text := strings.Repeat("word ", 160)
	hear(text[:400])
	n.begun.Done()
	<-n.end
	return bot.Reply{Text: text}, nil
}

// BenchmarkHeap is what the heap and the stacks hold for an answer while it is written,
// and of a conversation once it was.
//
//	go test -run '^$' -bench Heap -benchtime 5x ./shared/bot
func BenchmarkHeap(b *testing.B) {
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	line, away := &queuetest.Line{}, &nowhere{}
	ledger := queue.NewLedger(store, line, nil)
	bot.New(bot.Config{Store: store, Jobs: ledger, Sends: away, Model: away, IM: away, Stream: bot.Stream{Rate: 1e6}})
	held := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	const users = 300
	first, writing := held(), 0.0
	for round := 0; b.Loop(); round++ {
		away.end = make(chan struct{})
		away.begun.Add(users)
		before := held()
		var all sync.WaitGroup
		for n := range users {
			body, err := json.Marshal(map[string]any{"robot": robot, "from": fmt.Sprint("user", round, "-", n), "msgKey": "1_1_1", "order": 1, "text": "how long can I send it back?"})
			if err != nil {
				b.Fatal(err)
			}
			job := queue.Job{ID: fmt.Sprint("job/", round, n), Kind: "bot.answer", Lane: queue.Slow, Body: body}
			if err := ledger.Put(b.Context(), job); err != nil {
				b.Fatal(err)
			}
			encoded, err := queue.Encode(job)
			if err != nil {
				b.Fatal(err)
			}
			all.Go(func() {
				if err := ledger.Perform(b.Context(), encoded); err != nil {
					b.Error(err)
				}
			})
		}
		away.begun.Wait()
		writing += (held() - before) / users
		close(away.end)
		all.Wait()
		*line = queuetest.Line{} // which remembers all jobs
	}
	b.ReportMetric(writing/float64(b.N), "bytes/answer")
	b.ReportMetric(max(held()-first, 0)/float64(b.N*users), "bytes/conversation")
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
