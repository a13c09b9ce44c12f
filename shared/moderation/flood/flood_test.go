package flood_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/flood"
)

// store counts how often it is asked and written to.
type store struct {
	kv.Store
	looks, writes int
	err           error
}

func (s *store) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	s.looks++
	if s.err != nil {
		return kv.Page{}, s.err
	}
	return s.Store.List(ctx, partition, r)
}

func (s *store) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	s.writes++
	if s.err != nil {
		return s.err
	}
	return s.Store.Commit(ctx, partition, op, writes...)
}

// rig is some instances of a guard, on one clock and one store.
type rig struct {
	*testing.T
	clock     *kvtest.Clock
	store     *store
	instances []*callback.Endpoint
	seq       uint32
}

func newRig(t *testing.T, instances int, c flood.Config) *rig {
	t.Helper()
	r := &rig{T: t, clock: kvtest.NewClock()}
	bolt, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bolt.Close() })
	r.store = &store{Store: bolt}
	c.Now, c.Store = r.clock.Now, r.store
	for range instances {
		mux := callback.NewMux()
		flood.New(c).Register(mux)
		endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: 1, Token: "t", Mux: mux, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		r.instances = append(r.instances, endpoint)
	}
	return r
}

func (r *rig) call(instance int, e callback.Event) int {
	r.Helper()
	body, err := callback.Encode(e)
	if err != nil {
		r.Fatal(err)
	}
	req, err := callback.Signer{SDKAppID: 1, Token: "t", Now: r.clock.Now}.Request(r.Context(), "http://flood.invalid/im", "", body)
	if err != nil {
		r.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.instances[instance].ServeHTTP(w, req)
	var a struct{ ErrorCode int }
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		r.Fatal(err)
	}
	return a.ErrorCode
}

// send asks one of the instances, and returns the code. What passes arrives, of
// which any instance is told, perhaps twice.
func (r *rig) send(instance int, from, to, groupID, text string) int {
	r.Helper()
	r.seq++
	at, body := callback.Seconds(r.clock.Now().Unix()), im.Text(text)
	var before, after callback.Event = &callback.GroupBeforeSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"}, GroupID: groupID, From: from, MsgBody: body,
	}, &callback.GroupAfterSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: groupID, From: from, MsgSeq: r.seq, MsgTime: at, MsgBody: body,
	}
	if to != "" {
		before = &callback.C2CBeforeSendMsg{Base: callback.Base{CallbackCommand: "C2C.CallbackBeforeSendMsg"}, From: from, To: to, MsgBody: body}
		after = &callback.C2CAfterSendMsg{
			Base: callback.Base{CallbackCommand: "C2C.CallbackAfterSendMsg"}, From: from, To: to, MsgKey: fmt.Sprint(r.seq), MsgTime: at, MsgBody: body,
		}
	}
	code := r.call(instance, before)
	if code == 0 {
		told := int(r.seq*7) % len(r.instances)
		r.call(told, after)
		if len(r.instances) > 1 && r.seq%2 == 0 {
			r.call(told, after)
		}
	}
	return code
}

var limit = flood.Config{Messages: 20, Window: 10 * time.Second}

// TestOneInstance: as many as the limit says, in each conversation, and again
// when the time is over.
func TestOneInstance(t *testing.T) {
	r := newRig(t, 1, limit)
	passes := func(from, to, groupID string) (n int) {
		for i := range 30 {
			if r.send(0, from, to, groupID, fmt.Sprint("text ", i)) == 0 {
				n++
			}
		}
		return n
	}
	if n := passes("jane", "", "room"); n != 20 {
		t.Errorf("%d passed in the room, want 20", n)
	}
	for name, n := range map[string]int{"another room": passes("jane", "", "other"), "one-to-one": passes("jane", "joe", ""), "another user": passes("joe", "", "room")} {
		if n != 20 {
			t.Errorf("%s: %d passed, want 20", name, n)
		}
	}
	// Half the time later, half of what was counted still counts.
	r.clock.Advance(15 * time.Second)
	if n := passes("jane", "", "room"); n == 0 || n >= 20 {
		t.Errorf("%d passed while she had gone on all the time", n)
	}
	r.clock.Advance(time.Minute)
	if n := passes("jane", "", "room"); n != 20 {
		t.Errorf("%d passed a minute later, want 20", n)
	}
}

// TestFourInstances: however a flood is spread, less than twice the limit arrives
// within any window, and the limit itself always does.
func TestFourInstances(t *testing.T) {
	for name, choose := range map[string]func(i int) int{
		"in turn":     func(i int) int { return i % 4 },
		"at random":   func(int) int { return rand.IntN(4) },
		"mostly one":  func(i int) int { return max(0, i%10-6) },
		"all at one":  func(int) int { return 0 },
		"in sequence": func(i int) int { return i / 25 % 4 },
	} {
		for _, pause := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
			r := newRig(t, 4, limit)
			var arrived []time.Time
			for i := range 1000 {
				r.clock.Advance(pause)
				if r.send(choose(i), "jane", "", "room", fmt.Sprint("text ", i)) == 0 {
					arrived = append(arrived, r.clock.Now())
				}
			}
			most := 0
			for i, first := range arrived {
				n := i
				for n < len(arrived) && arrived[n].Sub(first) < limit.Window {
					n++
				}
				most = max(most, n-i)
			}
			if most < limit.Messages || most >= 2*limit.Messages {
				t.Errorf("%s, every %v: %d arrived within %v, want %d to %d", name, pause, most, limit.Window, limit.Messages, 2*limit.Messages-1)
			}
		}
	}
}

// TestNobodyLooksAtTheOthers: who writes a little costs neither a look nor a
// write.
func TestNobodyLooksAtTheOthers(t *testing.T) {
	r := newRig(t, 4, limit)
	for i := range 1000 {
		r.clock.Advance(3 * time.Second)
		if code := r.send(i%4, "jane", "", "room", fmt.Sprint("text ", i)); code != 0 {
			t.Fatalf("message %d: code %d", i, code)
		}
	}
	if r.store.looks+r.store.writes > 0 {
		t.Errorf("%d looks, %d writes", r.store.looks, r.store.writes)
	}
}

func TestStoreAway(t *testing.T) {
	r := newRig(t, 1, limit)
	r.store.err = errors.New("away")
	n := 0
	for i := range 50 {
		if r.send(0, "jane", "", "room", fmt.Sprint("text ", i)) == 0 {
			n++
		}
	}
	if n != limit.Messages {
		t.Errorf("%d passed, want the instance's own limit", n)
	}
}

// TestSame: nearly the same text, wherever it is written, and nothing else.
func TestSame(t *testing.T) {
	r := newRig(t, 1, flood.Config{Same: 3, SameWindow: time.Minute, GroupCode: 10150, C2CCode: 120150})
	for i, tt := range []struct {
		from, to, groupID, text string
		code                    int
	}{
		{"jane", "", "room", "Buy my shoes!", 0},
		{"jane", "", "other", "buy my SHOES 2", 0},
		{"jane", "joe", "", "buuuy my shoes...", 0},
		{"jane", "joe", "", "buy my shoes", 120150},
		{"jane", "", "room", "buy-my-shoes", 10150},
		{"jane", "", "room", "my shoes are new", 0},
		{"joe", "", "room", "buy my shoes", 0},
		{"jane", "", "room", "666", 0},
		{"jane", "", "room", "777", 0},
		{"jane", "", "room", "888", 0},
		{"jane", "", "room", "999", 0},
		{"administrator", "", "room", "666", 0},
	} {
		if code := r.send(0, tt.from, tt.to, tt.groupID, tt.text); code != tt.code {
			t.Errorf("message %d, %q: code %d, want %d", i+1, tt.text, code, tt.code)
		}
	}
	r.clock.Advance(3 * time.Minute)
	if code := r.send(0, "jane", "", "room", "buy my shoes"); code != 0 {
		t.Errorf("minutes later: code %d", code)
	}
}

func TestExempt(t *testing.T) {
	c := limit
	c.Exempt, c.Same, c.SameWindow = []string{"administrator"}, 1, time.Minute
	r := newRig(t, 1, c)
	for range 100 {
		for _, from := range []string{"administrator", "@RBT#001"} {
			if code := r.send(0, from, "", "room", "news"); code != 0 {
				t.Fatalf("%s: code %d", from, code)
			}
		}
	}
}

// TestManyUsers: an instance remembers so many and no more, and still refuses
// who floods among them.
func TestManyUsers(t *testing.T) {
	g := flood.New(limit)
	flooded := false
	for i := range 200_000 {
		g.TooMuch(t.Context(), fmt.Sprint("user", i), "room", im.Text("hello"))
		if i%1000 == 0 {
			flooded = g.TooMuch(t.Context(), "jane", "room", im.Text("hello")) || flooded
		}
	}
	if n := g.Remembered(); n > 150_000 {
		t.Errorf("%d remembered", n)
	}
	if !flooded {
		t.Error("nobody noticed jane")
	}
}

func BenchmarkClean(b *testing.B) {
	g := flood.New(flood.Config{Messages: 20, Window: 10 * time.Second, Same: 5, SameWindow: time.Minute})
	body := im.Text("good evening, who is playing tonight?")
	users := make([]string, 10_000)
	for i := range users {
		users[i] = fmt.Sprint("user", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		g.TooMuch(b.Context(), users[i%len(users)], "room", body)
	}
}
