package roomstats

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// fakeRooms are rooms and members that a test states.
type fakeRooms struct {
	profiles map[string]Profile
	members  map[string]int64 // by UserID
}

func (f *fakeRooms) Profile(_ context.Context, roomID string) (Profile, error) {
	return f.profiles[roomID], nil
}

func (f *fakeRooms) Membership(_ context.Context, _, userID string) (int64, error) {
	return f.members[userID], nil
}

// heard collects what rooms are told, each Key once.
type heard struct {
	mu   sync.Mutex
	keys map[string]bool
	all  []Announcement
}

func (h *heard) Announce(_ context.Context, a Announcement) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = make(map[string]bool)
	}
	if !h.keys[a.Key] {
		h.keys[a.Key] = true
		h.all = append(h.all, a)
	}
	return nil
}

// told returns what rooms were told of one event, as JSON, and forgets it.
func (h *heard) told(event string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	h.all = slices.DeleteFunc(h.all, func(a Announcement) bool {
		if a.Event != event {
			return false
		}
		b, _ := json.Marshal(a.Data)
		out = append(out, string(b))
		return true
	})
	return strings.Join(out, " ")
}

// TestARoomMadeAnew: a room that is dissolved and made again under its id begins
// with nothing, whatever is told late of the one before.
func TestARoomMadeAnew(t *testing.T) {
	s, pass := open(t)
	registry := s.conf.Generations
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	say := func(user string, seq uint32) *callback.GroupAfterSendMsg {
		e := s.message(user, "", seq)
		e.Random = seq * 7
		return e
	}
	must(registry.Created(t.Context(), "lobby", s.now()))
	var old []*callback.GroupAfterSendMsg
	for seq := range uint32(5) {
		old = append(old, say("alice", seq+1))
		s.must(t, old[seq])
	}
	s.sendLikes(t, "alice", 1, "5")
	s.give(t, s.order("alice", 1, 1, 10))
	s.hear(t, join("lobby", "alice", "Web", callback.Millis(s.now().UnixMilli())))
	s.want(t, 5, "alice 5")
	late := say("alice", 6)
	pass(10 * time.Second)
	must(registry.Destroyed(t.Context(), "lobby", s.now()))
	pass(10 * time.Second)
	must(registry.Created(t.Context(), "lobby", s.now()))
	s.want(t, 0)
	for seq := range uint32(3) {
		s.must(t, say("alice", seq+1))
	}
	for _, e := range old { // told again
		s.must(t, e)
	}
	s.must(t, late)
	s.want(t, 3, "alice 3")
	r := s.room(t, "lobby")
	if r.Likes != 0 || r.Gifts != 0 || r.Online != 0 || r.Popularity != 3 {
		t.Errorf("%+v", r)
	}
	pass(time.Minute)
	s.tick(t)
	s.want(t, 3, "alice 3")
	if got := s.board(t, "likes", s.now()); got != "" {
		t.Errorf("the likes of the room before are on the board: %s", got)
	}
	// The one before has all of it.
	before, _, err := s.state(t.Context(), room{"lobby", 1})
	if err != nil || before.Messages != 6 {
		t.Errorf("%d messages in the first generation, want 6; %v", before.Messages, err)
	}
}

// TestANumberGivenTwice: where nobody told that a room was made anew, a MsgSeq
// with another message's identity is another message.
func TestANumberGivenTwice(t *testing.T) {
	s, _ := open(t)
	for life := range uint32(2) {
		for seq := range uint32(5) {
			e := s.message("alice", "", seq)
			e.Random = 100*life + seq
			s.must(t, e)
			s.must(t, e)
		}
	}
	s.want(t, 10, "alice 10")
}

// TestWhoMayRead a room's users: servers, owner and moderators all of them,
// others their own row, and everybody where the room is public.
func TestWhoMayRead(t *testing.T) {
	rooms := &fakeRooms{profiles: map[string]Profile{
		"closed": {Owner: "owner", Moderators: []string{"mod"}}, "open": {Owner: "owner", Public: true}, "other": {Owner: "mallory", Moderators: []string{"mallory"}},
	}}
	s, _ := openWith(t, Config{Rooms: rooms})
	for _, room := range []string{"closed", "open", "unknown"} {
		for n, user := range []string{"alice", "bob"} {
			e := s.message(user, "", uint32(n))
			e.GroupID = room
			s.must(t, e)
		}
	}
	users, err := usersig.NewSigner(1400000001, "a-key-of-this-test")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := api.ParseKeys([]string{"shop:" + "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}) // "secret"
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.Routes(mux, &api.Gate{Keys: keys, Users: users})
	get := func(path, caller string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer secret")
		if caller != "" {
			sig, err := users.Sign(caller, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "UserSig "+caller+":"+sig)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var body struct{ Users []struct{ UserID string } }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, u := range body.Users {
			ids = append(ids, u.UserID)
		}
		return w.Code, strings.Join(ids, " ")
	}
	// Registered rooms have statistics from the start; of others nothing is known
	// until something is counted.
	for room, status := range map[string]int{"other": 200, "nope": 404} {
		for _, caller := range []string{"", "alice"} {
			for _, path := range []string{"/stats", "/stats?limit=5", "/stats?after=x", "/stats/users/alice"} {
				if code, _ := get("/rooms/"+room+path, caller); code != status {
					t.Errorf("%s%s by %q: %d, want %d", room, path, caller, code, status)
				}
			}
		}
	}
	for _, tt := range []struct{ room, caller, users string }{
		{"closed", "", "alice bob"},
		{"closed", "owner", "alice bob"},
		{"closed", "mod", "alice bob"},
		{"closed", "alice", "alice"},
		{"closed", "stranger", ""},
		{"closed", "mallory", ""}, // a moderator of another room
		{"open", "stranger", "alice bob"},
		{"unknown", "alice", "alice"},
		{"unknown", "owner", ""},
		{"unknown", "", "alice bob"},
	} {
		for _, query := range []string{"", "?limit=10"} {
			if code, got := get("/rooms/"+tt.room+"/stats"+query, tt.caller); code != 200 || got != tt.users {
				t.Errorf("%s by %q%s: %d %q, want %q", tt.room, tt.caller, query, code, got, tt.users)
			}
		}
		others := 403
		if strings.Contains(tt.users, "bob") {
			others = 200
		}
		if code, _ := get("/rooms/"+tt.room+"/stats/users/bob", tt.caller); code != others {
			t.Errorf("bob's row of %s by %q: %d, want %d", tt.room, tt.caller, code, others)
		}
	}
	if code, _ := get("/rooms/closed/stats/users/bob", "bob"); code != 200 {
		t.Errorf("his own row: %d", code)
	}
}

// TestWhoMayReadOfGroups: what is written in a group that is no room is for those who
// write there. To others there is no such group, folded or not.
func TestWhoMayReadOfGroups(t *testing.T) {
	s, pass := openWith(t, Config{Rooms: &fakeRooms{}})
	e := s.message("alice", "", 1)
	e.GroupID, e.Type = "bcp-secret", im.Work
	s.must(t, e)
	mux := http.NewServeMux()
	users, err := usersig.NewSigner(1400000001, "a-key-of-this-test")
	if err != nil {
		t.Fatal(err)
	}
	s.Routes(mux, &api.Gate{Users: users})
	for range 2 {
		for _, path := range []string{"", "?limit=10", "?after=a", "?after=zz&limit=1", "/users/"} {
			for caller, status := range map[string]int{"alice": 200, "bob": 404} {
				sig, err := users.Sign(caller, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rooms/bcp-secret/stats"+path, nil)
				if path == "/users/" {
					r.URL.Path += caller
				}
				r.Header.Set("Authorization", "UserSig "+caller+":"+sig)
				w := httptest.NewRecorder()
				mux.ServeHTTP(w, r)
				if w.Code != status || status == 404 && strings.Contains(w.Body.String(), "messages") {
					t.Errorf("%s%s: %d %s, want %d", caller, path, w.Code, w.Body, status)
				}
			}
		}
		pass(2 * time.Minute)
		s.tick(t)
	}
}

// TestUsersInPages: by UserID, each once, those who only like or watch included,
// folded or not.
func TestUsersInPages(t *testing.T) {
	s, pass := open(t)
	start := s.now()
	want := map[string]User{}
	for n := range 250 {
		user := fmt.Sprintf("user%03d", n)
		u := User{UserID: user, OnlineSeconds: 0}
		switch n % 4 {
		case 0:
			s.must(t, s.message(user, "", uint32(n)))
			u.Messages = 1
		case 1:
			s.sendLikes(t, user, 1, "2")
			u.Likes = 2
		case 2:
			s.hear(t, join("lobby", user, "Web", s.ms(start, 0)), quit("lobby", user, "Web", s.ms(start, 4_000)))
			u.OnlineSeconds = 4
		case 3:
			s.give(t, s.order(user, n, 1, 1))
			u.Gifts = 1
		}
		want[user] = u
		if n == 120 {
			pass(time.Minute)
			start = s.now()
			s.tick(t)
		}
	}
	for range 2 {
		var got []string
		for after := ""; ; {
			r, err := s.Page(t.Context(), "lobby", after, 30)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range r.Users {
				w := want[u.UserID]
				w.Level = u.Level
				if u != w {
					t.Errorf("%+v, want %+v", u, w)
				}
				got = append(got, u.UserID)
			}
			if r.Messages != 63 {
				t.Errorf("%d messages on a page's answer, want 63", r.Messages)
			}
			if after = r.Next; after == "" {
				break
			}
		}
		if len(got) != 250 || !slices.IsSorted(got) {
			t.Errorf("%d users, want 250 in order", len(got))
		}
		pass(time.Minute)
		s.tick(t)
	}
	// Without paging those who wrote come first.
	r := s.room(t, "lobby")
	if len(r.Users) != MaxUsers || r.Users[0].UserID != "user000" || r.Users[62].Messages != 1 || r.Users[63].Messages != 0 {
		t.Errorf("%d users", len(r.Users))
	}
}

// TestTheMostActive: the list that the fold keeps, with what is not folded yet,
// is the head of all users sorted.
func TestTheMostActive(t *testing.T) {
	s, pass := open(t)
	want := map[string]int64{}
	seq := uint32(0)
	say := func(user string, n int) {
		for range n {
			seq++
			s.must(t, s.message(user, "", seq))
			want[user]++
		}
	}
	for n := range 450 {
		say(fmt.Sprintf("user%03d", n), 1+n*7%5)
	}
	pass(time.Minute)
	s.tick(t)
	for n := range 40 { // some of them overtake, one comes from far below
		say(fmt.Sprintf("user%03d", 11*n), 1+n%3)
	}
	say("newcomer", 9)
	for range 2 {
		var all []row
		for user, n := range want {
			all = append(all, row{user, []int64{n}})
		}
		slices.SortFunc(all, moreActive)
		r := s.room(t, "lobby")
		for i, u := range r.Users {
			if u.UserID != all[i].user || u.Messages != all[i].number(0) {
				t.Fatalf("number %d is %s with %d, want %s with %d", i+1, u.UserID, u.Messages, all[i].user, all[i].number(0))
			}
		}
		pass(time.Minute)
		s.tick(t)
	}
}

// TestLevels: more of anything is never a lower level, and no huge figure is.
func TestLevels(t *testing.T) {
	l := DefaultLevels
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	var last int64
	for n := int64(0); n < 62; n++ {
		level := l.of(User{Messages: 1 << n, Gifts: 1 << n, Likes: 1 << n, OnlineSeconds: 1 << n}, 1<<n)
		if level < last {
			t.Errorf("level %d at 2^%d, %d before", level, n, last)
		}
		last = level
	}
	if last != int64(len(l.Steps)) {
		t.Errorf("the highest level is %d", last)
	}
	for name, wrong := range map[string]Levels{
		"negative": {Message: -1, Steps: []int64{1}}, "not growing": {Steps: []int64{5, 5}}, "zero": {Steps: []int64{0}},
	} {
		if wrong.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	rooms := &fakeRooms{members: map[string]int64{"alice": 1}}
	s, _ := openWith(t, Config{Rooms: rooms})
	s.must(t, s.message("alice", "", 1))
	s.must(t, s.message("bob", "", 2))
	for user, want := range map[string]int64{"alice": 3, "bob": 0, "nobody": 0} {
		if level, err := s.Level(t.Context(), "lobby", user); err != nil || level != want {
			t.Errorf("%s: level %d, want %d; %v", user, level, want, err)
		}
	}
}

// TestLevelsAreTold: once, when a fold sees the change, and in messages where a
// setting says so.
func TestLevelsAreTold(t *testing.T) {
	h := &heard{}
	s, pass := openWith(t, Config{Announcer: h, LevelsOnMessages: true})
	for seq := range uint32(10) {
		s.must(t, s.message("alice", "", seq))
	}
	s.must(t, s.message("bob", "", 100))
	pass(time.Minute)
	s.tick(t)
	if got := h.told("level"); got != `{"users":[{"userId":"alice","level":1}]}` {
		t.Errorf("told %s", got)
	}
	s.tick(t)
	s.must(t, s.message("alice", "", 11))
	pass(time.Minute)
	s.tick(t)
	if got := h.told("level"); got != "" {
		t.Errorf("told again: %s", got)
	}
	for custom, want := range map[string]string{
		"":                       `{"level":1}`,
		`{"color":"red"}`:        `{"color":"red","level":1}`,
		`{"level":99}`:           `{"level":1}`,
		`[1]`:                    ``,
		`not JSON`:               ``,
		`null`:                   ``,
		`{"a":1}{"b":2}`:         ``,
		`{"n":9007199254740993}`: `{"level":1,"n":9007199254740993}`,
	} {
		e := &callback.GroupBeforeSendMsg{GroupID: "lobby", Type: "AVChatRoom", From: "alice", CloudCustomData: custom}
		v, err := s.showLevel(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		var wanted callback.GroupVerdict
		if want != "" {
			wanted = wanted.SetCustomData(want)
		}
		if !reflect.DeepEqual(v, wanted) {
			t.Errorf("%q: %+v, want %s", custom, v, want)
		}
	}
}

// TestManyNewLevels: a hundred users in one announcement, the others later.
func TestManyNewLevels(t *testing.T) {
	h := &heard{}
	s, pass, work := withJobs(t, Config{Announcer: h, Levels: Levels{Message: 1, Steps: []int64{1}}})
	for n := range 250 {
		s.must(t, s.message(fmt.Sprintf("user%03d", n), "", uint32(n)))
	}
	pass(time.Minute)
	s.tick(t)
	told := map[string]int{}
	for announcements := 1; announcements <= 3; announcements++ {
		work()
		var data struct{ Users []changedLevel }
		if err := json.Unmarshal([]byte(h.told("level")), &data); err != nil || len(data.Users) > toldAtOnce {
			t.Fatalf("announcement %d: %d users, %v", announcements, len(data.Users), err)
		}
		for _, u := range data.Users {
			told[u.UserID]++
		}
		pass(toldEvery)
	}
	work()
	if got := h.told("level"); got != "" || len(told) != 250 {
		t.Errorf("%d users told, and then %s", len(told), got)
	}
}

// withJobs returns statistics whose jobs a test carries out.
func withJobs(t *testing.T, c Config) (s *Stats, pass func(time.Duration), work func()) {
	t.Helper()
	s, pass = openWith(t, c)
	line := &queuetest.Line{}
	ledger := queue.NewLedger(s.store, line, s.now)
	c.Store, c.Now, c.Jobs = s.store, s.now, ledger
	s = New(c)
	return s, pass, func() {
		t.Helper()
		if err := line.Work(t.Context(), ledger, s.now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheOnlineCountIsPublished: when it moved by the share that is set, once for
// all instances, and not more often than is set.
func TestTheOnlineCountIsPublished(t *testing.T) {
	h := &heard{}
	s, pass, work := withJobs(t, Config{Announcer: h, PublishShare: 0.1})
	join100 := func(from, to int) {
		for n := from; n < to; n++ {
			s.hear(t, join("live", fmt.Sprint("user", n), "Web", callback.Millis(s.now().UnixMilli())))
		}
	}
	join100(0, 100)
	work()
	if got := h.told("online"); got != "" {
		t.Errorf("told before its time: %s", got)
	}
	pass(10 * time.Second)
	work()
	if got := h.told("online"); got != `{"online":100}` {
		t.Errorf("told %s", got)
	}
	join100(100, 105)
	pass(time.Minute)
	work()
	if got := h.told("online"); got != "" {
		t.Errorf("told of 5 %%: %s", got)
	}
	join100(105, 120)
	pass(time.Minute)
	work()
	work()
	if got := h.told("online"); got != `{"online":120}` {
		t.Errorf("told %s", got)
	}
}

// TestASuddenDrop is told only when IM's own number confirms it.
func TestASuddenDrop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		number int // IM's, 20 s later
		told   string
		online int64
	}{
		{"they are gone", 6, `{"online":6}`, 6},
		{"they are there", 130, "", 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &heard{}
			asked, number := []time.Time{}, 130
			var s *Stats
			s, pass, work := withJobs(t, Config{Announcer: h, OnlineMembers: func(context.Context, string) (int, error) {
				asked = append(asked, s.now())
				return number, nil
			}})
			at := func() callback.Millis { return callback.Millis(s.now().UnixMilli()) }
			for n := range 130 {
				s.hear(t, join("live", fmt.Sprint("user", n), "Web", at()))
			}
			pass(10 * time.Second)
			work()
			if got := h.told("online"); got != `{"online":130}` {
				t.Fatalf("told %s", got)
			}
			pass(time.Minute)
			for n := range 124 { // the sockets of a whole network are lost
				s.hear(t, state("live", fmt.Sprint("user", n), "Offline", "HeartbeatInterrupt", at()))
			}
			lost := s.now()
			number = tt.number
			for range 6 {
				pass(10 * time.Second)
				work()
			}
			if got := h.told("online"); got != tt.told {
				t.Errorf("told %q, want %q", got, tt.told)
			}
			if len(asked) == 0 || asked[0].Sub(lost) < 20*time.Second {
				t.Errorf("IM was asked %v after %v", asked, lost)
			}
			s.wantOnline(t, "live", tt.online, nil)
		})
	}
}

// TestTheOnlineCountHeals by IM's number, once two looks agree that nothing moves.
func TestTheOnlineCountHeals(t *testing.T) {
	number := 7
	s, pass := openWith(t, Config{Uncounted: []string{"tool"}, OnlineMembers: func(context.Context, string) (int, error) { return number, nil }})
	for n := range 10 {
		s.hear(t, join("live", fmt.Sprint("user", n), "Web", callback.Millis(s.now().UnixMilli())))
	}
	s.hear(t, join("live", "tool", "Web", callback.Millis(s.now().UnixMilli())))
	s.wantOnline(t, "live", 10, nil)
	pass(time.Minute)
	s.tick(t)
	s.wantOnline(t, "live", 10, nil)
	pass(time.Minute)
	s.tick(t)
	s.wantOnline(t, "live", 6, nil) // 7, one of which is the tool
	number = 0
	pass(time.Minute)
	s.tick(t)
	pass(time.Minute)
	s.tick(t)
	s.wantOnline(t, "live", 0, nil) // never below
}

// TestIMIsAskedWithinItsLimits: of a list with many rooms each is compared with
// IM in its turn, twice in a row, and no minute asks more than IM takes.
func TestIMIsAskedWithinItsLimits(t *testing.T) {
	s, pass := open(t)
	const rooms = 950
	asked := map[string]int{}
	for range 30 {
		w := &boardWriter{stats: s, rooms: rooms}
		n := 0
		for i := range rooms {
			if id := fmt.Sprint("room", i); w.mayHeal(room1(id)) {
				asked[id]++
				n++
			}
		}
		if n > healsPerFold {
			t.Errorf("%d rooms in a minute", n)
		}
		pass(time.Minute)
	}
	if len(asked) < rooms*9/10 {
		t.Errorf("%d of %d rooms were compared within half an hour", len(asked), rooms)
	}
}

// TestEveryRoomGetsItsTurn: a fold whose time is over long before it has seen
// every room is followed by one that begins where it stopped.
func TestEveryRoomGetsItsTurn(t *testing.T) {
	s, pass := open(t)
	const rooms = 200
	for i := range rooms {
		s.say(t, fmt.Sprintf("room%d", i), 1)
	}
	// All rooms of one list, and time for a few in each fold.
	list := 0
	for n := range lists {
		if page, err := s.store.List(t.Context(), listPartition(n), kv.Range{}); err == nil && len(page.Items) > 5 {
			list = n
		}
	}
	page, err := s.store.List(t.Context(), listPartition(list), kv.Range{})
	if err != nil || len(page.Items) < 6 {
		t.Fatal(len(page.Items), err)
	}
	left := func() (n int) {
		for _, item := range page.Items {
			r, _, _, err := parseEntry(item.Key)
			if err != nil {
				t.Fatal(err)
			}
			n += s.unfolded(t, r.id)
		}
		return n
	}
	pass(time.Minute)
	folds := 0
	for ; left() > 0 && folds < 50; folds++ {
		ctx, cancel := context.WithTimeout(t.Context(), reserve-time.Millisecond) // over after the first room
		if err := s.foldList(ctx, list); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if left() > 0 || folds < 3 {
		t.Errorf("after %d folds %d segments are left", folds, left())
	}
	// One that has the time begins in the middle, and sees all of them.
	for _, item := range page.Items {
		r, _, _, _ := parseEntry(item.Key)
		s.say(t, r.id, 40)
	}
	pass(time.Minute)
	if err := s.foldList(t.Context(), list); err != nil || left() > 0 {
		t.Errorf("%d left, %v", left(), err)
	}
}

// TestFoldingIsSpreadOverJobs: lists with little in them share one, and what was
// counted is folded by whoever carries them out.
func TestFoldingIsSpreadOverJobs(t *testing.T) {
	s, pass, work := withJobs(t, Config{})
	for i := range 40 {
		s.say(t, fmt.Sprintf("room%d", i), 1)
	}
	pass(time.Minute)
	if err := schedule(t.Context(), s.store, s.conf.Jobs, s.now()); err != nil {
		t.Fatal(err)
	}
	if o, err := s.conf.Jobs.Overview(t.Context()); err != nil || o.Waiting != 1 {
		t.Errorf("%+v, %v; want one job", o, err)
	}
	work()
	for i := range 40 {
		if n := s.unfolded(t, fmt.Sprintf("room%d", i)); n != 0 {
			t.Errorf("room%d: %d segments unfolded", i, n)
		}
	}
}
