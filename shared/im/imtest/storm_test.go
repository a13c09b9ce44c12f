package imtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// The storm: sizes, and when it has hung. It takes about a minute on two idle cores.
const (
	stormRooms    = 200 / stormShare
	stormUsers    = 10_000 / stormShare // 50 in each room
	stormMessages = 60_000 / stormShare // 300 to each room
	stormBudget   = 5 * time.Minute
	stormBurst    = 25 // messages of one task; twelve tasks share a room
)

// stormBackend judges messages by their text and notes which it is told of.
type stormBackend struct {
	mu   sync.Mutex
	told map[string]int // by MsgId
}

func (b *stormBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	answer := fine
	switch r.URL.Query().Get("CallbackCommand") {
	case "Group.CallbackBeforeSendMsg":
		switch {
		case bytes.Contains(body, []byte("reject")):
			answer = strings.Replace(fine, ":0", ":1", 1)
		case bytes.Contains(body, []byte("drop")):
			answer = strings.Replace(fine, ":0", ":2", 1)
		case bytes.Contains(body, []byte("rewrite")):
			answer = strings.Replace(fine, ":0", `:0,"MsgBody":`+text("***"), 1)
		}
	case "Group.CallbackAfterSendMsg":
		var m struct{ MsgId string }
		if json.Unmarshal(body, &m) == nil {
			b.mu.Lock()
			b.told[m.MsgId]++
			b.mu.Unlock()
		}
	}
	_, _ = io.WriteString(w, answer)
}

// stormRoom is a group of the storm and what became of what was sent to it.
type stormRoom struct {
	id       string
	live     bool // an AVChatRoom
	users    []*imtest.Client
	restless *imtest.Client // goes and comes back

	mu       sync.Mutex
	accepted map[uint32]string // text by MsgSeq
}

// storm is the emulator under load.
type storm struct {
	*testing.T
	app   *imtest.App
	rest  func(body string) map[string]any // sends until an answer comes
	rooms []*stormRoom
}

// What users saw is the history, id by id, however much went wrong on the way,
// and what was shed was of the lowest priority there was.
func TestStorm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), stormBudget)
	defer cancel()
	backend := &stormBackend{told: make(map[string]int)}
	hooks := httptest.NewServer(backend)
	emu := imtest.NewServer(imtest.Options{Seed: 7})
	web := httptest.NewServer(emu)
	t.Cleanup(func() { emu.Close(); web.Close(); hooks.Close() })
	app := emu.AddApp(imtest.AppConfig{
		SDKAppID: appID, Key: key, CallbackURL: hooks.URL, CallbackToken: token, CallbackTimeout: time.Minute, RatePerAPI: -1,
		Callbacks: []string{"Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg"},
	})
	s := newStorm(t, app, web)
	app.Misbehave(imtest.Chaos{
		Duplicate: 0.05, Reorder: 0.05, Delay: 0.05, Drop: 0.02, DelayBy: 10 * time.Millisecond,
		SlowBefore: 0.02, LoseAnswer: 0.05, Refuse: 0.05,
	})

	type task struct{ room, part int }
	tasks := make(chan task)
	var senders sync.WaitGroup
	for range 32 {
		senders.Go(func() {
			for next := range tasks {
				s.burst(ctx, s.rooms[next.room], next.part)
			}
		})
	}
	for room := range s.rooms {
		for part := range stormMessages / stormRooms / stormBurst {
			tasks <- task{room, part}
		}
	}
	close(tasks)
	senders.Wait()
	s.delivered(ctx)
	if err := app.Settle(ctx); err != nil {
		t.Fatal("over the budget:", err)
	}

	shed, twice := 0, 0
	delivered := make(map[string]bool)
	state := app.State()
	for _, room := range s.rooms {
		g := state.Group(room.id)
		s.check(room, g)
		shed += len(g.Shed)
		for _, m := range g.Messages {
			delivered[m.ID] = true
		}
	}
	for id, n := range backend.told {
		twice += n - 1
		if !delivered[id] || n > 2 {
			t.Errorf("the backend was told %d times of %s; delivered: %v", n, id, delivered[id])
		}
	}
	if shed == 0 || twice == 0 {
		t.Errorf("%d shed, %d told twice: that was no storm", shed, twice)
	}
	t.Logf("%d delivered, %d shed; the backend was told of %d, of %d twice", len(delivered), shed, len(backend.told), twice)
}

// newStorm makes the rooms with their users; four of five are AVChatRooms.
func newStorm(t *testing.T, app *imtest.App, web *httptest.Server) *storm {
	signer := newSigner(t, imtest.NewClock())
	sign := func(id string) string {
		sig, err := signer.Sign(id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	q := url.Values{"sdkappid": {fmt.Sprint(appID)}, "identifier": {admin}, "usersig": {sign(admin)}, "random": {"1"}, "contenttype": {"json"}}
	s := &storm{T: t, app: app}
	s.rest = func(body string) map[string]any {
		for {
			resp, err := web.Client().Post(web.URL+"/v4/group_open_http_svc/send_group_msg?"+q.Encode(), "", strings.NewReader(body))
			if err != nil {
				continue // the answer was lost: the same numbers again
			}
			var answer map[string]any
			err = json.NewDecoder(resp.Body).Decode(&answer)
			resp.Body.Close()
			if err == nil && code(answer) != 60008 {
				return answer
			}
		}
	}
	for n := range stormRooms {
		room := &stormRoom{id: fmt.Sprint("room", n), live: n%5 > 0, accepted: make(map[uint32]string)}
		for u := range stormUsers / stormRooms {
			id := fmt.Sprintf("user-%d-%d", n, u)
			c, err := app.Login(id, sign(id), imtest.Device{Platform: "Android"})
			if err == nil && u == 0 {
				kind := "AVChatRoom"
				if !room.live {
					kind = "ChatRoom"
				}
				_, err = c.CreateGroup(kind, room.id, "Storm")
			}
			if err == nil && (u > 0 || room.live) {
				err = c.Join(room.id)
			}
			if err != nil {
				t.Fatal(err)
			}
			room.users = append(room.users, c)
		}
		room.restless = room.users[len(room.users)-1]
		s.rooms = append(s.rooms, room)
	}
	return s
}

// burst sends one part of a room's messages, as fast as it goes, of all
// priorities and kinds, a tenth of them by REST.
func (s *storm) burst(ctx context.Context, room *stormRoom, part int) {
	draw := rand.New(rand.NewPCG(uint64(part), 1))
	for i := range stormBurst {
		if ctx.Err() != nil {
			s.Error("over the budget")
			return
		}
		d := imtest.Draft{
			Text: fmt.Sprintf("%s/%d/%d", room.id, part, i), Random: uint32(1 + part*stormBurst + i), Priority: imtest.Priority(draw.IntN(4)),
		}
		switch draw.IntN(20) {
		case 0:
			d.Text = "reject " + d.Text
		case 1:
			d.Text = "drop " + d.Text
		case 2:
			d.Text = "rewrite " + d.Text
		case 3:
			room.restless.Vanish()
		case 4:
			if err := room.restless.Heartbeat(); err != nil {
				s.Error(err)
			}
		}
		sender := room.users[draw.IntN(len(room.users)-1)]
		sent, err := imtest.Sent{}, error(nil)
		if i%10 == 9 {
			answer := s.rest(asJSON(map[string]any{
				"GroupId": room.id, "From_Account": sender.UserID(), "Random": d.Random, "MsgPriority": d.Priority, "MsgBody": json.RawMessage(text(d.Text)),
			}))
			if n := code(answer); n != 0 {
				err = &imtest.Error{Code: n}
			} else {
				sent.Seq = uint32(answer["MsgSeq"].(float64))
			}
		} else {
			sent, err = sender.Send(room.id, d)
		}
		rejected := strings.HasPrefix(d.Text, "reject")
		switch n := imtest.Code(err); {
		case rejected && n != 10016, !rejected && n == 10016, n != 0 && n != 10016 && n != 10023, n == 10023 && room.live:
			s.Errorf("%s: %v", d.Text, err)
		case strings.HasPrefix(d.Text, "drop") && sent.Seq != 0:
			s.Errorf("%s has MsgSeq %d", d.Text, sent.Seq)
		case sent.Seq != 0:
			room.accept(s.T, sent.Seq, d.Text)
		}
	}
}

func (room *stormRoom) accept(t *testing.T, seq uint32, text string) {
	room.mu.Lock()
	defer room.mu.Unlock()
	if other, taken := room.accepted[seq]; taken {
		t.Errorf("%s: MsgSeq %d is of %q and %q", room.id, seq, other, text)
	}
	room.accepted[seq] = text
}

// delivered waits until no accepted message waits for its turn any more, and
// brings those back who are away.
func (s *storm) delivered(ctx context.Context) {
	for _, room := range s.rooms {
		if err := room.restless.Heartbeat(); err != nil {
			s.Error(err)
		}
	}
	for {
		state, missing := s.app.State(), 0
		for _, room := range s.rooms {
			g := state.Group(room.id)
			missing += len(room.accepted) - len(g.Messages) - len(g.Shed)
		}
		if missing <= 0 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			s.Fatalf("over the budget: %d messages wait", missing)
		}
	}
}

// check compares what a room's users saw with its history, and looks at what
// was shed.
func (s *storm) check(room *stormRoom, g imtest.GroupState) {
	history := make(map[string]uint32) // MsgSeq by MsgId
	all := make(map[uint32]bool)
	for _, m := range g.Messages {
		history[m.ID] = m.Seq
		all[m.Seq] = true
		want := room.accepted[m.Seq]
		if strings.HasPrefix(want, "rewrite") {
			want = "***"
		}
		if m.Text() != want {
			s.Errorf("%s: %d is %q, sent was %q", room.id, m.Seq, m.Text(), want)
		}
	}
	for _, m := range g.Shed {
		all[m.Seq] = true
	}
	if len(all) != len(g.Messages)+len(g.Shed) || !slices.Equal(slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(room.accepted))) {
		s.Errorf("%s: %d in the history and %d shed of %d accepted", room.id, len(g.Messages), len(g.Shed), len(room.accepted))
	}
	var order []imtest.Message // as everybody got them
	for _, c := range room.users {
		seen := s.app.Seen(c.UserID())
		got := make(map[string]uint32)
		for _, m := range seen {
			if _, twice := got[m.ID]; twice {
				s.Errorf("%s saw %s twice", c.UserID(), m.ID)
			}
			got[m.ID] = m.Seq
		}
		switch {
		case c == room.restless && room.live: // what it missed is gone
			for id := range got {
				if got[id] != history[id] {
					s.Errorf("%s saw %s, which is not in the history", c.UserID(), id)
				}
			}
		case !maps.Equal(got, history):
			s.Errorf("%s saw %d messages, the history has %d", c.UserID(), len(got), len(history))
		case c != room.restless && order == nil:
			order = seen
		case c != room.restless && !slices.EqualFunc(seen, order, func(a, b imtest.Message) bool { return a.ID == b.ID }):
			s.Errorf("%s saw another order than the others", c.UserID())
		}
	}
	s.checkShed(room, g.Shed, order)
}

// checkShed: when a message was shed, nothing less important waited that users
// got later. What had arrived then, and came after something that arrived
// later, had been waiting.
func (s *storm) checkShed(room *stormRoom, shed []imtest.ShedMessage, order []imtest.Message) {
	importance := map[imtest.Priority]int{imtest.High: 1, imtest.Normal: 2, imtest.Low: 3, imtest.Lowest: 4}
	for _, gone := range shed {
		since := slices.IndexFunc(order, func(m imtest.Message) bool { return m.Seq > gone.By })
		if since < 0 {
			continue
		}
		for _, m := range order[since:] {
			if m.Seq <= gone.By && importance[m.Priority] > importance[gone.Priority] {
				s.Errorf("%s: %d of priority %d was shed, and %d of priority %d was not", room.id, gone.Seq, gone.Priority, m.Seq, m.Priority)
			}
		}
	}
}
