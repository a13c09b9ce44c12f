// Package queuetest is the contract of [queue.Queue] as tests: every engine
// faces the same suite.
package queuetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/queue"
)

// patience bounds every wait; nothing takes a tenth of it unless it hangs.
const patience = 60 * time.Second

// Harness connects the suite to one engine.
type Harness struct {
	// Open returns an empty queue and run, which delivers its jobs until ctx ends, and
	// redelivers a job after perform returned an error.
	Open func(t *testing.T) (q queue.Queue, run func(ctx context.Context, perform func(context.Context, []byte) error))
}

// Run tests the engine against the contract.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"EveryJobComes", testEveryJobComes},
		{"RefusedComesAgain", testRefusedComesAgain},
		{"NotBefore", testNotBefore},
		{"LanesAreSeparate", testLanes},
		{"LargestJob", testLargestJob},
		{"Invalid", testInvalid},
		{"Cancelled", testCancelled},
		{"ManyAtOnce", testManyAtOnce},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, seen: make(map[string]int), news: make(chan struct{}, 1)}
			s.queue, s.run = h.Open(t)
			c.test(t, s)
		})
	}
}

type suite struct {
	*testing.T
	queue queue.Queue
	run   func(context.Context, func(context.Context, []byte) error)

	mu   sync.Mutex
	seen map[string]int
	news chan struct{}
}

// work delivers jobs to perform (nil accepts all) until the test ends or stops
// it.
func (s *suite) work(perform func(j queue.Job) error) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, func(_ context.Context, encoded []byte) error {
			j, err := queue.Decode(encoded)
			if err != nil {
				s.Errorf("delivered %.80s: %v", encoded, err)
				return nil
			}
			if perform != nil {
				if err := perform(j); err != nil {
					return err
				}
			}
			s.mu.Lock()
			s.seen[j.ID]++
			s.mu.Unlock()
			select {
			case s.news <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.Cleanup(stop)
	return stop
}

// wait returns once all ids have been accepted.
func (s *suite) wait(ids ...string) {
	s.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		missing := ""
		for _, id := range ids {
			if s.seen[id] == 0 {
				missing = id
			}
		}
		s.mu.Unlock()
		if missing == "" {
			return
		}
		select {
		case <-s.news:
		case <-deadline:
			s.Fatalf("%s never came", missing)
		}
	}
}

func (s *suite) enqueue(jobs ...queue.Job) {
	s.Helper()
	if err := s.queue.Enqueue(s.Context(), jobs...); err != nil {
		s.Fatal(err)
	}
}

func job(id string, lane queue.Lane) queue.Job {
	return queue.Job{ID: id, Kind: "test", Lane: lane, Body: json.RawMessage(`{"text":"<& 你好 😀>"}`)}
}

func testEveryJobComes(_ *testing.T, s *suite) {
	var ids []string
	var jobs []queue.Job
	for n := range 25 {
		j := job(fmt.Sprint("job", n), []queue.Lane{queue.Fast, queue.Slow}[n%2])
		ids, jobs = append(ids, j.ID), append(jobs, j)
	}
	s.enqueue(jobs[:12]...) // before anybody looks
	s.work(func(j queue.Job) error {
		if string(j.Body) != `{"text":"<& 你好 😀>"}` && !strings.Contains(string(j.Body), `\u003c`) {
			s.Errorf("%s has the body %s", j.ID, j.Body)
		}
		return nil
	})
	s.enqueue(jobs[12:]...) // while somebody does
	s.wait(ids...)
	s.enqueue()
}

func testRefusedComesAgain(_ *testing.T, s *suite) {
	var mu sync.Mutex
	tries := 0
	s.enqueue(job("a", queue.Fast))
	s.work(func(queue.Job) error {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	s.wait("a")
	mu.Lock()
	defer mu.Unlock()
	if tries < 2 {
		s.Errorf("%d tries", tries)
	}
}

func testNotBefore(_ *testing.T, s *suite) {
	s.work(func(j queue.Job) error {
		if early := time.Until(j.NotBefore); early > 0 {
			s.Errorf("%s came %v early", j.ID, early)
		}
		return nil
	})
	soon := job("soon", queue.Fast)
	soon.NotBefore = time.Now().Add(1200 * time.Millisecond)
	past := job("past", queue.Fast)
	past.NotBefore = time.Now().Add(-time.Hour)
	s.enqueue(soon, past, job("now", queue.Fast))
	s.wait("now", "past", "soon")
}

// testLanes: slow jobs that never end do not keep fast ones waiting.
func testLanes(_ *testing.T, s *suite) {
	release := make(chan struct{})
	stop := s.work(func(j queue.Job) error {
		if j.Lane == queue.Slow {
			<-release
		}
		return nil
	})
	var ids []string
	for n := range 20 {
		s.enqueue(job(fmt.Sprint("slow", n), queue.Slow), job(fmt.Sprint("fast", n), queue.Fast))
		ids = append(ids, fmt.Sprint("fast", n))
	}
	s.wait(ids...)
	close(release)
	stop()
}

func testLargestJob(_ *testing.T, s *suite) {
	j := job("large", queue.Slow)
	j.Body = nil
	b, err := queue.Encode(j)
	if err != nil {
		s.Fatal(err)
	}
	j.Body = json.RawMessage(`"` + strings.Repeat("x", queue.MaxJob-len(b)-len(`,"body":""`)) + `"`)
	s.enqueue(j)
	s.work(nil)
	s.wait("large")
	j.Body = json.RawMessage(`"x` + string(j.Body[1:]))
	if err := s.queue.Enqueue(s.Context(), j); !errors.Is(err, queue.ErrInvalid) {
		s.Errorf("one byte more: %v", err)
	}
}

func testInvalid(_ *testing.T, s *suite) {
	if err := s.queue.Enqueue(s.Context(), job("good", queue.Fast), job("bad", "third")); !errors.Is(err, queue.ErrInvalid) {
		s.Errorf("%v", err)
	}
}

func testCancelled(_ *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := s.queue.Enqueue(ctx, job("a", queue.Fast)); !errors.Is(err, context.Canceled) {
		s.Errorf("%v", err)
	}
}

func testManyAtOnce(_ *testing.T, s *suite) {
	s.work(nil)
	var all sync.WaitGroup
	var ids []string
	for n := range 40 {
		id := fmt.Sprint("job", n)
		ids = append(ids, id)
		all.Go(func() {
			if err := s.queue.Enqueue(s.Context(), job(id, queue.Fast)); err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
	s.wait(ids...)
}

func testClosed(_ *testing.T, s *suite) {
	if err := s.queue.Close(); err != nil {
		s.Fatal(err)
	}
	if err := s.queue.Enqueue(s.Context(), job("a", queue.Fast)); !errors.Is(err, queue.ErrUnavailable) {
		s.Errorf("%v", err)
	}
}
