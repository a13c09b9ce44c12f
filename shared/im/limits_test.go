package im_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// meter is an IM without a network that notes when it was called, and for how
// many receivers.
type meter struct {
	mu    sync.Mutex
	calls []metered
}

type metered struct {
	at time.Time
	n  int
}

func (m *meter) RoundTrip(req *http.Request) (*http.Response, error) {
	var in struct {
		To json.RawMessage `json:"To_Account"`
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		return nil, err
	}
	n := 1
	var list []string
	if json.Unmarshal(in.To, &list) == nil {
		n = len(list)
	}
	m.mu.Lock()
	m.calls = append(m.calls, metered{time.Now(), n})
	m.mu.Unlock()
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(fine))}, nil
}

// most is the largest number within any span, both ends excluded from being a
// span apart.
func (m *meter) most(span time.Duration) int {
	slices.SortFunc(m.calls, func(a, b metered) int { return a.at.Compare(b.at) })
	most, sum, first := 0, 0, 0
	for _, c := range m.calls {
		sum += c.n
		for c.at.Sub(m.calls[first].at) >= span {
			sum -= m.calls[first].n
			first++
		}
		most = max(most, sum)
	}
	return most
}

func (m *meter) total() int {
	sum := 0
	for _, c := range m.calls {
		sum += c.n
	}
	return sum
}

func (m *meter) client(t testing.TB, share float64) *im.Client {
	t.Helper()
	c, err := im.NewClient(im.Config{Domain: "im.invalid", SDKAppID: appID, Key: key, Admin: admin, Share: share, Transport: m})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// load runs processes of so many workers, each calling without a pause until the
// time is over, and returns what IM saw.
func load(t *testing.T, processes, workers int, share float64, lasts time.Duration, call func(context.Context, *im.Client) error) *meter {
	m := &meter{}
	synctest.Test(t, func(t *testing.T) {
		end, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		var wg sync.WaitGroup
		for range processes {
			c := m.client(t, share)
			for range workers {
				wg.Go(func() {
					for call(end, c) == nil {
					}
				})
			}
		}
		wg.Wait()
	})
	return m
}

func kickAlice(ctx context.Context, c *im.Client) error { return c.Kick(ctx, "alice") }

// However many call, no second sees more than IM's allowance, and hardly any of
// it is lost: one process with all of it, or four with a quarter each.
func TestAllowanceIsKeptAndUsed(t *testing.T) {
	for _, c := range []struct {
		name      string
		processes int
		share     float64
		call      func(context.Context, *im.Client) error
		rate      int
	}{
		{"one process", 1, 1, kickAlice, 200},
		{"four processes", 4, 0.25, kickAlice, 200},
		{"three processes", 3, 1.0 / 3, kickAlice, 200},
		{"a slower API", 4, 0.25, func(ctx context.Context, c *im.Client) error {
			_, err := c.CheckAccounts(ctx, []string{"alice"})
			return err
		}, 100},
		{"one group", 4, 0.25, func(ctx context.Context, c *im.Client) error {
			_, err := c.SendGroupMsg(ctx, shout)
			return err
		}, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			const lasts = 30 * time.Second
			m := load(t, c.processes, 20, c.share, lasts, c.call)
			if most := m.most(time.Second); most > c.rate {
				t.Errorf("%d within a second, IM takes %d", most, c.rate)
			}
			if total, all := m.total(), c.rate*int(lasts/time.Second); total*100 < all*95 {
				t.Errorf("%d of %d used", total, all)
			}
		})
	}
}

// A share below one call a second is one call in a longer time.
func TestShareOfLittle(t *testing.T) {
	m := load(t, 1, 3, 0.25, 41*time.Second, func(ctx context.Context, c *im.Client) error {
		_, err := c.SendBroadcastMsg(ctx, im.BroadcastMsg{From: "bob", Random: 1, Body: hi})
		return err
	})
	if most, total := m.most(4*time.Second), m.total(); most > 1 || total < 10 {
		t.Errorf("%d within four seconds, %d in all", most, total)
	}
}

// Receivers count, not calls; and a call has no more of them than may ever be
// sent at once.
func TestReceiversOfBatches(t *testing.T) {
	for share, perCall := range map[float64]int{1: 500, 0.25: 500, 0.01: 120} {
		m := &meter{}
		synctest.Test(t, func(t *testing.T) {
			long, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			allowed := int(12000 * share)
			sent, err := m.client(t, share).BatchSendMsg(long, users(3*allowed), note)
			if err != nil || sent.Done != 3*allowed {
				t.Errorf("%+v, %v", sent, err)
			}
			if took := time.Since(m.calls[0].at); took < 2*time.Minute || took > 2*time.Minute+5*time.Second {
				t.Errorf("share %v: took %v", share, took)
			}
			if most := m.most(time.Minute); most > allowed {
				t.Errorf("share %v: %d receivers within a minute, want at most %d", share, most, allowed)
			}
			if m.calls[0].n != perCall {
				t.Errorf("share %v: %d receivers in a call, want %d", share, m.calls[0].n, perCall)
			}
		})
	}
}

// A call whose turn would come after its deadline fails at once and takes
// nothing from the others.
func TestTurnAfterTheDeadline(t *testing.T) {
	m := &meter{}
	synctest.Test(t, func(t *testing.T) {
		c := m.client(t, 1)
		for range 200 {
			if err := c.Kick(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 300 {
			e := only(t, c.Kick(short, "alice"), im.ClassThrottled)
			if time.Since(began) != 0 || e.MayHaveWorked {
				t.Fatal("waited, or in doubt:", e)
			}
		}
		if err := c.Kick(t.Context(), "alice"); err != nil || time.Since(began) > 1100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Without a deadline nobody waits for more than two minutes.
func TestPatienceEnds(t *testing.T) {
	m := &meter{}
	synctest.Test(t, func(t *testing.T) {
		c := m.client(t, 0.002)
		send := func() error {
			_, err := c.SendBroadcastMsg(t.Context(), im.BroadcastMsg{From: "bob", Random: 1, Body: hi})
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		only(t, send(), im.ClassThrottled)
		if len(m.calls) != 1 {
			t.Errorf("%d calls", len(m.calls))
		}
	})
}

// Who comes first is served first, and those who wait are held when IM says so.
func TestTurnsAreInOrder(t *testing.T) {
	m := &meter{}
	synctest.Test(t, func(t *testing.T) {
		c := m.client(t, 0.1) // 4 messages a second to a group
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := c.SendGroupMsg(t.Context(), shout); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i/4)
				mu.Unlock()
			})
			synctest.Wait()
		}
		wg.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("served in order %v", order)
		}
	})
}

// silenced is an IM that asks for silence half a second after the first call.
type silenced struct{ meter }

func (s *silenced) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	first := len(s.calls) == 0
	s.mu.Unlock()
	resp, err := s.meter.RoundTrip(req)
	if first {
		time.Sleep(500 * time.Millisecond) // in a bubble
		resp.Body = io.NopCloser(strings.NewReader(code(70050, "wait a minute").body))
	}
	return resp, err
}

// Who already waits for a turn waits longer when IM asks for it, and then they do
// not come all at once.
func TestThoseWhoWaitAreHeldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silenced{}
		c, err := im.NewClient(im.Config{Domain: "im.invalid", SDKAppID: appID, Key: key, Admin: admin, Share: 0.01, Transport: s})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range 40 { // two a second: the others wait
			wg.Go(func() { _ = kickAlice(t.Context(), c) })
			synctest.Wait()
		}
		wg.Wait()
		if len(s.calls) != 40 || s.calls[2].at.Sub(began) < time.Minute || s.most(time.Second) > 2 {
			t.Errorf("%d within a second, calls at %v", s.most(time.Second), s.calls)
		}
	})
}

// busyMeter notes only the calls to the group busy.
type busyMeter struct{ meter }

func (m *busyMeter) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(body), `"GroupId":"busy"`) {
		m.mu.Lock()
		m.calls = append(m.calls, metered{time.Now(), 1})
		m.mu.Unlock()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(fine))}, nil
}

// Groups that are quiet again are forgotten, and a busy one gets no more by it.
func TestManyGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &busyMeter{}
		c, err := im.NewClient(im.Config{Domain: "im.invalid", SDKAppID: appID, Key: key, Admin: admin, Transport: m})
		if err != nil {
			t.Fatal(err)
		}
		end, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		send := func(groupID string) error {
			to := shout
			to.GroupID = groupID
			_, err := c.SendGroupMsg(end, to)
			return err
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for send("busy") == nil {
				}
			})
		}
		wg.Go(func() {
			for i := 0; send(fmt.Sprint("group", i)) == nil; i++ {
			}
		})
		wg.Wait()
		if most := m.most(time.Second); most > 40 || len(m.calls) < 400 {
			t.Errorf("%d messages to one group within a second, %d in all", most, len(m.calls))
		}
	})
}
