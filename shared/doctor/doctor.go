// Package doctor lets an operator check the configuration of a deployment. The
// operator's tool, imctl doctor, opens a check over HTTP, sends itself a message
// through IM's REST API, and reads the result: whether the store kept the check,
// whether a worker got the job, whether IM called back.
//
// The package also records what arrives: the latest callback of each command, at most
// once an hour and instance, so that a busy app pays nothing for it, and the latest
// tick, every ten minutes. The reasons for which requests fail authentication are
// recorded only while a check is open, since anybody may send such requests. A refused
// request with the open check's id in its message is IM's: nobody else knows the id. Two
// instances write the same record at the same moment, so a lost race is harmless.
package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

const (
	// noteEvery is how often an instance writes the note of one command or reason.
	noteEvery = time.Hour
	// noteAgain is how soon it tries after a note could not be written.
	noteAgain = time.Minute
	// refusedEvery is how often an instance writes the note of one reason while a check
	// is open.
	refusedEvery = 10 * time.Second
	// tickEvery is how often a tick is noted.
	tickEvery = 10 * time.Minute
	// noteLife is how long a note is kept after it was written last.
	noteLife = 90 * 24 * time.Hour
	// checkLife is how long a check is open.
	checkLife = 10 * time.Minute

	notes     = "doctor"
	arrived   = "arrived/"
	refused   = "refused/"
	ticked    = "ticked"
	openUntil = "open" // is there while a check is open
	jobKind   = "doctor.check"
	messageOf = "message"
	refusedOf = "refused"
	jobOf     = "job"
)

// OpenDelay is the longest time in which an instance of a deployment does not know yet that
// a check was opened. While it refuses requests, an instance reads the store once in this
// time and no more often.
const OpenDelay = time.Second

// checks is the partition of one check.
func checks(id string) string { return "doctor/check/" + id }

// note is what is written of a command, a reason or the clock.
type note struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// ByClient is when a client caused a callback last, and not our own REST call.
	ByClient time.Time `json:"byClient,omitzero"`
}

// Notes records the callbacks that arrive. It implements [callback.Watcher] and is
// safe for concurrent use.
type Notes struct {
	store kv.Store
	now   func() time.Time

	mu      sync.Mutex
	written map[string]time.Time // when the next note of a key may be written

	asking sync.Mutex
	asked  time.Time // when the store was asked for an open check
	open   bool      // the answer
}

// NewNotes returns notes in a store; now may be nil.
func NewNotes(store kv.Store, now func() time.Time) *Notes {
	if now == nil {
		now = time.Now
	}
	return &Notes{store: store, now: now, written: map[string]time.Time{}}
}

// Arrived implements [callback.Watcher].
func (n *Notes) Arrived(ctx context.Context, q callback.Query) {
	memo := arrived + q.Command
	if q.ByREST() {
		memo += "/rest"
	}
	n.note(ctx, memo, arrived+q.Command, !q.ByREST())
}

// Refused implements [callback.Watcher]. Without an open check Refused writes nothing,
// reads no body, and reads the store at most once in the time of [OpenDelay]. A refused
// request whose message has the mark of a check is IM's, and the check records the reason.
// While a check is open, a stranger's request costs a look at 4 KiB, and one read of the
// store if its message has a mark.
func (n *Notes) Refused(ctx context.Context, q callback.Query, why *callback.Reason, peek func() []byte) {
	now := n.now()
	if !n.checking(ctx, now) {
		return
	}
	n.mu.Lock()
	due := why != callback.ErrNoCommand && !now.Before(n.written[refused+why.Code])
	if due {
		n.written[refused+why.Code] = now.Add(refusedEvery)
	}
	n.mu.Unlock()
	if due {
		if err := write(ctx, n.store, refused+why.Code, now, false, 0); err != nil {
			slog.DebugContext(ctx, "refusal not recorded for doctor", "error", err.Error())
		}
	}
	if q.Command != "" && q.Command != messageCommand {
		return
	}
	var body struct{ CloudCustomData string }
	if json.Unmarshal(peek(), &body) != nil {
		return
	}
	if id := marked(body.CloudCustomData); id != "" {
		if _, err := complete(ctx, n.store, id, refusedOf, why.Code, now); err != nil {
			slog.WarnContext(ctx, "refused message of a check not recorded for doctor", "error", err.Error())
		}
	}
}

// messageCommand is the callback of a check's message.
const messageCommand = "C2C.CallbackAfterSendMsg"

// checking reports whether a check is open, as the store said within the time of
// [OpenDelay].
func (n *Notes) checking(ctx context.Context, now time.Time) bool {
	// Whoever comes while the store is asked waits for the answer: that of before may be
	// from a time when the check was not open.
	n.asking.Lock()
	defer n.asking.Unlock()
	if now.Sub(n.asked) < OpenDelay {
		return n.open
	}
	n.asked = now
	_, err := n.store.Get(ctx, notes, openUntil)
	n.open = err == nil
	return n.open
}

// note writes a note, unless this instance wrote it within the hour. memo tells
// notes of one key apart that are written apart.
func (n *Notes) note(ctx context.Context, memo, key string, byClient bool) {
	now := n.now()
	n.mu.Lock()
	due := !now.Before(n.written[memo])
	if due {
		n.written[memo] = now.Add(noteEvery) // nobody else writes it meanwhile
	}
	n.mu.Unlock()
	if !due {
		return
	}
	if err := write(ctx, n.store, key, now, byClient, noteEvery); err != nil {
		n.mu.Lock()
		n.written[memo] = now.Add(noteAgain)
		n.mu.Unlock()
		slog.DebugContext(ctx, "callback not recorded for doctor", "error", err.Error())
	}
}

// write renews a note that is older than every. That another writer was faster is no
// error: it wrote the same.
func write(ctx context.Context, store kv.Store, key string, now time.Time, byClient bool, every time.Duration) error {
	is := note{First: now}
	cond := kv.Absent()
	item, err := store.Get(ctx, notes, key)
	switch {
	case err == nil:
		cond = kv.Rev(item.Rev)
		if json.Unmarshal(item.Value, &is) != nil {
			is = note{First: now}
		}
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	if now.Sub(is.Last) < every && (!byClient || now.Sub(is.ByClient) < every) {
		return nil
	}
	is.Last = now
	if byClient {
		is.ByClient = now
	}
	value, err := json.Marshal(is)
	if err != nil {
		return err
	}
	err = store.Commit(ctx, notes, kv.NewOp("note"), kv.Put{Key: key, Value: value, Expires: now.Add(noteLife), If: cond})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

// Tick notes that the clock ticks.
func Tick(store kv.Store, now func() time.Time) func(context.Context) error {
	if now == nil {
		now = time.Now
	}
	return func(ctx context.Context) error {
		return write(ctx, store, ticked, now(), false, tickEvery)
	}
}

// mark is the CloudCustomData of the message that imctl doctor sends to itself.
type mark struct {
	Check string `json:"backchannelCheck"`
}

// Mark returns the CloudCustomData of the message of a check.
func Mark(id string) string {
	b, err := json.Marshal(mark{id})
	if err != nil {
		panic("doctor: " + err.Error()) // text always marshals
	}
	return string(b)
}

// Probe implements [callback.Watcher]: the message of an open check is noted and
// reaches no rule, so that nobody counts, archives or answers it. A check's id is
// random and known to its opener alone; a message with another id is a message like
// others.
func (n *Notes) Probe(ctx context.Context, e *callback.C2CAfterSendMsg) bool {
	id := marked(e.CloudCustomData)
	if id == "" {
		return false
	}
	done, err := complete(ctx, n.store, id, messageOf, "", n.now())
	if err != nil {
		slog.WarnContext(ctx, "message of a check not recorded for doctor", "error", err.Error())
	}
	return done
}

// marked returns the id of the check that a message says it is of, "" where it says
// none.
func marked(customData string) string {
	var m mark
	if !strings.HasPrefix(customData, `{"backchannelCheck":`) || json.Unmarshal([]byte(customData), &m) != nil || len(m.Check) > 64 {
		return ""
	}
	return m.Check
}

// complete marks a part of a check as done, with what is to be said of it, and reports
// whether there is such a check. A part that is done stays as it is.
func complete(ctx context.Context, store kv.Store, id, part, said string, now time.Time) (bool, error) {
	if _, err := store.Get(ctx, checks(id), "opened"); err != nil {
		if errors.Is(err, kv.ErrNotFound) || errors.Is(err, kv.ErrInvalid) {
			return false, nil
		}
		return false, err
	}
	err := store.Commit(ctx, checks(id), kv.NewOp("check"), kv.Put{Key: part, Value: []byte(said), Expires: now.Add(checkLife), If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return true, nil
	}
	return true, err
}

// Config makes the routes.
type Config struct {
	Store kv.Store
	// Jobs is nil where the deployment has no QUEUE_URL.
	Jobs *queue.Ledger
	// SDKAppID is 0 where the program does not know it.
	SDKAppID uint32
	// Wanted are the callback commands that rules have registered for.
	Wanted []string
	Now    func() time.Time // nil: time.Now
}

// Opened is what POST /doctor/checks answers.
type Opened struct {
	CheckID  string `json:"checkId"`
	SDKAppID uint32 `json:"sdkAppId"`
	// Queue says whether the deployment has a queue, in which case the check's job was
	// enqueued.
	Queue bool `json:"queue"`
	// QueueError is why the job could not be enqueued, "" if it was.
	QueueError string    `json:"queueError,omitempty"`
	Now        time.Time `json:"now"` // by the deployment's clock
}

// Arrival is the note of one command.
type Arrival struct {
	Command  string    `json:"command"`
	Wanted   bool      `json:"wanted"` // a rule wants it
	Last     time.Time `json:"last,omitzero"`
	ByClient time.Time `json:"byClient,omitzero"`
}

// Refusal records one reason for which requests failed authentication.
type Refusal struct {
	Reason string    `json:"reason"`
	Last   time.Time `json:"last"`
}

// State is what GET /doctor/checks/{id} answers.
type State struct {
	CheckID string `json:"checkId"`
	Message bool   `json:"message"` // the callback of the check's message came
	// MessageRefused is the [callback.Reason] for which the callback of the check's
	// message was refused, "" where none was.
	MessageRefused string `json:"messageRefused,omitempty"`
	Job            bool   `json:"job"` // the check's job was carried out
	// Ticked is when the clock ticked last, to ten minutes.
	Ticked time.Time `json:"ticked,omitzero"`
	Now    time.Time `json:"now"`
	// Arrivals lists every command that a rule wants or that arrived, with the time of
	// its last arrival, to the hour.
	Arrivals []Arrival `json:"arrivals"`
	Refusals []Refusal `json:"refusals"`
}

// Routes adds POST /doctor/checks and GET /doctor/checks/{id}, for servers alone, and
// registers the handler of the check's job.
func Routes(mux *http.ServeMux, gate *api.Gate, conf Config) {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Jobs != nil {
		conf.Jobs.Handle(jobKind, func(ctx context.Context, j queue.Job) error {
			var id string
			if err := json.Unmarshal(j.Body, &id); err != nil {
				return errors.New("the job names no check")
			}
			_, err := complete(ctx, conf.Store, id, jobOf, "", conf.Now())
			return err
		})
	}
	mux.Handle("POST /doctor/checks", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		var none struct{}
		if err := api.Decode(r, &none); err != nil {
			return err
		}
		opened, err := conf.open(r.Context())
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusCreated, opened)
		return nil
	}))
	mux.Handle("GET /doctor/checks/{id}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		state, err := conf.state(r.Context(), r.PathValue("id"))
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusOK, state)
		return nil
	}))
}

// open opens a check. It need not be idempotent: a check that nobody reads ends by
// itself.
func (c Config) open(ctx context.Context) (Opened, error) {
	now, id := c.Now(), rand.Text()
	o := Opened{CheckID: id, SDKAppID: c.SDKAppID, Queue: c.Jobs != nil, Now: now.UTC()}
	err := c.Store.Commit(ctx, checks(id), kv.NewOp("check"), kv.Put{Key: "opened", Value: []byte("{}"), Expires: now.Add(checkLife), If: kv.Absent()})
	if err != nil {
		return Opened{}, err
	}
	if err := c.announce(ctx, now); err != nil {
		return Opened{}, err
	}
	if c.Jobs == nil {
		return o, nil
	}
	body, err := json.Marshal(id)
	if err == nil {
		err = c.Jobs.Put(ctx, queue.Job{ID: "doctor/" + id, Kind: jobKind, Lane: queue.Fast, Body: body})
	}
	if err != nil {
		slog.ErrorContext(ctx, "job of a check not enqueued", "error", err.Error())
		o.QueueError = fault.Of(err).Message
	}
	return o, nil
}

// announce has all instances note refusals while the check is open.
func (c Config) announce(ctx context.Context, now time.Time) error {
	cond := kv.Absent()
	item, err := c.Store.Get(ctx, notes, openUntil)
	if err == nil {
		cond = kv.Rev(item.Rev)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	err = c.Store.Commit(ctx, notes, kv.NewOp("check"), kv.Put{Key: openUntil, Value: []byte("{}"), Expires: now.Add(checkLife), If: cond})
	if errors.Is(err, kv.ErrConflict) {
		return nil // another check was opened at this moment
	}
	return err
}

var errNoCheck = fault.New(fault.NotFound, "there is no check with this id, or no longer")

func (c Config) state(ctx context.Context, id string) (State, error) {
	now := c.Now()
	s := State{CheckID: id, Now: now.UTC(), Arrivals: []Arrival{}, Refusals: []Refusal{}}
	page, err := c.Store.List(ctx, checks(id), kv.Range{})
	switch {
	case errors.Is(err, kv.ErrInvalid), err == nil && len(page.Items) == 0:
		return State{}, errNoCheck
	case err != nil:
		return State{}, err
	}
	for _, item := range page.Items {
		s.Message = s.Message || item.Key == messageOf
		s.Job = s.Job || item.Key == jobOf
		if item.Key == refusedOf {
			s.MessageRefused = string(item.Value)
		}
	}
	wanted := map[string]bool{}
	for _, command := range c.Wanted {
		wanted[command] = true
	}
	seen := map[string]bool{}
	for r := (kv.Range{Limit: kv.MaxPage}); ; {
		page, err := c.Store.List(ctx, notes, r)
		if err != nil {
			return State{}, err
		}
		for _, item := range page.Items {
			var is note
			if json.Unmarshal(item.Value, &is) != nil {
				continue
			}
			if command, found := strings.CutPrefix(item.Key, arrived); found {
				seen[command] = true
				s.Arrivals = append(s.Arrivals, Arrival{command, wanted[command], is.Last.UTC(), is.ByClient.UTC()})
			} else if reason, found := strings.CutPrefix(item.Key, refused); found {
				s.Refusals = append(s.Refusals, Refusal{reason, is.Last.UTC()})
			} else if item.Key == ticked {
				s.Ticked = is.Last.UTC()
			}
		}
		if r.After = page.Next; page.Next == "" {
			break
		}
	}
	for _, command := range c.Wanted {
		if !seen[command] {
			s.Arrivals = append(s.Arrivals, Arrival{Command: command, Wanted: true})
		}
	}
	return s, nil
}
