package boltqueue_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

func open(t testing.TB, path string) *boltqueue.Queue {
	t.Helper()
	q, err := boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func TestContract(t *testing.T) {
	queuetest.Run(t, queuetest.Harness{
		Open: func(t *testing.T) (queue.Queue, func(context.Context, func(context.Context, []byte) error)) {
			q := open(t, filepath.Join(t.TempDir(), "jobs.db"))
			return q, func(ctx context.Context, perform func(context.Context, []byte) error) {
				if err := q.Run(ctx, perform); err != nil {
					t.Error(err)
				}
			}
		},
	})
}

func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	open(t, path)
	if _, err := boltqueue.Open(path, boltqueue.Options{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
}

func TestFilesThatWillNotDo(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a folder": dir, "a text": text, "no name": ""} {
		if q, err := boltqueue.Open(path, boltqueue.Options{}); err == nil {
			_ = q.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

// TestStopsBetweenJobs: Run ends when told to, with the job in hand finished.
func TestStopsBetweenJobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	q := open(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	for n := range 3 {
		if err := q.Enqueue(t.Context(), job(n)); err != nil {
			t.Fatal(err)
		}
	}
	finished := make(chan string, 3)
	err := q.Run(ctx, func(ctx context.Context, encoded []byte) error {
		cancel()
		if ctx.Err() != nil {
			t.Error("the job in hand is cancelled")
		}
		finished <- string(encoded)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	done := len(finished)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if rest := drain(t, open(t, path), 3-done); done == 0 || len(rest) != 3-done {
		t.Errorf("%d before, %d after", done, len(rest))
	}
}

func job(n int) queue.Job {
	return queue.Job{ID: fmt.Sprint("job", n), Kind: "test", Lane: queue.Fast}
}

// drain accepts jobs until at least n different ones have come.
func drain(t *testing.T, q *boltqueue.Queue, n int) map[string]int {
	t.Helper()
	return drainUntil(t, q, func(seen map[string]int) bool { return len(seen) >= n })
}

// drainUntil accepts jobs until enough have come.
func drainUntil(t *testing.T, q *boltqueue.Queue, enough func(seen map[string]int) bool) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if enough(seen) {
		return seen
	}
	came := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- q.Run(ctx, func(_ context.Context, encoded []byte) error {
			j, err := queue.Decode(encoded)
			if err != nil {
				t.Error(err)
			}
			came <- j.ID
			return nil
		})
	}()
	for waiting := true; waiting; waiting = waiting && !enough(seen) {
		select {
		case id := <-came:
			seen[id]++
		case <-ctx.Done():
			t.Errorf("only %d came", len(seen))
			waiting = false
		}
	}
	cancel()
	for {
		select {
		case id := <-came:
			seen[id]++
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return seen
		}
	}
}

// TestNotAMicrosecondEarly: times within a millisecond are kept as well.
func TestNotAMicrosecondEarly(t *testing.T) {
	base := time.Now().Truncate(time.Second)
	var now atomic.Int64 // microseconds after base
	q, err := boltqueue.Open(filepath.Join(t.TempDir(), "jobs.db"), boltqueue.Options{
		Now: func() time.Time { return base.Add(time.Duration(now.Load()) * time.Microsecond) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	late, early := job(1), job(2)
	late.NotBefore, early.NotBefore = base.Add(1999*time.Microsecond), base.Add(time.Microsecond)
	if err := q.Enqueue(t.Context(), late, early); err != nil {
		t.Fatal(err)
	}
	now.Store(1200)
	if seen := drain(t, q, 1); seen["job1"] > 0 || seen["job2"] != 1 {
		t.Errorf("after 1.2 ms came %v", seen)
	}
	now.Store(2000)
	if seen := drain(t, q, 1); seen["job1"] != 1 {
		t.Errorf("after 2 ms came %v", seen)
	}
}

// TestKill: what Enqueue acknowledged is there after the process was killed, and
// so is what a worker had in hand.
func TestKill(t *testing.T) {
	const kills = 30
	path := filepath.Join(t.TempDir(), "jobs.db")
	acknowledged := make(map[string]bool)
	for round := range kills {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledChild$")
		child.Env = append(os.Environ(), "BOLTQUEUE_CHILD="+path, fmt.Sprint("BOLTQUEUE_ROUND=", round))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		taken := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, id, _ := strings.Cut(lines.Text(), " ")
			taken = taken || what == "taken"
			if what == "put" {
				acknowledged[id] = true
			}
			if taken && len(acknowledged) >= 7*(round+1) {
				break
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if !taken {
			t.Fatal("the child ended before it was killed")
		}
	}
	// Jobs whose acknowledgement was cut off may be there as well.
	came := drainUntil(t, open(t, path), func(seen map[string]int) bool {
		for id := range acknowledged {
			if seen[id] == 0 {
				return false
			}
		}
		return true
	})
	for id := range acknowledged {
		if came[id] == 0 {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	t.Logf("%d kills, %d jobs acknowledged", kills, len(acknowledged))
}

// TestKilledChild is the process that TestKill kills, with jobs in hand that
// never end.
func TestKilledChild(t *testing.T) {
	path := os.Getenv("BOLTQUEUE_CHILD")
	if path == "" {
		return
	}
	q := open(t, path)
	go func() {
		_ = q.Run(t.Context(), func(context.Context, []byte) error {
			fmt.Println("taken")
			select {}
		})
	}()
	for n := range 100_000 {
		j := queue.Job{ID: fmt.Sprintf("%s-%d", os.Getenv("BOLTQUEUE_ROUND"), n), Kind: "test", Lane: queue.Fast}
		if q.Enqueue(t.Context(), j) == nil {
			fmt.Println("put", j.ID)
		}
	}
}
