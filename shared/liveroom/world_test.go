package liveroom_test

import (
	"cmp"
	"context"
	"crypto/md5"
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
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

const (
	apiKey = rulestest.APIKey
	cssKey = "what CSS signs its events with"
	grace  = 20 * time.Second
)

// world is an emulated IM and a store, in which processes of ours come and go.
type world struct {
	*rulestest.World
	store kv.Store
	gate  *api.Gate
	conf  liveroom.Config
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{World: rulestest.New(t, clock, rulestest.Options{}), store: store}
	w.gate = w.Gate("shop")
	w.conf = liveroom.Config{
		Admin: rulestest.Admin, Grace: grace, History: liveroom.History{Messages: 50, Keep: time.Hour}, Now: clock.Now, Sleep: w.Sleep,
		Media: liveroom.Media{
			Signer: w.Users, TTL: 10 * time.Minute, CallbackKey: cssKey,
			PushDomain: "push.example.com", PushKey: "push key", PlayDomain: "play.example.com", PlayKey: "play key",
		},
	}
	return w
}

// onBolt is a world in a file.
func onBolt(t *testing.T) *world {
	t.Helper()
	clock := kvtest.NewClock()
	return newWorld(t, rulestest.Store(t, clock), clock)
}

// process is one process of ours.
type process struct {
	*world
	rooms  *liveroom.Rooms
	ledger *queue.Ledger
	routes http.Handler
	mux    *callback.Mux
}

// process starts a process over a store, which may be mortal, that hears IM's
// callbacks from now on.
func (w *world) process(store kv.Store) *process {
	w.Helper()
	client := w.Client()
	p := &process{world: w, ledger: queue.NewLedger(store, w.Queue, w.Clock.Now), mux: callback.NewMux()}
	conf := w.conf
	conf.Store, conf.Jobs, conf.IM = store, p.ledger, client
	conf.Outbox = outbox.New(outbox.Config{Store: store, IM: client, Jobs: p.ledger, Now: w.Clock.Now, Sleep: w.Sleep})
	conf.Broadcaster = once.New(store, client, w.Clock.Now)
	p.rooms = liveroom.New(conf)
	p.rooms.Register(p.mux)
	w.Serve(p.mux)
	mux := http.NewServeMux()
	p.rooms.Routes(mux, liveroom.RoutesConfig{RoutesConfig: api.RoutesConfig{Gate: w.gate, Keeper: idem.New(store, w.Clock.Now)}})
	p.routes = api.Routes(mux)
	return p
}

// work carries out the jobs that are due.
func (p *process) work() {
	p.Helper()
	for range 3 {
		p.Work(p.ledger)
	}
}

// minutes lets the clock tick for a while, as it does when nobody does anything.
func (p *process) minutes(n int) {
	p.Helper()
	for i := range n {
		p.Advance(time.Minute)
		p.sweep()
		if i%3 == 0 {
			_, err := p.ledger.Sweep(p.Context())
			p.Must(err)
		}
		p.work()
	}
}

// sweep is what the clock does for rooms.
func (p *process) sweep() {
	p.Helper()
	p.Must(liveroom.Looks.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
	p.Must(liveroom.Times.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
	p.Must(liveroom.Broadcasts.Sweep(p.store, p.ledger, p.Clock.Now)(p.Context()))
}

// after lets time pass and then carries out the jobs that are due, without the
// clock.
func (p *process) after(d time.Duration) {
	p.Helper()
	p.Advance(d)
	p.work()
}

// server stands for a server where a UserID is asked for.
const server = rulestest.Server

// do sends a request of a user, or of a server. header is an Idempotency-Key.
func (p *process) do(user, method, path, body string, header ...string) rulestest.Reply {
	p.Helper()
	r := p.Request(user, method, path, body, header...)
	return p.send(r)
}

func (p *process) send(r *http.Request) rulestest.Reply {
	return p.Ask(p.routes, r)
}

const lobby = `{"roomId":%q,"name":"Evening show","owner":"ann","moderators":["mod"],"notice":"welcome","introduction":"songs"}`

// opens creates a room of ann's, which mod moderates.
func (p *process) opens(id string) liveroom.Room {
	p.Helper()
	room := rulestest.Into[liveroom.Room](p, p.do(server, "POST", "/rooms", fmt.Sprintf(lobby, id), "open-"+id))
	p.work()
	return room
}

// room is a room by GET.
func (p *process) room(id string) liveroom.Room {
	p.Helper()
	return rulestest.Into[liveroom.Room](p, p.do(server, "GET", "/rooms/"+id, ""))
}

// becomes gives a room another status.
func (p *process) becomes(id string, status liveroom.Status) liveroom.Room {
	p.Helper()
	body := fmt.Sprintf(`{"status":%q,"version":%d}`, status, p.room(id).Version)
	room := rulestest.Into[liveroom.Room](p, p.do("ann", "PUT", "/rooms/"+id+"/status", body))
	p.work()
	return room
}

// told are the events of a kind that a room was told, in order: in IM, where
// everybody in the room saw them.
func (w *world) told(id, kind string) (list []map[string]any) {
	w.Helper()
	for _, m := range w.App.State().Group(id).Messages {
		if data, is := eventOf(w, m, kind); is {
			list = append(list, data)
		}
	}
	return list
}

func eventOf(w *world, m imtest.Message, kind string) (map[string]any, bool) {
	var body []struct {
		MsgType    string
		MsgContent struct{ Data string }
	}
	var e struct {
		BusinessID string         `json:"businessID"`
		Event      string         `json:"event"`
		Data       map[string]any `json:"data"`
	}
	if json.Unmarshal(m.Body, &body) != nil || len(body) != 1 || body[0].MsgType != "TIMCustomElem" {
		return nil, false
	}
	if json.Unmarshal([]byte(body[0].MsgContent.Data), &e) != nil || e.BusinessID != "backchannel" || e.Event != kind {
		return nil, false
	}
	if m.Priority != imtest.High {
		w.Errorf("the event %s was sent with priority %d", kind, m.Priority)
	}
	return e.Data, true
}

// statuses are the statuses that a room was told, as clients order them: messages
// may overtake one another.
func (w *world) statuses(id string) string {
	w.Helper()
	var list []string
	for _, data := range w.toldStatuses(id) {
		list = append(list, fmt.Sprint(data["status"]))
	}
	return strings.Join(list, " ")
}

func (w *world) toldStatuses(id string) []map[string]any {
	w.Helper()
	all := w.told(id, "status")
	slices.SortFunc(all, func(a, b map[string]any) int { return cmp.Compare(a["version"].(float64), b["version"].(float64)) })
	return all
}

// group is a room's group in IM.
func (w *world) group(id string) imtest.GroupState { return w.App.State().Group(id) }

// inStep requires that IM shows what the store says.
func (p *process) inStep(id string) {
	p.Helper()
	room, g := p.room(id), p.group(id)
	if g.Attributes["status"] != string(room.Status) || g.Attributes["notice"] != room.Notice || g.Attributes["introduction"] != room.Introduction {
		p.Errorf("the room is %s %q %q, and its attributes are %q", room.Status, room.Notice, room.Introduction, g.Attributes)
	}
	if g.Notification != room.Notice || g.Introduction != room.Introduction {
		p.Errorf("the room has %q %q, and its group %q %q", room.Notice, room.Introduction, g.Notification, g.Introduction)
	}
	if all := p.toldStatuses(id); len(all) > 0 && all[len(all)-1]["status"] != string(room.Status) {
		p.Errorf("the room is %s, and was told %v", room.Status, all)
	}
}

// css is an event of CSS, signed as CSS does for the next ten minutes.
func (p *process) css(stream string, kind int, at time.Time, sequence string) rulestest.Reply {
	p.Helper()
	return p.cssRaw(p.signedEvent(stream, kind, at, sequence, p.Clock.Now().Add(10*time.Minute)))
}

func (p *process) signedEvent(stream string, kind int, at time.Time, sequence string, until time.Time) string {
	sum := md5.Sum(fmt.Appendf(nil, "%s%d", cssKey, until.Unix()))
	return fmt.Sprintf(`{"appid":1,"app":"x","stream_id":%q,"event_type":%d,"event_time":%d,"sequence":%q,"stream_param":"txSecret=secret","t":%d,"sign":%q}`,
		stream, kind, at.Unix(), sequence, until.Unix(), hex.EncodeToString(sum[:]))
}

func (p *process) cssRaw(body string) rulestest.Reply {
	p.Helper()
	return p.send(httptest.NewRequestWithContext(p.Context(), "POST", "/css/events", strings.NewReader(body)))
}

// restrictions are who may not do what in a room, as kind and user.
func (p *process) restrictions(id string) string {
	p.Helper()
	got := rulestest.Into[struct{ Restrictions []liveroom.Restriction }](p, p.do(server, "GET", "/rooms/"+id+"/restrictions", ""))
	var list []string
	for _, one := range got.Restrictions {
		list = append(list, strings.TrimSpace(string(one.Kind)+" "+one.UserID))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// watched is a store that knows which partitions were changed.
type watched struct {
	kv.Store
	mu      sync.Mutex
	changed []string
}

func (s *watched) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	s.mu.Lock()
	s.changed = append(s.changed, partition)
	s.mu.Unlock()
	return s.Store.Commit(ctx, partition, op, writes...)
}

func (s *watched) Tally(ctx context.Context, partition, segment string, e kv.Event, deltas ...kv.Delta) (kv.Outcome, error) {
	s.mu.Lock()
	s.changed = append(s.changed, partition)
	s.mu.Unlock()
	return s.Store.Tally(ctx, partition, segment, e, deltas...)
}

// changes returns what was changed since the last call, but for the answers that
// are kept for repeated requests.
func (s *watched) changes() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, partition := range s.changed {
		if !strings.HasPrefix(partition, "idem/") {
			list = append(list, partition)
		}
	}
	s.changed = nil
	return list
}
