package bot_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// The storm: so many users, each with so many messages, every callback twice, and
// so many workers at once. On two shared cores it is meant to stay below
// stormBudget.
const (
	stormMessages = 3
	stormWorkers  = 16
	stormKills    = 8
	stormBudget   = 60 * time.Second
)

// TestStorm: against a model that is slow, too busy, cut off or silent, and while
// processes die in the middle of their answers, each message has one answer that is
// finished, in the order of the messages. IM's rate limits hold.
func TestStorm(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Users", Long: true, Run: storm}})
}

func storm(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	stormUsers := enginetest.Size(150, 500)
	began := time.Now()
	w := newWorldOf(t, store, clock, rulestest.Options{Limits: true})
	model, err := openai.New(openai.Config{
		URL: w.modelURL, Models: []string{"m", "fallback"}, Try: 500 * time.Millisecond, Now: clock.Now,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	w.Must(err)
	w.conf.Model = model
	w.restart(store)
	var asked atomic.Int64
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		switch asked.Add(1) % 20 {
		case 0:
			return modeltest.Behaviour{Hang: true}
		case 5, 6:
			return modeltest.Behaviour{Status: 429, RetryAfter: "1"}
		case 10:
			return modeltest.Behaviour{Cut: true}
		case 15:
			return modeltest.Behaviour{Slow: 20 * time.Millisecond}
		}
		return modeltest.Behaviour{}
	})
	users := make([]*imtest.Client, stormUsers)
	for i := range users {
		users[i] = w.Login(fmt.Sprint("user", i))
	}
	for n := range stormMessages {
		w.Advance(time.Second)
		each(users, func(i int, c *imtest.Client) { w.tell(c, fmt.Sprintf("message %d of %d", n, i)) })
	}
	w.Must(w.App.Settle(t.Context()))
	for _, c := range w.App.Callbacks() {
		if strings.HasPrefix(c.Command, "Bot.") {
			_, err := w.App.Replay(c.N)
			w.Must(err)
		}
	}
	// The first processes die within their answers, each at another call of IM.
	killed := 0
	for round := range 24 {
		var m *mortal
		if round < stormKills {
			m = &mortal{n: 40 + 40*round, after: round%2 == 0}
			w.around = m.around
		} else {
			w.around = nil
		}
		w.restart(store)
		w.Advance(time.Minute)
		_, err := w.ledger.Sweep(t.Context())
		w.Must(err)
		w.workAtOnce()
		if m != nil && m.dead {
			killed++
		}
	}
	if killed == 0 {
		t.Error("no process was killed")
	}
	sorry, broken := 0, 0
	for i, c := range users {
		got := said(c)
		if len(got) != stormMessages {
			t.Errorf("user %d was told %q", i, got)
			continue
		}
		for n, text := range got {
			switch text {
			case you(fmt.Sprintf("message %d of %d", n, i)):
			case bot.DefaultSorry:
				sorry++
			case "You\n\n" + bot.DefaultBroken, "You said:\n\n" + bot.DefaultBroken:
				broken++
			default:
				t.Errorf("user %d was told %q as answer %d", i, text, n)
			}
		}
	}
	w.quiet()
	t.Logf("%d processes killed, %d answers, %d of them sorry, %d broken off, %d questions to the model, in %v of %v", killed, stormUsers*stormMessages, sorry, broken, asked.Load(), time.Since(began), stormBudget)
}

func each(users []*imtest.Client, do func(i int, c *imtest.Client)) {
	var all sync.WaitGroup
	for part := range stormWorkers {
		all.Go(func() {
			for i := part; i < len(users); i += stormWorkers {
				do(i, users[i])
			}
		})
	}
	all.Wait()
}

// workAtOnce has many workers carry out what is due.
func (w *world) workAtOnce() {
	var all sync.WaitGroup
	for range stormWorkers {
		all.Go(func() {
			for {
				j, is := w.Queue.Next(w.Clock.Now())
				if !is {
					return
				}
				encoded, err := queue.Encode(j)
				if err != nil {
					w.Error(err)
					return
				}
				if w.ledger.Perform(w.Context(), encoded) != nil {
					_ = w.Queue.Enqueue(w.Context(), j)
					return
				}
			}
		})
	}
	all.Wait()
}
