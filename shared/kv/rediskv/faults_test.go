package rediskv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

func put(key, value string) kv.Put {
	return kv.Put{Key: key, Value: []byte(value), If: kv.Absent()}
}

var one = kv.Delta{Counter: "n", By: 1}

// TestBrokenConnections breaks the connection at each point of a write's way. The
// store tries again by itself and tells the truth.
func TestBrokenConnections(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	s := openFor(t, "redis://"+p.addr, Options{})
	for name, f := range map[string]fault{"answer lost": loseAnswer, "dropped": dropAfter, "cut": cutInTheMidst} {
		for n := range 4 {
			partition := fmt.Sprint(name, n)
			broken := func(call func() error) error {
				t.Helper()
				p.befall(f, n)
				err := call()
				if left := p.befall(f, 0); left > 0 {
					t.Fatalf("%s: %d of %d connections were not broken", partition, left, n)
				}
				return err
			}
			err := broken(func() error {
				return s.Commit(t.Context(), partition, "op", put("k", "v"), kv.Add{Key: "n", Deltas: []kv.Delta{one}})
			})
			if err != nil {
				t.Fatalf("%s: commit: %v", partition, err)
			}
			err = broken(func() error { return s.Commit(t.Context(), partition, "other", put("k", "w")) })
			if !errors.Is(err, kv.ErrConflict) {
				t.Fatalf("%s: commit: %v, want %v", partition, err, kv.ErrConflict)
			}
			var o kv.Outcome
			err = broken(func() (err error) {
				o, err = s.Tally(t.Context(), partition, "s", kv.Event{ID: "e", At: time.Now()}, one)
				return err
			})
			if err != nil || o == kv.TooLate {
				t.Fatalf("%s: tally: %v, %v", partition, o, err)
			}
			var page kv.Page
			err = broken(func() (err error) {
				page, err = s.List(t.Context(), partition, kv.Range{})
				return err
			})
			if err != nil || len(page.Items) != 2 || string(page.Items[0].Value) != "v" || page.Items[1].Counters["n"] != 1 {
				t.Fatalf("%s: %+v, %v", partition, page, err)
			}
			var segments []kv.Segment
			err = broken(func() (err error) {
				segments, err = s.Open(t.Context(), partition, "", 1)
				return err
			})
			if err != nil || len(segments) != 1 || segments[0].Counters["n"] != 1 {
				t.Fatalf("%s: %+v, %v", partition, segments, err)
			}
		}
	}
}

// TestDeadline has every answer lost until the caller's time is up. A later
// repeat learns that it was done.
func TestDeadline(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	s := openFor(t, "redis://"+p.addr, Options{})
	p.befall(loseAnswer, 1<<30)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	write := []kv.Write{put("k", "v"), kv.Add{Key: "n", Deltas: []kv.Delta{one}}}
	err := s.Commit(ctx, "p", "op", write...)
	if !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want an unknown outcome", err)
	}
	p.befall(loseAnswer, 0)
	if err := s.Commit(t.Context(), "p", "op", write...); err != nil {
		t.Fatal(err)
	}
	if i, err := s.Get(t.Context(), "p", "n"); err != nil || i.Counters["n"] != 1 {
		t.Fatalf("%+v, %v", i, err)
	}
}

// TestKill9 kills the server again and again under writers, tallies and a fold.
// What was acknowledged is there, whole and once.
func TestKill9(t *testing.T) {
	const (
		kills   = 10
		workers = 8
		width   = 12 // items in one commit
	)
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	var (
		acknowledged atomic.Int64
		stop         = make(chan struct{})
		wg           sync.WaitGroup
		rounds       [workers]int
	)
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	// repeat goes on until the outcome is known.
	repeat := func(write func() error) error {
		for {
			if err := write(); !errors.Is(err, kv.ErrUnavailable) {
				return err
			}
		}
	}
	for w := range workers {
		wg.Go(func() {
			for n := 0; running(); n++ {
				op := fmt.Sprintf("%d-%05d", w, n)
				writes := []kv.Write{kv.Add{Key: "count", Deltas: []kv.Delta{one}}}
				for i := range width {
					writes = append(writes, put(fmt.Sprintf("item/%s/%02d", op, i), op))
				}
				event := kv.Event{ID: op, At: time.Now()}
				err := repeat(func() error { return s.Commit(t.Context(), "p", op, writes...) })
				if err == nil {
					err = repeat(func() error {
						_, err := s.Tally(t.Context(), "p", fmt.Sprintf("%d-%d", w, n>>5), event, one)
						return err
					})
				}
				if err != nil {
					t.Errorf("%s: %v", op, err)
					return
				}
				rounds[w]++
				acknowledged.Add(1)
			}
		})
	}
	fold := kv.FoldOptions{
		Closed: func(g kv.Segment) bool { return g.Events%2 == 0 },
		Into:   func(string) string { return "total" },
	}
	wg.Go(func() {
		for running() {
			_, err := kv.Fold(t.Context(), s, "p", fold)
			if err != nil && !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrConflict) {
				t.Errorf("fold: %v", err)
				return
			}
		}
	})
	for range kills {
		for seen := acknowledged.Load(); acknowledged.Load() < seen+30 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		server.Kill()
		server.Restart()
	}
	close(stop)
	wg.Wait()

	var total int64
	for w, n := range rounds {
		total += int64(n)
		for i := range n {
			op := fmt.Sprintf("%d-%05d", w, i)
			page, err := s.List(t.Context(), "p", kv.Range{Prefix: "item/" + op + "/"})
			if err != nil || len(page.Items) != width {
				t.Fatalf("%s left %d items of %d: %v", op, len(page.Items), width, err)
			}
			for _, item := range page.Items {
				if item.Rev != op || string(item.Value) != op {
					t.Fatalf("%s: %+v", op, item)
				}
			}
		}
	}
	count, err := s.Get(t.Context(), "p", "count")
	if err != nil || count.Counters["n"] != total {
		t.Fatalf("%d commits were acknowledged and %d counted: %v", total, count.Counters["n"], err)
	}
	sums, err := kv.Totals(t.Context(), s, "p", "total")
	if err != nil || !maps.Equal(sums, map[string]int64{"n": total}) {
		t.Fatalf("%d events were acknowledged, the totals are %v: %v", total, sums, err)
	}
	t.Logf("%d kills, %d commits and as many events acknowledged", kills, total)
}

// refused writes in both ways and requires that each says the sentence, and
// gives no secret away.
func refused(t *testing.T, s *Store, sentence string) {
	t.Helper()
	for what, write := range map[string]func(context.Context) error{
		"commit": func(ctx context.Context) error { return s.Commit(ctx, "p", "op", put("k", "v")) },
		"tally": func(ctx context.Context) error {
			_, err := s.Tally(ctx, "p", "s", kv.Event{ID: "e", At: time.Now()}, one)
			return err
		},
	} {
		err := inTime(t, write)
		unknown := errors.Is(err, kv.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
		if !unknown || !strings.Contains(err.Error(), sentence) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %v: %s", what, err, kv.ErrUnavailable, sentence)
		}
	}
}

// inTime gives a call as much time as it needs to learn why it cannot succeed,
// which on a busy machine may be long.
func inTime(t *testing.T, call func(context.Context) error) error {
	t.Helper()
	for limit := 50 * time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := call(ctx)
		cancel()
		if err == nil || limit > 10*time.Second || !strings.Contains(err.Error(), "no answer in time") {
			return err
		}
	}
}

// accepted writes once more and requires that nothing of what was refused is
// there.
func accepted(t *testing.T, s *Store) {
	t.Helper()
	if page, err := s.List(t.Context(), "p", kv.Range{}); err != nil || len(page.Items) != 0 {
		t.Fatalf("refused commits left %+v, %v", page, err)
	}
	if segments, err := s.Open(t.Context(), "p", "", 1); err != nil || len(segments) != 0 {
		t.Fatalf("refused tallies left %+v, %v", segments, err)
	}
	if err := s.Commit(t.Context(), "p", "op", put("k", "v")); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryFull(t *testing.T) {
	server := redistest.Start(t)
	s := openFor(t, "redis://"+server.Addr, Options{})
	server.Command("CONFIG", "SET", "maxmemory", "1")
	refused(t, s, "the server's memory is full")
	server.Command("CONFIG", "SET", "maxmemory", "0")
	accepted(t, s)
}

func TestReplica(t *testing.T) {
	server := redistest.Start(t)
	url := "redis://" + server.Addr
	s := openFor(t, url, Options{})
	server.Command("REPLICAOF", "127.0.0.1", "1")
	refused(t, s, "the server is a replica")
	if _, err := Open(t.Context(), url, Options{}); err == nil || !strings.Contains(err.Error(), "the server is a replica") {
		t.Errorf("open: %v", err)
	}
	server.Command("REPLICAOF", "NO", "ONE")
	accepted(t, s)
}

// TestBusyServer has a script of somebody else hold the server.
func TestBusyServer(t *testing.T) {
	server := redistest.Start(t, redistest.Config("lua-time-limit", "1"))
	s := openFor(t, "redis://"+server.Addr, Options{})
	other := openFor(t, "redis://"+server.Addr, Options{})
	held := make(chan error)
	go func() { held <- other.client.Eval(t.Context(), "while true do end", nil).Err() }()
	for other.client.Ping(t.Context()).Err() == nil {
		time.Sleep(time.Millisecond)
	}
	refused(t, s, "the server is busy with a script")
	server.Command("SCRIPT", "KILL")
	if err := <-held; err == nil {
		t.Fatal("the script ended by itself")
	}
	accepted(t, s)
}

func TestEvictingServer(t *testing.T) {
	server := redistest.Start(t, redistest.Config("maxmemory-policy", "volatile-lru"))
	if _, err := Open(t.Context(), "redis://"+server.Addr, Options{}); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Fatalf("open: %v, want an error that names noeviction", err)
	}
}

func TestWrongClock(t *testing.T) {
	server := redistest.Start(t)
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		now := func() time.Time { return time.Now().Add(wrong) }
		if _, err := Open(t.Context(), "redis://"+server.Addr, Options{Now: now}); err == nil || !strings.Contains(err.Error(), "clock is 1h0m0s apart") {
			t.Errorf("open with a clock %v off: %v", wrong, err)
		}
	}
}
