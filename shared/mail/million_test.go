package mail_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// platform is IM as batches see it, for more recipients than the emulator has room
// for: it counts, refuses nothing, and takes a while for each call. Its users are u0
// to uN, and it does not recognize repeated batches.
type platform struct {
	mail.IM // what batches do not need
	clock   *kvtest.Clock
	random  *rand.Rand

	told   []uint8     // messages a user got
	marks  [][2]uint32 // numbers of the last of them
	calls  []arrival
	faults func(call int) (lost, refused bool)
	after  func(call int) // between a call and the next
}

// arrival is a batch as IM sees it.
type arrival struct {
	at time.Time
	n  int
}

func (p *platform) index(user string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(user, "u"))
	if err != nil {
		panic(err)
	}
	return n
}

func (p *platform) SendBatch(_ context.Context, to []string, m im.C2CMsg) ([]im.ItemResult, error) {
	p.clock.Advance(time.Duration(5+p.random.IntN(100)) * time.Millisecond) // on the way
	call := len(p.calls)
	lost, refused := p.faults(call)
	p.calls = append(p.calls, arrival{p.clock.Now(), len(to)})
	if !refused {
		for _, user := range to {
			i := p.index(user)
			p.told[i]++
			p.marks[i] = [2]uint32{m.MsgSeq, m.MsgRandom}
		}
	}
	p.clock.Advance(time.Duration(5+p.random.IntN(100)) * time.Millisecond) // and back
	defer p.after(call)
	if lost || refused {
		return nil, &im.Error{Command: "openim/batchsendmsg", Class: im.ClassTransient, MayHaveWorked: true}
	}
	return nil, nil
}

func (p *platform) C2CHistory(_ context.Context, q im.C2CHistoryQuery) (page im.C2CHistoryPage, _ error) {
	if i := p.index(q.Viewer); p.told[i] > 0 {
		page.Messages = []im.C2CHistoryMsg{{From: q.Peer, To: q.Viewer, MsgSeq: p.marks[i][0], MsgRandom: p.marks[i][1]}}
	}
	return page, nil
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMillion sends a mail to a file of a million recipients (fewer in a quick run) on
// an accelerated clock, with lost answers, a pause, and workers that die. Each
// recipient is told once; between interruptions the sender uses at least 95 % of what
// IM takes in a minute; in no minute and no second is it more than that; and memory
// does not grow with the recipients.
func TestMillion(t *testing.T) {
	recipients := enginetest.Size(100_000, 1_000_000)
	clock := kvtest.NewClock()
	began := clock.Now()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	line := &queuetest.Line{}
	p := &platform{
		clock: clock, random: rand.New(rand.NewPCG(1, 1)), told: make([]uint8, recipients), marks: make([][2]uint32, recipients),
		calls: make([]arrival, 0, recipients/250),
	}
	start := func(s kv.Store) (*mail.Mails, *queue.Ledger) {
		ledger := queue.NewLedger(s, line, clock.Now)
		return mail.New(mail.Config{
			Store: s, Jobs: ledger, IM: p, Sends: once.New(s, nil, clock.Now), From: "administrator", Push: true, Keep: 30 * 24 * time.Hour, Now: clock.Now,
			Sleep: func(ctx context.Context, d time.Duration) error { clock.Advance(d); return ctx.Err() },
		}), ledger
	}

	mails, _ := start(store)
	var ledger *queue.Ledger // of the process at work
	caller := api.Caller{Server: "game"}
	v, err := mails.Send(t.Context(), caller, "million", mail.NewMail{To: mail.To{File: true}, Words: mail.Words{Title: "to all of you"}})
	must(err)
	var body strings.Builder
	for n, part := 0, 1; n < recipients; part++ {
		body.Reset()
		for range min(mail.MaxPartLines, recipients-n) {
			fmt.Fprintf(&body, "u%d\n", n)
			n++
		}
		_, err := mails.AddPart(t.Context(), v.MailID, part, []byte(body.String()), false)
		must(err)
	}
	v, err = mails.Start(t.Context(), v.MailID)
	must(err)
	if v.Plan.Calls != recipients/im.BatchSize || v.Plan.By != "batchsendmsg" {
		t.Errorf("plan %+v", v.Plan)
	}

	// What happens at which call.
	total := recipients / im.BatchSize
	interrupted := map[int]bool{} // calls after which the sender was held up
	least, most := heap(), uint64(0)
	var paused bool
	p.faults = func(call int) (lost, refused bool) {
		lost, refused = call == total/2 || call == total/2+9, call == total/2+18
		if lost || refused {
			interrupted[call] = true
		}
		return lost, refused
	}
	p.after = func(call int) {
		switch {
		case call == total*7/10:
			_, err := mails.Pause(t.Context(), v.MailID)
			must(err)
			interrupted[call], paused = true, true
		case call%max(total/20, 1) == 0:
			now := heap()
			least, most = min(least, now), max(most, now)
		}
	}

	deaths, commits := 0, p.random
	for {
		mortal, died := kv.Store(store), func() bool { return false }
		if calls := len(p.calls); calls > total*7/10 && deaths < 5 {
			mortal, died = kvtest.Mortal(store, 200+commits.IntN(3000), deaths%2 == 0)
		}
		mails, ledger = start(mortal)
		for idle := 0; idle < 50 && !died() && !paused; {
			calls := len(p.calls)
			_ = line.Work(t.Context(), ledger, clock.Now) // a dead worker's jobs do not end
			if idle++; len(p.calls) > calls {
				idle = 0
			}
			clock.Advance(100 * time.Millisecond) // the queue brings the next job so late
		}
		if died() {
			deaths++
			interrupted[len(p.calls)-1] = true
		}
		mails, ledger = start(store)
		if paused {
			held := len(p.calls)
			clock.Advance(time.Hour)
			must(line.Work(t.Context(), ledger, clock.Now))
			if len(p.calls) != held {
				t.Errorf("%d calls while the mail was paused", len(p.calls)-held)
			}
			_, err := mails.Resume(t.Context(), v.MailID)
			must(err)
			paused = false
			continue
		}
		if v, err = mails.Get(t.Context(), v.MailID); err != nil || v.State == mail.Sent {
			must(err)
			break
		}
		clock.Advance(time.Minute)
		for _, name := range []process.Name{mail.Campaigns} {
			must(name.Sweep(store, ledger, clock.Now)(t.Context()))
		}
		_, err := ledger.Sweep(t.Context())
		must(err)
		if clock.Now().Sub(began) > 100*24*time.Hour {
			t.Fatalf("no end: %+v", v)
		}
	}

	if v.Delivered != recipients || v.Failed != 0 {
		t.Errorf("%+v", v)
	}
	for i, n := range p.told {
		if n != 1 {
			t.Fatalf("u%d was told %d times", i, n)
		}
	}
	minute, second := busiest(p.calls, time.Minute, func(a arrival) int { return a.n }), busiest(p.calls, time.Second, func(arrival) int { return 1 })
	if minute > im.BatchPerMinute || second > 200 {
		t.Errorf("%d recipients in a minute, %d calls in a second", minute, second)
	}
	// Between interruptions, of which each costs the time in which histories are read,
	// nobody sends, or the next worker is found.
	best, from := 0.0, 0
	for call := range p.calls {
		if interrupted[call] || call == len(p.calls)-1 {
			if call-from >= 48 {
				span := p.calls[call].at.Sub(p.calls[from].at)
				sent := 0
				for _, a := range p.calls[from:call] {
					sent += a.n
				}
				rate := float64(sent) / span.Minutes() / im.BatchPerMinute
				if best = max(best, rate); rate < 0.95 {
					t.Errorf("calls %d to %d used %.1f %% of what IM takes", from, call, 100*rate)
				}
			}
			from = call + 1
		}
	}
	if best == 0 {
		t.Error("no stretch to measure the pace by")
	}
	if growth := int64(most) - int64(least); growth > 16<<20 {
		t.Errorf("memory grew by %d MB", growth>>20)
	}
	t.Logf("%d recipients in %d calls, %v; best stretch %.1f %% of the ceiling, busiest minute %d; %d deaths; memory between %.1f and %.1f MB",
		recipients, len(p.calls), clock.Now().Sub(began).Round(time.Second), 100*best, minute, deaths, float64(least)/1e6, float64(most)/1e6)
}

// busiest is the most that calls sum up to in any span, at whatever time it begins.
func busiest(calls []arrival, span time.Duration, of func(arrival) int) (most int) {
	sum, first := 0, 0
	for _, a := range calls {
		sum += of(a)
		for !a.at.Before(calls[first].at.Add(span)) {
			sum -= of(calls[first])
			first++
		}
		most = max(most, sum)
	}
	return most
}

// TestBatchesOverTheWire holds the pace against the emulator's own limit: it refuses
// what is over 12,000 recipients in a minute, and never has to.
func TestBatchesOverTheWire(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	users := names("u", 1500)
	w.imports(users...)
	ids := []string{}
	for n := range 20 { // several campaigns together
		ids = append(ids, p.mail(fmt.Sprint(n), `{"to":{"users":`+quoted(users)+`},"title":"hello"}`).MailID)
	}
	began := w.Clock.Now()
	p.work()
	p.minutes(4)
	for _, id := range ids {
		if v := p.campaign(id); v.State != mail.Sent || v.Delivered != len(users) {
			t.Errorf("%+v", v)
		}
	}
	for _, c := range p.App.Calls() {
		if strings.HasSuffix(c.Command, "batchsendmsg") && c.Code != 0 {
			t.Fatalf("IM refused a call: %+v", c)
		}
	}
	if took := w.Clock.Now().Sub(began); took < 90*time.Second {
		t.Errorf("30,000 recipients in %v", took)
	}
}
