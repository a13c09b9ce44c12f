package roomstats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// ms is a time within a test, in milliseconds since its start.
func (s *Stats) ms(start time.Time, n int64) callback.Millis {
	return callback.Millis(start.UnixMilli() + n)
}

func join(room, user, platform string, at callback.Millis) *callback.GroupAfterNewMemberJoin {
	e := &callback.GroupAfterNewMemberJoin{GroupID: room, Type: "AVChatRoom", JoinType: "Apply", NewMembers: []callback.Member{{UserID: user}}, EventTime: at}
	e.Query.OptPlatform = platform
	return e
}

func quit(room, user, platform string, at callback.Millis) *callback.GroupAfterMemberExit {
	e := &callback.GroupAfterMemberExit{GroupID: room, Type: "AVChatRoom", ExitType: "Quit", ExitMembers: []callback.Member{{UserID: user}}, EventTime: at}
	e.Query.OptPlatform = platform
	return e
}

func state(room, user, event, cause string, at callback.Millis) *callback.GroupOnMemberStateChange {
	return &callback.GroupOnMemberStateChange{GroupID: room, EventType: event, EventCause: cause, MemberList: []callback.Member{{UserID: user}}, EventTime: at}
}

func device(user, platform, action string, at callback.Millis) *callback.StateChange {
	e := &callback.StateChange{Info: callback.StateInfo{Action: action, UserID: user}, EventTime: at}
	e.Query.OptPlatform = platform
	return e
}

// hear has the rules hear callbacks.
func (s *Stats) hear(t *testing.T, events ...callback.Event) {
	t.Helper()
	for _, e := range events {
		var err error
		switch e := e.(type) {
		case *callback.GroupAfterNewMemberJoin:
			err = s.joined(t.Context(), e)
		case *callback.GroupAfterMemberExit:
			err = s.left(t.Context(), e)
		case *callback.GroupOnMemberStateChange:
			err = s.memberState(t.Context(), e)
		case *callback.StateChange:
			err = s.deviceState(t.Context(), e)
		default:
			t.Fatalf("%T", e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantOnline requires a room's online count, and how long a user was.
func (s *Stats) wantOnline(t *testing.T, room string, online int64, seconds map[string]int64) {
	t.Helper()
	r, err := s.Totals(t.Context(), room)
	if err != nil || r.Online != online {
		t.Errorf("%s: %d online, want %d; %v", room, r.Online, online, err)
	}
	for user, want := range seconds {
		if u, err := s.User(t.Context(), room, user); err != nil || u.OnlineSeconds != want {
			t.Errorf("%s in %s: %d seconds, want %d; %v", user, room, u.OnlineSeconds, want, err)
		}
	}
}

func TestSessions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		events  func(at func(int64) callback.Millis) []callback.Event
		online  int64
		seconds int64 // alice's, a minute after the start
	}{
		{"comes and stays", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "Android", at(10_000))}
		}, 1, 50},
		{"comes and goes", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "Android", at(10_000)), quit("live", "alice", "Android", at(15_000))}
		}, 0, 5},
		{"both callbacks tell it", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				join("live", "alice", "Android", at(10_000)), state("live", "alice", "Online", "Join", at(10_005)),
				quit("live", "alice", "Android", at(15_000)), state("live", "alice", "Offline", "Quit", at(15_005)),
			}
		}, 0, 5},
		{"the other callback comes first", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				state("live", "alice", "Offline", "Quit", at(15_005)), quit("live", "alice", "Android", at(15_000)),
				state("live", "alice", "Online", "Join", at(10_005)), join("live", "alice", "Android", at(10_000)),
			}
		}, 0, 5},
		{"a connection is lost and found", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				join("live", "alice", "Android", at(0)), state("live", "alice", "Offline", "HeartbeatInterrupt", at(10_000)),
				state("live", "alice", "Online", "HeartbeatRecover", at(40_000)),
			}
		}, 1, 30},
		{"an exit of the connection before", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				join("live", "alice", "Android", at(10_000)), join("live", "alice", "Android", at(20_000)), quit("live", "alice", "Android", at(19_000)),
			}
		}, 1, 49},
		{"one of two devices leaves", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				join("live", "alice", "Android", at(0)), join("live", "alice", "iPad", at(1_000)), quit("live", "alice", "Android", at(30_000)),
			}
		}, 1, 60},
		{"the last device leaves, of two of which IM told one", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "Android", at(0)), quit("live", "alice", "Web", at(30_000))}
		}, 0, 30},
		{"kicked with both devices", func(at func(int64) callback.Millis) []callback.Event {
			out := quit("live", "alice", "RESTAPI", at(30_000))
			out.ExitType = "Kicked"
			return []callback.Event{join("live", "alice", "Android", at(0)), join("live", "alice", "iPad", at(1_000)), out}
		}, 0, 30},
		{"the phone's login ends", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "iOS", at(0)), device("alice", "IOS", "Disconnect", at(30_000))}
		}, 0, 30},
		{"another device's login ends", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "iOS", at(0)), device("alice", "Web", "Logout", at(30_000))}
		}, 1, 60},
		{"a login of before the join ends late", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "iOS", at(20_000)), device("alice", "iOS", "Disconnect", at(10_000))}
		}, 1, 40},
		{"kicked by a login", func(at func(int64) callback.Millis) []callback.Event {
			in := device("alice", "Android", "Login", at(30_000))
			in.KickedDevice = []callback.Device{{Platform: "Android"}}
			return []callback.Event{join("live", "alice", "Android", at(0)), in}
		}, 0, 30},
		{"a custom status is no login", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{join("live", "alice", "Android", at(0)), device("alice", "Android", "Busy", at(30_000))}
		}, 1, 60},
		{"IM tells the state, so a login says nothing", func(at func(int64) callback.Millis) []callback.Event {
			return []callback.Event{
				join("live", "alice", "Android", at(0)), state("live", "alice", "Online", "Join", at(1)), device("alice", "Android", "Disconnect", at(30_000)),
			}
		}, 1, 60},
		{"members of other groups stay", func(at func(int64) callback.Millis) []callback.Event {
			in := join("live", "alice", "Android", at(0))
			in.Type = "Public"
			return []callback.Event{in}
		}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, pass := open(t)
			start := s.now()
			events := tt.events(func(n int64) callback.Millis { return s.ms(start, n) })
			pass(time.Minute)
			s.hear(t, events...)
			s.hear(t, events...) // again
			s.wantOnline(t, "live", tt.online, map[string]int64{"alice": tt.seconds})
			s.tick(t)
			pass(time.Minute)
			s.tick(t)
			r, err := s.Totals(t.Context(), "live")
			if err != nil || r.Online != tt.online {
				t.Errorf("%d online once folded; %v", r.Online, err)
			}
		})
	}
}

// TestAWebClientIsInOneRoom at a time: IM does not tell that it left the other.
func TestAWebClientIsInOneRoom(t *testing.T) {
	s, pass := open(t)
	start := s.now()
	pass(time.Minute)
	s.hear(t, join("one", "alice", "Web", s.ms(start, 0)), join("one", "alice", "iOS", s.ms(start, 1)), join("two", "alice", "Web", s.ms(start, 20_000)))
	s.wantOnline(t, "one", 1, map[string]int64{"alice": 60 - 0})
	s.wantOnline(t, "two", 1, map[string]int64{"alice": 40})
	s.hear(t, join("one", "bob", "Web", s.ms(start, 0)), join("two", "bob", "Web", s.ms(start, 30_000)), join("one", "bob", "Web", s.ms(start, 0)))
	s.wantOnline(t, "one", 1, map[string]int64{"bob": 30})
	s.wantOnline(t, "two", 2, map[string]int64{"bob": 30})
	s.hear(t, device("bob", "Web", "Disconnect", s.ms(start, 50_000)))
	s.wantOnline(t, "two", 1, map[string]int64{"bob": 20})
}

// TestToolsAndRobotsAreNotViewers: they count in no online figure.
func TestToolsAndRobotsAreNotViewers(t *testing.T) {
	s, pass := openWith(t, Config{Uncounted: []string{"administrator", "tool"}})
	start := s.now()
	pass(time.Minute)
	for _, user := range []string{"administrator", "tool", "@RBT#helper", "alice"} {
		s.hear(t, join("live", user, "Android", s.ms(start, 0)))
	}
	s.wantOnline(t, "live", 1, nil)
	list, _, err := s.OnlineMembers(t.Context(), "live", "", 10)
	if err != nil || len(list) != 1 || list[0].UserID != "alice" || !list[0].Since.Equal(start) {
		t.Errorf("%+v, %v", list, err)
	}
	s.hear(t, quit("live", "administrator", "Android", s.ms(start, 9)), quit("live", "alice", "Android", s.ms(start, 9)))
	s.wantOnline(t, "live", 0, nil)
}

// TestPresenceEqualsTheTruth: users come and go with several devices, and the
// callbacks of it come in another order, twice, and from processes that die
// between what they write. Online count and seconds are those of the truth.
func TestPresenceEqualsTheTruth(t *testing.T) {
	for seed := range uint64(20) {
		s, pass := open(t)
		r := rand.New(rand.NewPCG(seed, 3))
		start := s.now()
		pass(10 * time.Minute)
		var events []callback.Event
		seconds, online := map[string]int64{}, int64(0)
		for n := range 6 {
			user := fmt.Sprint("user", n)
			inside := map[string]bool{}
			var since, total int64
			for at := r.Int64N(20_000); at < 590_000; at += 5_000 + r.Int64N(120_000) {
				platform := []string{"Android", "iPad"}[r.IntN(2)]
				was := len(inside) > 0
				if inside[platform] {
					delete(inside, platform)
					events = append(events, quit("live", user, platform, s.ms(start, at)))
				} else {
					inside[platform] = true
					events = append(events, join("live", user, platform, s.ms(start, at)))
				}
				switch is := len(inside) > 0; {
				case is && !was:
					since = at
				case was && !is:
					total += at - since
				}
			}
			if len(inside) > 0 {
				online++
				total += 600_000 - since
			}
			seconds[user] = total / 1000
		}
		events = append(events, events...)
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		mortal := New(Config{Store: &dying{Store: s.store, rand: r}, Now: s.now})
		for _, e := range events {
			if r.IntN(3) == 0 {
				// What was acknowledged by a process that died is what it wrote.
				switch e := e.(type) {
				case *callback.GroupAfterNewMemberJoin:
					_ = mortal.joined(t.Context(), e)
				case *callback.GroupAfterMemberExit:
					_ = mortal.left(t.Context(), e)
				}
			}
			s.hear(t, e)
			if r.IntN(10) == 0 {
				s.tick(t)
			}
		}
		s.wantOnline(t, "live", online, seconds)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// dying is a store at which processes die between two writes.
type dying struct {
	kv.Store
	rand *rand.Rand
}

var errDied = errors.New("the process died")

func (d *dying) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	if d.rand.IntN(4) == 0 {
		return errDied
	}
	return d.Store.Commit(ctx, partition, op, writes...)
}

func (d *dying) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	if d.rand.IntN(2) == 0 {
		return 0, errDied
	}
	return d.Store.Tally(ctx, partition, segment, e, deltas...)
}

// TestALostFlipIsMadeUp by the user's next event, whichever that is.
func TestALostFlipIsMadeUp(t *testing.T) {
	s, pass := open(t)
	start := s.now()
	pass(time.Minute)
	dead := New(Config{Store: &deaf{s.store}, Now: s.now})
	_ = dead.joined(t.Context(), join("live", "alice", "Android", s.ms(start, 0)))
	s.wantOnline(t, "live", 0, nil) // the item says otherwise, the count is lost
	s.hear(t, quit("live", "alice", "Android", s.ms(start, 5_000)))
	s.wantOnline(t, "live", 0, nil)
	s.hear(t, join("live", "alice", "Android", s.ms(start, 6_000)))
	s.wantOnline(t, "live", 1, nil)
}

// deaf is a store that loses every tally.
type deaf struct{ kv.Store }

func (d *deaf) Tally(context.Context, string, string, kv.Event, ...kv.Delta) (kv.Outcome, error) {
	return 0, errDied
}

func TestMembers(t *testing.T) {
	s, pass := open(t)
	start := s.now()
	pass(time.Minute)
	var want []string
	for n := range 40 {
		user := fmt.Sprintf("user%02d", n)
		s.hear(t, join("live", user, "Android", s.ms(start, int64(1000*(n*7%40)))))
		if n%4 == 0 {
			s.hear(t, quit("live", user, "Android", s.ms(start, 50_000)))
			continue
		}
		want = append(want, user)
	}
	page := func(f func(context.Context, string, string, int) ([]Member, string, error)) (users []string) {
		for after := ""; ; {
			list, next, err := f(t.Context(), "live", after, 7)
			if err != nil || len(list) > 7 {
				t.Fatal(len(list), err)
			}
			for _, m := range list {
				users = append(users, m.UserID)
			}
			if after = next; after == "" {
				return users
			}
		}
	}
	if got := page(s.OnlineMembers); !slices.Equal(got, want) {
		t.Errorf("online: %v, want %v", got, want)
	}
	slices.SortFunc(want, func(a, b string) int {
		var x, y int
		fmt.Sscanf(a, "user%d", &x)
		fmt.Sscanf(b, "user%d", &y)
		return y*7%40 - x*7%40
	})
	if got := page(s.LatestMembers); !slices.Equal(got, want) {
		t.Errorf("latest: %v, want %v", got, want)
	}
}

// TestTheEndOfARoomEndsItsSessions: nobody is online in a room that was
// dissolved, and nobody's time goes on.
func TestTheEndOfARoomEndsItsSessions(t *testing.T) {
	s, pass := open(t)
	start := s.now()
	s.hear(t, join("live", "alice", "Android", s.ms(start, 0)))
	s.wantOnline(t, "live", 1, nil)
	pass(time.Minute)
	if err := s.conf.Generations.Destroyed(t.Context(), "live", s.now()); err != nil {
		t.Fatal(err)
	}
	pass(time.Hour)
	s.wantOnline(t, "live", 0, map[string]int64{"alice": 60})
	if r, err := s.Totals(t.Context(), "live"); err != nil || r.PeakOnline != 1 {
		t.Errorf("peak %d, %v; want the one that was seen", r.PeakOnline, err)
	}
}
