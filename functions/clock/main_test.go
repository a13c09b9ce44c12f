package main_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/rediskv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestHalfDoneTickets: a request for a ticket that was left half done becomes a
// job.
func TestHalfDoneTickets(t *testing.T) {
	event, err := os.ReadFile("events/schedule.json")
	if err != nil {
		t.Fatal(err)
	}
	q := kit.StartQueue(t)
	url := "redis://" + redistest.Start(t).Addr
	store, err := rediskv.Engine.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := due.New(store, "tickets", nil).Put(t.Context(), "im-1", time.Now().Add(-time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	env := q.Env
	env["STATE_URL"] = url
	for range 2 {
		if _, err := faastest.StartLambda(t, faastest.Build(t, "."), env).Invoke(event); err != nil {
			t.Error(err)
		}
	}
	if jobs := q.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], `"kind":"ticket.request"`) || !strings.Contains(jobs[0], `"im-1"`) {
		t.Errorf("jobs %s", jobs)
	}
}

// TestPushesOverdueJobs: a job whose push failed ten minutes ago is pushed by
// the next tick, by one of two that overlap, on every platform.
func TestPushesOverdueJobs(t *testing.T) {
	event, err := os.ReadFile("events/schedule.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tick := range map[string]func(t *testing.T, env map[string]string){
		"Lambda": func(t *testing.T, env map[string]string) {
			if _, err := faastest.StartLambda(t, faastest.Build(t, "."), env).Invoke(event); err != nil {
				t.Error(err)
			}
		},
		"SCF": func(t *testing.T, env map[string]string) {
			if err := faastest.StartSCF(t, faastest.Build(t, "."), env).Timer(); err != nil {
				t.Error(err)
			}
		},
		"a process": func(t *testing.T, env map[string]string) {
			faastest.StartLocal(t, faastest.Build(t, "."), env).WaitLog(t, "tick")
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := kit.StartQueue(t)
			url := "redis://" + redistest.Start(t).Addr
			store, err := rediskv.Engine.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			forget(t, store)
			env := q.Env
			env["STATE_URL"] = url
			tick(t, env)
			if jobs := q.Take(); len(jobs) != 1 {
				t.Errorf("%d jobs pushed by the first tick, want 1", len(jobs))
			}
			tick(t, env)
			if jobs := q.Take(); len(jobs) != 0 {
				t.Errorf("%d jobs pushed by the next tick", len(jobs))
			}
		})
	}
}

// TestCountsAreFolded: what after-send-counter counted becomes a job for job-worker,
// whose kind the clock itself does not carry out.
func TestCountsAreFolded(t *testing.T) {
	q := kit.StartQueue(t)
	env := kit.Settings(q.Env)
	env["STATE_URL"] = "redis://" + redistest.Start(t).Addr
	counter := faastest.StartLocal(t, faastest.Build(t, "github.com/backchannel-im/backchannel/functions/after-send-counter"), env)
	res, err := counter.Do(faastest.Plain, kit.Callback(t, kit.AfterSend("alice", 1)))
	if err != nil {
		t.Fatal(err)
	}
	kit.Read(t, res).WantCode(t, 0)
	if err := faastest.StartLambda(t, faastest.Build(t, "."), map[string]string{
		"STATE_URL": env["STATE_URL"], "QUEUE_URL": env["QUEUE_URL"], "AWS_REGION": env["AWS_REGION"],
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	}).Schedule(); err != nil {
		t.Error(err)
	}
	if jobs := q.Take(); len(jobs) != 1 || !strings.Contains(jobs[0], `"roomstats.fold"`) {
		t.Errorf("jobs %q", jobs)
	}
}

// forget accepts a job ten minutes ago that no engine got.
func forget(t *testing.T, store kv.Store) {
	t.Helper()
	l := queue.NewLedger(store, queuetest.Nowhere{Err: queue.ErrUnavailable}, func() time.Time { return time.Now().Add(-10 * time.Minute) })
	l.Handle("work", func(context.Context, queue.Job) error { return nil })
	if err := l.Put(t.Context(), queue.Job{ID: "a", Kind: "work", Lane: queue.Fast}); err != nil {
		t.Fatal(err)
	}
}
