package idem_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

func TestContract(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"Replay", testReplay},
		{"OtherRequest", testOtherRequest},
		{"InProgress", testInProgress},
		{"LeftInProgress", testLeftInProgress},
		{"FailuresAreNotKept", testFailuresAreNotKept},
		{"PanicsAreNotKept", testPanicsAreNotKept},
		{"NoTimeLeft", testNoTimeLeft},
		{"LostLease", testLostLease},
		{"LostToOneAtWork", testLostToOneAtWork},
		{"LargeAnswers", testLargeAnswers},
		{"Expiry", testExpiry},
		{"ManyAtOnce", testManyAtOnce},
		{"StoreDown", testStoreDown},
		{"Unreliable", testUnreliable},
		{"Deaths", testDeaths},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			s := &suite{T: t, store: store, clock: clock}
			s.keeper = s.another(store)
			c.test(t, s)
		}})
	}
	enginetest.Run(t, tests)
}

// suite is what one test works with.
type suite struct {
	*testing.T
	store  kv.Store
	clock  *kvtest.Clock
	keeper *idem.Keeper
	worked int
}

// another is a keeper as another process has it.
func (s *suite) another(store kv.Store) *idem.Keeper { return idem.New(store, s.clock.Now) }

const scope = "server shop\nPOST /mail"

var body = sha256.Sum256([]byte(`{"to":"ann"}`))

// do does work that answers with how often it was done.
func (s *suite) do(key string) (answer string, replayed bool, err error) {
	a, replayed, err := s.keeper.Do(s.Context(), scope, key, body, s.work)
	return string(a), replayed, err
}

func (s *suite) work(context.Context) ([]byte, error) {
	s.worked++
	return fmt.Appendf(nil, "answer %d", s.worked), nil
}

// answers requires that doing key gives this answer.
func (s *suite) answers(key, want string, replayed bool) {
	s.Helper()
	got, again, err := s.do(key)
	if got != want || again != replayed || err != nil {
		s.Errorf("%q, replayed %v, %v; want %q, %v", got, again, err, want, replayed)
	}
}

func testReplay(_ *testing.T, s *suite) {
	s.answers("k1", "answer 1", false)
	s.answers("k1", "answer 1", true)
	s.keeper = s.another(s.store)
	s.answers("k1", "answer 1", true)
	s.answers("k2", "answer 2", false)
	// Another caller's or route's key is another key, wherever the line is
	// drawn between the two.
	for n, scope := range []string{"server shop\nPOST /other", "user ann\nPOST /mail", "", "k"} {
		a, replayed, err := s.keeper.Do(s.Context(), scope, "k1", body, s.work)
		if string(a) != fmt.Sprint("answer ", n+3) || replayed || err != nil {
			s.Errorf("scope %q: %q, %v, %v", scope, a, replayed, err)
		}
	}
	a, replayed, err := s.keeper.Do(s.Context(), "kk", "1", body, s.work)
	if string(a) != "answer 7" || replayed || err != nil {
		s.Errorf("%q, %v, %v", a, replayed, err)
	}
	empty := func(context.Context) ([]byte, error) { return nil, nil }
	for _, again := range []bool{false, true} {
		if a, replayed, err := s.keeper.Do(s.Context(), scope, "empty", body, empty); len(a) > 0 || replayed != again || err != nil {
			s.Errorf("%q, %v, %v", a, replayed, err)
		}
	}
}

func testOtherRequest(t *testing.T, s *suite) {
	other := sha256.Sum256([]byte(`{"to":"bob"}`))
	mismatch := func() {
		t.Helper()
		a, _, err := s.keeper.Do(t.Context(), scope, "k", other, func(context.Context) ([]byte, error) {
			t.Error("done")
			return nil, nil
		})
		if a != nil || !errors.Is(err, idem.ErrOtherRequest) || fault.CodeOf(err).Status() != 422 {
			t.Errorf("%q, %v", a, err)
		}
	}
	_, _, err := s.keeper.Do(t.Context(), scope, "k", body, func(ctx context.Context) ([]byte, error) {
		mismatch() // also while the first is worked on
		return s.work(ctx)
	})
	if err != nil {
		t.Error(err)
	}
	mismatch()
	s.answers("k", "answer 1", true)
}

func testInProgress(t *testing.T, s *suite) {
	_, _, err := s.keeper.Do(t.Context(), scope, "k", body, func(ctx context.Context) ([]byte, error) {
		a, replayed, err := s.do("k")
		public := fault.Of(err)
		if a != "" || replayed || !errors.Is(err, idem.ErrInProgress) || public.Code.Status() != 409 {
			t.Errorf("%q, %v, %v", a, replayed, err)
		}
		if public.RetryAfter <= 0 || public.RetryAfter > 10*time.Second {
			t.Errorf("to come again after %v", public.RetryAfter)
		}
		return s.work(ctx)
	})
	if err != nil {
		t.Error(err)
	}
	s.answers("k", "answer 1", true)
}

// vanish begins a request and never ends it, as a process that is killed.
func (s *suite) vanish(ctx context.Context, key string) {
	killed := false
	mortal := kvtest.Hook(s.store, func(_ string, call func() error) error {
		if killed {
			return kv.ErrUnavailable
		}
		return call()
	})
	_, _, _ = s.another(mortal).Do(ctx, scope, key, body, func(context.Context) ([]byte, error) {
		killed = true
		return nil, errors.New("killed")
	})
}

// testLeftInProgress: what a timeout left blocks its repeats for as long as the
// one who left it had, and a little longer.
func testLeftInProgress(t *testing.T, s *suite) {
	for name, tt := range map[string]struct{ allowed, blocked time.Duration }{
		"with a deadline": {10 * time.Second, 15 * time.Second},
		"without":         {0, 125 * time.Second},
	} {
		s.worked = 0
		ctx := t.Context()
		if tt.allowed > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, tt.allowed)
			defer cancel()
		}
		s.vanish(ctx, name)
		s.clock.Advance(tt.blocked - 2*time.Second)
		if _, _, err := s.do(name); !errors.Is(err, idem.ErrInProgress) {
			t.Errorf("%s, before the lease ended: %v", name, err)
		}
		s.clock.Advance(2 * time.Second)
		s.answers(name, "answer 1", false)
		s.answers(name, "answer 1", true)
	}
}

func testFailuresAreNotKept(t *testing.T, s *suite) {
	down := errors.New("the desk does not answer")
	for range 3 {
		a, replayed, err := s.keeper.Do(t.Context(), scope, "k", body, func(context.Context) ([]byte, error) {
			return []byte("half an answer"), down
		})
		if a != nil || replayed || !errors.Is(err, down) {
			t.Errorf("%q, %v, %v", a, replayed, err)
		}
	}
	s.answers("k", "answer 1", false)
	s.answers("k", "answer 1", true)
}

func testPanicsAreNotKept(t *testing.T, s *suite) {
	func() {
		defer func() {
			if p := recover(); p != "oh" {
				t.Errorf("the panic became %v", p)
			}
		}()
		_, _, _ = s.keeper.Do(t.Context(), scope, "k", body, func(context.Context) ([]byte, error) { panic("oh") })
	}()
	s.answers("k", "answer 1", false)
}

func testNoTimeLeft(t *testing.T, s *suite) {
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, _, err := s.keeper.Do(over, scope, "k", body, s.work)
	if !errors.Is(err, context.DeadlineExceeded) || s.worked > 0 {
		t.Errorf("%v after the deadline, worked %d times", err, s.worked)
	}
	s.answers("k", "answer 1", false)

	// Time that runs out at work: the answer that came all the same is kept.
	stopped, stop := context.WithCancel(t.Context())
	a, _, err := s.keeper.Do(stopped, scope, "late", body, func(ctx context.Context) ([]byte, error) {
		stop()
		return s.work(ctx)
	})
	if string(a) != "answer 2" || err != nil {
		t.Errorf("%q, %v", a, err)
	}
	s.answers("late", "answer 2", true)
}

// testLostLease: one who took too long does not overwrite the answer of the
// next, and says what that one said.
func testLostLease(t *testing.T, s *suite) {
	a, replayed, err := s.keeper.Do(t.Context(), scope, "k", body, func(context.Context) ([]byte, error) {
		s.clock.Advance(3 * time.Minute)
		s.answers("k", "answer 1", false)
		return []byte("too late"), nil
	})
	if string(a) != "answer 1" || !replayed || err != nil {
		t.Errorf("%q, %v, %v", a, replayed, err)
	}
	s.answers("k", "answer 1", true)

	// Nor does its failure free the slot.
	_, _, err = s.keeper.Do(t.Context(), scope, "failing", body, func(context.Context) ([]byte, error) {
		s.clock.Advance(3 * time.Minute)
		s.answers("failing", "answer 2", false)
		return nil, errors.New("too late, too")
	})
	if err == nil {
		t.Error("a failure was no failure")
	}
	s.answers("failing", "answer 2", true)
}

func testLostToOneAtWork(t *testing.T, s *suite) {
	_, _, err := s.keeper.Do(t.Context(), scope, "k", body, func(context.Context) ([]byte, error) {
		s.clock.Advance(3 * time.Minute)
		s.vanish(t.Context(), "k")
		return []byte("too late"), nil
	})
	if !errors.Is(err, idem.ErrInProgress) {
		t.Errorf("%v", err)
	}
	s.clock.Advance(3 * time.Minute)
	s.answers("k", "answer 1", false)
}

func testLargeAnswers(t *testing.T, s *suite) {
	for size, kept := range map[int]bool{idem.MaxAnswer: true, idem.MaxAnswer + 1: false} {
		answer := bytes.Repeat([]byte("\xff"), size)
		key, done := fmt.Sprint(size), 0
		large := func(context.Context) ([]byte, error) {
			done++
			return answer, nil
		}
		a, replayed, err := s.keeper.Do(t.Context(), scope, key, body, large)
		if !bytes.Equal(a, answer) || replayed || err != nil {
			t.Errorf("%d bytes: %d came, %v, %v", size, len(a), replayed, err)
		}
		a, replayed, err = s.keeper.Do(t.Context(), scope, key, body, large)
		switch {
		case done != 1:
			t.Errorf("%d bytes: done %d times", size, done)
		case kept && (!bytes.Equal(a, answer) || !replayed || err != nil):
			t.Errorf("%d bytes: %d came again, %v, %v", size, len(a), replayed, err)
		case !kept && (!errors.Is(err, idem.ErrNotKept) || fault.Of(err).RetryAfter > 0):
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func testExpiry(_ *testing.T, s *suite) {
	s.answers("k", "answer 1", false)
	s.clock.Advance(idem.Kept - time.Second)
	s.answers("k", "answer 1", true)
	s.clock.Advance(time.Second)
	s.answers("k", "answer 2", false)
}

func testManyAtOnce(t *testing.T, s *suite) {
	var mu sync.Mutex
	done, busy, answered := 0, 0, 0
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			a, _, err := s.another(s.store).Do(t.Context(), scope, "k", body, func(context.Context) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				done++
				return []byte("the answer"), nil
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, idem.ErrInProgress):
				busy++
			case err == nil && string(a) == "the answer":
				answered++
			default:
				t.Errorf("%q, %v", a, err)
			}
		})
	}
	all.Wait()
	if done != 1 || answered < 1 || answered+busy != 16 {
		t.Errorf("done %d times, %d answered, %d to come again", done, answered, busy)
	}
}

func testStoreDown(t *testing.T, s *suite) {
	down := kvtest.Hook(s.store, func(string, func() error) error { return kv.ErrUnavailable })
	_, _, err := s.another(down).Do(t.Context(), scope, "k", body, s.work)
	if fault.CodeOf(err) != fault.Unavailable || !errors.Is(err, kv.ErrUnavailable) || s.worked > 0 {
		t.Errorf("%v, worked %d times", err, s.worked)
	}
}

// testUnreliable: over a store whose answers are lost, a request is answered in
// the end, and from then on always the same.
func testUnreliable(t *testing.T, s *suite) {
	bad := s.another(kvtest.Unreliable(s.store, 0.3, rand.New(rand.NewPCG(5, 6))))
	for n := range 20 {
		key := fmt.Sprint("k", n)
		kept := ""
		for try := 0; kept == "" && try < 50; try++ {
			a, replayed, err := bad.Do(t.Context(), scope, key, body, s.work)
			if err == nil && replayed {
				kept = string(a)
			}
			if err != nil && fault.CodeOf(err) != fault.Unavailable && !errors.Is(err, idem.ErrInProgress) {
				t.Fatal(err)
			}
			s.clock.Advance(time.Minute)
		}
		if kept == "" {
			t.Fatalf("%s was never answered", key)
		}
		s.answers(key, kept, true)
	}
}

// testDeaths: wherever a process dies, the repeat is answered once the lease
// has ended, and from then on always the same.
func testDeaths(t *testing.T, s *suite) {
	enginetest.EachDeath(t, s.store, func(t *testing.T, name string, mortal kv.Store) {
		s := &suite{T: t, store: s.store, clock: s.clock, keeper: s.keeper}
		_, _, err := s.another(mortal).Do(t.Context(), scope, name, body, s.work)
		if err != nil && s.worked > 0 {
			t.Errorf("worked, and then %v", err)
		}
		s.clock.Advance(3 * time.Minute)
		a, _, err := s.do(name)
		if a == "" || err != nil || s.worked > 2 {
			t.Errorf("%q, %v after working %d times", a, err, s.worked)
		}
		s.answers(name, a, true)
	})
}
