package lottery_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/lottery"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const apiKey = rulestest.APIKey

func TestLottery(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		run  func(*process)
	}{
		{"Draw", false, testDraw},
		{"DrawsByItself", false, testDrawsByItself},
		{"Window", false, testWindow},
		{"EarliestMessageCounts", false, testEarliest},
		{"FrozenBeforeTheSeed", false, testFrozenBeforeSeed},
		{"Excluded", false, testExcluded},
		{"NoEntries", false, testNoEntries},
		{"Create", false, testCreate},
		{"BadInput", false, testBadInput},
		{"SeedIsSecret", false, testSeedIsSecret},
		{"Deaths", true, testDeaths},
		{"ManyAtOnce", true, testManyAtOnce},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			w := newWorld(t, store, clock)
			c.run(w.process(store).serves())
		}})
	}
	enginetest.Run(t, tests)
}

// world is a live room of the emulated IM, with an owner, a moderator and a viewer.
type world struct {
	*rulestest.World
	t     *testing.T
	store kv.Store
	gate  *api.Gate

	mu     sync.Mutex
	rooms  map[string]liveroom.Room
	kicked []string
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{
		World: rulestest.New(t, clock, rulestest.Options{Callbacks: []string{"Group.CallbackAfterSendMsg"}}), t: t, store: store,
		rooms: map[string]liveroom.Room{
			"live":  {RoomID: "live", Owner: "owner", Moderators: []string{"mod"}, Status: liveroom.Live, Generation: 7},
			"other": {RoomID: "other", Owner: "stranger", Status: liveroom.Live, Generation: 7},
			"ended": {RoomID: "ended", Owner: "owner", Status: liveroom.Ended, Generation: 7},
		},
	}
	w.gate = w.Gate("show")
	_, err := w.Login("owner").CreateGroup("AVChatRoom", "live", "live")
	w.Must(err)
	w.Must(w.Login("viewer").Join("live"))
	return w
}

// Get implements lottery.Rooms.
func (w *world) Get(_ context.Context, id string) (liveroom.Room, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, is := w.rooms[id]; is {
		return r, nil
	}
	return liveroom.Room{}, fault.New(fault.NotFound, "there is no such room")
}

// ListRestrictions implements lottery.Rooms.
func (w *world) ListRestrictions(context.Context, api.Caller, string, string, int) (list []liveroom.Restriction, next string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, user := range w.kicked {
		list = append(list, liveroom.Restriction{UserID: user, Kind: liveroom.Kick}, liveroom.Restriction{UserID: "muted", Kind: liveroom.Mute})
	}
	return list, "", nil
}

// process is one process of ours.
type process struct {
	*world
	ledger    *queue.Ledger
	lotteries *lottery.Lotteries
	routes    http.Handler
}

func (w *world) process(store kv.Store) *process {
	w.Helper()
	p := &process{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now)}
	out := outbox.New(outbox.Config{Store: store, IM: w.Client(), Jobs: p.ledger, Now: w.Clock.Now, Sleep: w.Sleep})
	p.lotteries = lottery.New(lottery.Config{Store: store, Jobs: p.ledger, Rooms: w, Out: out, Admin: rulestest.Admin, Now: w.Clock.Now})
	mux := http.NewServeMux()
	p.lotteries.Routes(mux, w.gate, nil)
	p.routes = api.Routes(mux)
	return p
}

// serves has a process hear IM's callbacks from now on.
func (p *process) serves() *process {
	rules := callback.NewMux()
	p.lotteries.Register(rules)
	p.Serve(rules)
	return p
}

// ask makes a request as a user, or as a server if user is "".
func (p *process) ask(user, method, path, key, body string) (status int, is lottery.Lottery, text string) {
	p.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(p.Context())
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if user == "" {
		r.Header.Set("Authorization", "Bearer "+apiKey)
	} else {
		sig, err := p.gate.Users.Sign(user, time.Hour)
		p.Must(err)
		r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	}
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r)
	if w.Code < 300 {
		p.Must(json.Unmarshal(w.Body.Bytes(), &is))
	}
	return w.Code, is, w.Body.String()
}

const asked = `{"keyword":" Win Me ","winners":2,"seconds":60,"prize":"a car"}`

// opens makes a lottery as the owner.
func (p *process) opens(key string) lottery.Lottery {
	p.Helper()
	status, is, text := p.ask("owner", "POST", "/rooms/live/lotteries", key, asked)
	if status != 201 {
		p.Fatalf("%d %s", status, text)
	}
	return is
}

func (p *process) get(id string) lottery.Lottery {
	p.Helper()
	status, is, text := p.ask("viewer", "GET", "/rooms/live/lotteries/"+id, "", "")
	if status != 200 {
		p.Fatalf("%d %s", status, text)
	}
	return is
}

func (p *process) draw(id string) lottery.Lottery {
	p.Helper()
	status, is, text := p.ask("mod", "POST", "/rooms/live/lotteries/"+id+"/draw", "", "{}")
	if status != 200 {
		p.Fatalf("%d %s", status, text)
	}
	return is
}

// says has users write a text.
func (p *process) says(text string, users ...string) {
	p.Helper()
	for _, user := range users {
		c := p.Login(user)
		p.Must(c.Join("live"))
		_, err := c.Send("live", imtest.Draft{Text: text})
		p.Must(err)
	}
	p.Must(p.App.Settle(p.Context()))
}

// heard is a message's after-callback, which comes at any time.
func (p *process) heard(user, text string, at time.Time, seq uint32) {
	p.Helper()
	p.Heard(&callback.GroupAfterSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: "live", Type: im.AVRoom, From: user, MsgSeq: seq,
		MsgTime: callback.Seconds(at.Unix()), MsgBody: im.Text(text),
	})
}

// told returns the lottery events that the viewer saw: "state winners".
func (p *process) told() (events []string) {
	for _, m := range p.App.Seen("viewer") {
		var body []struct{ MsgContent struct{ Data string } }
		var e struct {
			BusinessID, Event string
			Data              struct {
				State   string
				Winners []string
			}
		}
		if json.Unmarshal(m.Body, &body) == nil && json.Unmarshal([]byte(body[0].MsgContent.Data), &e) == nil && e.Event == "lottery" && e.BusinessID == "backchannel" {
			events = append(events, fmt.Sprint(e.Data.State, e.Data.Winners))
		}
	}
	return events
}

// deadline is how long a worker may take; a job of one that died is free then.
const deadline = 30 * time.Second

func (p *process) work() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), deadline)
	defer cancel()
	for range 2 {
		p.Must(p.App.Settle(ctx))
		p.Must(p.Queue.Work(ctx, p.ledger, p.Clock.Now))
	}
}

func (p *process) minutes(n int) {
	p.Helper()
	for range n {
		p.Advance(time.Minute)
		_, err := p.ledger.Sweep(p.Context())
		p.Must(err)
		p.work()
	}
}

// reference is the draw as a stranger writes it from the documentation.
func reference(seed string, entries []string, winners int) (order, won []string) {
	order = slices.Clone(entries)
	slices.SortFunc(order, func(a, b string) int {
		x, y := sha256.Sum256([]byte(seed+":"+a)), sha256.Sum256([]byte(seed+":"+b))
		return strings.Compare(hex.EncodeToString(x[:]), hex.EncodeToString(y[:]))
	})
	return order, order[:min(len(order), winners)]
}

func (p *process) wantEntries(is lottery.Lottery, users ...string) {
	p.Helper()
	if is.State != lottery.Drawn {
		p.Fatalf("the lottery is %s", is.State)
	}
	order, won := reference(is.Seed, users, is.WinnersWanted)
	if !slices.Equal(is.Entries, order) || !slices.Equal(is.Winners, won) {
		p.Errorf("entries %s, winners %s; want %s, %s", is.Entries, is.Winners, order, won)
	}
	sum := sha256.Sum256([]byte(is.Seed))
	if hex.EncodeToString(sum[:]) != is.Commitment {
		p.Error("the seed is not the one committed to")
	}
	if err := lottery.Verify(is); err != nil {
		p.Errorf("verify: %v", err)
	}
}

func testDraw(p *process) {
	open := p.opens("k")
	if open.State != lottery.Open || open.Draw != nil || open.Keyword != "Win Me" || open.WinnersWanted != 2 || open.Prize != "a car" ||
		open.EndsAt.Sub(open.OpensAt) != time.Minute {
		p.Errorf("%+v", open)
	}
	p.work()
	p.says("win me", "ann", "bob")
	p.says("  WIN ME\n", "cid")
	p.says("win me please", "dan")
	p.says("win me", "ann", "ann") // once a user
	drawn := p.draw(open.LotteryID)
	p.wantEntries(drawn, "ann", "bob", "cid")
	p.says("win me", "eve") // too late
	again := p.draw(open.LotteryID)
	if a, b := fmt.Sprintf("%+v", *again.Draw), fmt.Sprintf("%+v", *drawn.Draw); a != b || fmt.Sprintf("%+v", *p.get(open.LotteryID).Draw) != b {
		p.Errorf("drawn again: %s, at first %s", a, b)
	}
	p.minutes(3)
	p.Advance(30 * 24 * time.Hour)
	p.draw(open.LotteryID) // a month later
	p.minutes(1)
	if got, want := p.told(), []string{"open[]", fmt.Sprint("drawn", drawn.Winners)}; !slices.Equal(got, want) {
		p.Errorf("the room was told %q, want %q", got, want)
	}
	p.Redeliver(p.ledger)
	if n := len(p.told()); n != 2 {
		p.Errorf("told %d times", n)
	}
	p.Quiet(p.ledger)
}

func testDrawsByItself(p *process) {
	open := p.opens("k")
	p.says("win me", "ann")
	p.Advance(65 * time.Second)
	p.work()
	if is := p.get(open.LotteryID); is.State != lottery.Open || is.Draw != nil {
		p.Errorf("drawn before late callbacks can have come: %+v", is)
	}
	p.minutes(1)
	p.wantEntries(p.get(open.LotteryID), "ann")
	if got := p.told(); !slices.Contains(got, "drawn[ann]") {
		p.Errorf("told %q", got)
	}
	p.Quiet(p.ledger)
}

// testWindow: messages count by their own time, not by when their callbacks come.
func testWindow(p *process) {
	open := p.opens("k")
	p.heard("early", "win me", open.OpensAt.Add(-time.Second), 1)
	p.heard("first", "win me", open.OpensAt, 2)
	p.Advance(65 * time.Second)
	p.heard("last", "win me", open.EndsAt.Add(-time.Second), 3) // comes late
	p.heard("late", "win me", open.EndsAt, 4)
	p.wantEntries(p.draw(open.LotteryID), "first", "last")
}

// testEarliest: of a user's messages the earliest counts, in whatever order they come.
func testEarliest(p *process) {
	open := p.opens("k")
	p.Advance(10 * time.Second)
	p.heard("ann", "win me", open.OpensAt.Add(40*time.Second), 5) // by IM's clock, which is ahead
	p.heard("bob", "win me", open.OpensAt.Add(40*time.Second), 6)
	p.heard("ann", "win me", open.OpensAt.Add(3*time.Second), 2)
	p.heard("ann", "win me", open.OpensAt.Add(41*time.Second), 7)
	p.wantEntries(p.draw(open.LotteryID), "ann") // drawn before bob's message
}

// testFrozenBeforeSeed: the hash of the entries is stored before the seed is read, and
// what comes in between changes nothing.
func testFrozenBeforeSeed(p *process) {
	open := p.opens("k")
	p.says("win me", "ann", "bob")
	seedRead := false
	spy := spying{p.store, func(key string) {
		if !strings.HasPrefix(key, "seed/") || seedRead {
			return
		}
		seedRead = true
		item, err := p.store.Get(p.Context(), "room/live/lottery", "l/"+open.LotteryID)
		p.Must(err)
		if want := lottery.EntriesHash([]string{"ann", "bob"}); !strings.Contains(string(item.Value), want) {
			p.Errorf("the seed is read while the store says %s", item.Value)
		}
		p.says("win me", "eve")
		p.heard("fay", "win me", open.OpensAt, 99)
	}}
	p.wantEntries(p.process(spy).draw(open.LotteryID), "ann", "bob")
	if !seedRead {
		p.Error("the seed was never read")
	}
}

type spying struct {
	kv.Store
	before func(key string)
}

func (s spying) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	s.before(key)
	return s.Store.Get(ctx, partition, key)
}

func testExcluded(p *process) {
	open := p.opens("k")
	p.kicked = []string{"eve", "elsewhere"}
	p.says("win me", "ann", "owner", "eve", "muted")
	for n, user := range []string{"mod", "@RBT#bot", rulestest.Admin} {
		p.heard(user, "win me", open.OpensAt, uint32(100+n))
	}
	is := p.draw(open.LotteryID)
	p.wantEntries(is, "ann", "muted")
	if want := []string{"@RBT#bot", rulestest.Admin, "eve", "mod", "owner"}; !slices.Equal(is.Excluded, want) {
		p.Errorf("excluded %s, want %s", is.Excluded, want)
	}
}

func testNoEntries(p *process) {
	open := p.opens("k")
	status, is, text := p.ask("", "POST", "/rooms/live/lotteries/"+open.LotteryID+"/draw", "", "")
	if status != 200 || !strings.Contains(text, `"winners":[]`) || !strings.Contains(text, `"entries":[]`) {
		p.Errorf("%d %s", status, text)
	}
	p.wantEntries(is)
	p.work()
}

func testCreate(p *process) {
	first := p.opens("k")
	p.Advance(10 * time.Second)
	if again := p.opens("k"); fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
		p.Errorf("%+v, at first %+v", again, first)
	}
	if status, _, text := p.ask("owner", "POST", "/rooms/live/lotteries", "k", strings.Replace(asked, "60", "61", 1)); status != 422 || !strings.Contains(text, "idempotency_mismatch") {
		p.Errorf("another body: %d %s", status, text)
	}
	// Another caller's key is another lottery, and both are open.
	status, second, text := p.ask("", "POST", "/rooms/live/lotteries", "k", strings.Replace(asked, "Win Me", "other", 1))
	if status != 201 || second.LotteryID == first.LotteryID || second.Commitment == first.Commitment {
		p.Fatalf("%d %s", status, text)
	}
	p.says("other", "ann")
	p.says("win me", "bob")
	p.wantEntries(p.draw(first.LotteryID), "bob")
	p.says("other", "cid")
	p.wantEntries(p.draw(second.LotteryID), "ann", "cid")
	for n := range lottery.MaxOpen {
		p.opens(fmt.Sprint("more", n))
	}
	if status, _, _ := p.ask("owner", "POST", "/rooms/live/lotteries", "11th", asked); status != 409 {
		p.Errorf("%d", status)
	}
	p.minutes(3)
	p.Quiet(p.ledger)
}

func testBadInput(p *process) {
	open := p.opens("k")
	before := p.dump()
	for _, c := range []struct {
		name, user, method, path, key, body string
		status                              int
		code                                string
	}{
		{"a viewer", "viewer", "POST", "/rooms/live/lotteries", "n", asked, 403, "forbidden"},
		{"another room's owner", "stranger", "POST", "/rooms/live/lotteries", "n", asked, 403, "forbidden"},
		{"another room's moderator draws", "mod", "POST", "/rooms/other/lotteries/" + open.LotteryID + "/draw", "", "", 403, "forbidden"},
		{"another room's lottery", "stranger", "POST", "/rooms/other/lotteries/" + open.LotteryID + "/draw", "", "", 404, "not_found"},
		{"seen in another room", "viewer", "GET", "/rooms/other/lotteries/" + open.LotteryID, "", "", 404, "not_found"},
		{"a viewer draws", "viewer", "POST", "/rooms/live/lotteries/" + open.LotteryID + "/draw", "", "", 403, "forbidden"},
		{"unknown room", "", "POST", "/rooms/nowhere/lotteries", "n", asked, 404, "not_found"},
		{"unknown lottery", "", "POST", "/rooms/live/lotteries/00000000000000000000/draw", "", "", 404, "not_found"},
		{"no id", "", "GET", "/rooms/live/lotteries/..", "", "", 404, "not_found"},
		{"ended room", "", "POST", "/rooms/ended/lotteries", "n", asked, 409, "room_closed"},
		{"no key", "", "POST", "/rooms/live/lotteries", "", asked, 400, "invalid"},
		{"no keyword", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"  ","winners":1,"seconds":60}`, 400, "invalid"},
		{"a long keyword", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"` + strings.Repeat("x", 65) + `","winners":1,"seconds":60}`, 400, "invalid"},
		{"a keyword of two lines", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x\ny","winners":1,"seconds":60}`, 400, "invalid"},
		{"a prize in HTML", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":1,"seconds":60,"prize":"<b>cup</b>"}`, 400, "invalid"},
		{"no winners", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":0,"seconds":60}`, 400, "invalid"},
		{"negative winners", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":-1,"seconds":60}`, 400, "invalid"},
		{"too many winners", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":101,"seconds":60}`, 400, "invalid"},
		{"no time", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":1,"seconds":0}`, 400, "invalid"},
		{"years", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":1,"seconds":9999999999}`, 400, "invalid"},
		{"unknown field", "", "POST", "/rooms/live/lotteries", "n", `{"keyword":"x","winners":1,"seconds":60,"seed":"0"}`, 400, "invalid"},
	} {
		status, _, text := p.ask(c.user, c.method, c.path, c.key, c.body)
		if status != c.status || !strings.Contains(text, `"code":"`+c.code+`"`) {
			p.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	if after := p.dump(); after != before {
		p.Errorf("the store was\n%sand is\n%s", before, after)
	}
	// A room that is made anew under its old id has lotteries of its own.
	p.rooms["live"] = liveroom.Room{RoomID: "live", Owner: "owner", Status: liveroom.Live, Generation: 8}
	if status, _, _ := p.ask("", "GET", "/rooms/live/lotteries/"+open.LotteryID, "", ""); status != 404 {
		p.Errorf("a lottery of the room before: %d", status)
	}
}

func (w *world) dump() string {
	w.Helper()
	page, err := w.store.List(w.Context(), "room/live/lottery", kv.Range{Limit: 1000})
	w.Must(err)
	var b strings.Builder
	for _, item := range page.Items {
		fmt.Fprintf(&b, "%s %s %s\n", item.Key, item.Value, item.Rev)
	}
	return b.String()
}

// testSeedIsSecret: before the draw the seed is in no answer and in no message.
func testSeedIsSecret(p *process) {
	_, open, made := p.ask("", "POST", "/rooms/live/lotteries", "k", asked)
	p.work()
	_, _, seen := p.ask("viewer", "GET", "/rooms/live/lotteries/"+open.LotteryID, "", "")
	_, _, again := p.ask("", "POST", "/rooms/live/lotteries", "k", asked)
	item, err := p.store.Get(p.Context(), "room/live/lottery", "seed/"+open.LotteryID)
	p.Must(err)
	if len(item.Value) != 64 {
		p.Errorf("a seed of %d characters", len(item.Value))
	}
	all := made + seen + again
	for _, m := range p.App.Seen("viewer") {
		all += string(m.Body)
	}
	if strings.Contains(all, string(item.Value)) || strings.Contains(all, `"seed"`) {
		p.Errorf("the seed is out: %s", all)
	}
}

// testDeaths: a process dies at any of its commits between opening and announcing.
// There is one lottery with one draw, announced once.
func testDeaths(p *process) {
	enginetest.EachDeath(p.t, p.store, func(t *testing.T, name string, mortal kv.Store) {
		dying := p.process(mortal)
		key := "key " + name
		key = strings.ReplaceAll(key, " ", "-")
		before := len(p.told())
		status, open, _ := dying.ask("owner", "POST", "/rooms/live/lotteries", key, asked)
		ctx, cancel := context.WithTimeout(p.Context(), deadline)
		defer cancel()
		_ = p.Queue.Work(ctx, dying.ledger, p.Clock.Now)
		next := p.process(p.store)
		if status != 201 {
			open = next.opens(key) // who was not answered asks again
		}
		_ = dying.hears("ann", open)
		p.Must(next.hears("bob", open))
		p.Must(next.hears("ann", open)) // the queue repeats what failed
		for range 2 {
			_, _, _ = dying.ask("mod", "POST", "/rooms/live/lotteries/"+open.LotteryID+"/draw", "", "")
		}
		for _, pause := range []time.Duration{0, 10 * time.Minute, 24 * time.Hour} {
			p.Advance(pause)
			next.minutes(4)
			p.Redeliver(next.ledger)
		}
		is := next.get(open.LotteryID)
		next.wantEntries(is, "ann", "bob")
		events := p.told()[before:]
		if n := len(slices.DeleteFunc(events, func(e string) bool { return e != fmt.Sprint("drawn", is.Winners) })); n != 1 {
			t.Errorf("winners were announced %d times", n)
		}
		p.Quiet(next.ledger)
	})
}

// hears has the process carry out its rule for an entry, which may fail.
func (p *process) hears(user string, open lottery.Lottery) error {
	p.Helper()
	rules := callback.NewMux()
	p.lotteries.Register(rules)
	const command = "Group.CallbackAfterSendMsg"
	body, err := callback.Encode(&callback.GroupAfterSendMsg{
		Base: callback.Base{CallbackCommand: command}, GroupID: "live", Type: im.AVRoom, From: user, MsgSeq: 1,
		MsgTime: callback.Seconds(open.OpensAt.Unix()), MsgBody: im.Text("win me"),
	})
	p.Must(err)
	return rules.Redo(p.Context(), callback.Deferred{Rule: "lottery", Command: command, Body: body})
}

// testManyAtOnce: 300 users enter, some of them twice, while three processes draw.
func testManyAtOnce(p *process) {
	open := p.opens("k")
	var all sync.WaitGroup
	var mu sync.Mutex
	results := map[string]bool{}
	for n := range 300 {
		all.Go(func() {
			p.heard(fmt.Sprintf("u%03d", n%250), "win me", open.OpensAt, uint32(n))
			if n%100 == 99 {
				is := p.draw(open.LotteryID)
				mu.Lock()
				defer mu.Unlock()
				results[fmt.Sprintf("%+v", *is.Draw)] = true
			}
		})
	}
	all.Wait()
	if len(results) != 1 {
		p.Errorf("%d different draws", len(results))
	}
	is := p.get(open.LotteryID)
	if err := lottery.Verify(is); err != nil || len(is.Entries) == 0 {
		p.Errorf("%v, %d entries", err, len(is.Entries))
	}
}

// TestVerify finds each thing that a cheat could change.
func TestVerify(t *testing.T) {
	seed := strings.Repeat("ab", 32)
	sum := sha256.Sum256([]byte(seed))
	users := []string{"ann", "bob", "cid", "dan"}
	order, won := reference(seed, users, 2)
	fair := func() lottery.Lottery {
		return lottery.Lottery{State: lottery.Drawn, WinnersWanted: 2, Commitment: hex.EncodeToString(sum[:]), Draw: &lottery.Draw{
			Seed: seed, Entries: slices.Clone(order), EntriesHash: lottery.EntriesHash(users), Excluded: []string{"owner"}, Winners: slices.Clone(won),
		}}
	}
	if err := lottery.Verify(fair()); err != nil {
		t.Error(err)
	}
	for name, cheat := range map[string]func(*lottery.Lottery){
		"not drawn":       func(l *lottery.Lottery) { l.State = lottery.Open },
		"another seed":    func(l *lottery.Lottery) { l.Seed = strings.Repeat("cd", 32) },
		"an entry added":  func(l *lottery.Lottery) { l.Entries, _ = reference(seed, append(users, "eve"), 2) },
		"an entry gone":   func(l *lottery.Lottery) { l.Entries = l.Entries[:3] },
		"entered twice":   func(l *lottery.Lottery) { l.Entries = append(l.Entries, l.Entries[0]) },
		"another order":   func(l *lottery.Lottery) { l.Entries[0], l.Entries[1] = l.Entries[1], l.Entries[0] },
		"another winner":  func(l *lottery.Lottery) { l.Winners[1] = order[2] },
		"a winner more":   func(l *lottery.Lottery) { l.Winners = order[:3] },
		"one who may not": func(l *lottery.Lottery) { l.Excluded = append(l.Excluded, won[0]) },
	} {
		l := fair()
		cheat(&l)
		if lottery.Verify(l) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

// TestAddedEntryReordersNobody: the others' order stays.
func TestAddedEntryReordersNobody(t *testing.T) {
	var users []string
	for n := range 200 {
		users = append(users, fmt.Sprint("user", n))
	}
	with := lottery.DrawingOrder("seed", users)
	without := lottery.DrawingOrder("seed", users[1:])
	if !slices.Equal(slices.DeleteFunc(with, func(u string) bool { return u == "user0" }), without) {
		t.Error("an added entry changed the order of others")
	}
}
