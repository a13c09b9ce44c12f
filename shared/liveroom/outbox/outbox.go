// Package outbox sends messages to rooms (AVChatRooms), the most important first
// and within a rate limit per room that all processes share.
//
//	sends := outbox.New(outbox.Config{Store: store, IM: client, Jobs: ledger, PerSecond: 20})
//	err := sends.Send(ctx, outbox.Message{RoomID: room, Key: "status/7", Priority: im.High, From: admin, Body: body})
//
// # What to rely on
//
// Messages are deduplicated by room and key: adding a message a second time is a
// no-op, and the first one is sent. A job calls Add and then [Outbox.Drain]; a route
// calls [Outbox.Send], which adds and enqueues a job that drains.
//
// Drain takes a lease on the room's outbox, so one process sends to a room at a time,
// with several calls in flight. Messages of higher priority go first, whenever they
// were added. A message whose send fails is retried later and blocks no other. IM
// sheds messages beyond 40 a second per group; users' messages count towards that
// number, so PerSecond should leave room for them.
//
// # How a message ends
//
// AVChatRooms have no history to search, and IM deduplicates a message by its
// Random for 5 minutes. Before a message is sent for the first time, the lease
// records its key and the time. A message that may have been sent is sent again,
// byte for byte, for 90 s ([once.Window], the house's rule); after that it ends as
// Unknown and is not sent again. Every message ends exactly once, as [Sent],
// [Refused] or [Unknown], and the end is remembered for [Kept]. An Unknown message
// may later be found to be Sent ([Outbox.Seen]) or be given up as [Lost]
// ([Outbox.GiveUp]).
package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Limits of a message.
const (
	MaxKey  = 200 // bytes of a key
	MaxKind = 64  // bytes of a kind
)

// Our decisions.
const (
	// DefaultPerSecond bounds the messages a second to one room. IM's limit of 40 a
	// second counts users' messages, too.
	DefaultPerSecond = 20
	// Kept is how long the outcome of a message is kept.
	Kept = 7 * 24 * time.Hour
	// DefaultPatience is the default of [Message.Patience].
	DefaultPatience = time.Hour
)

// ErrInvalid: a message breaks a limit of this package. Nothing was changed.
var ErrInvalid = errors.New("outbox: invalid message")

// Message is one message to a room.
type Message struct {
	RoomID string `json:"-"` // the GroupID of an AVChatRoom
	// Key is the message's idempotency key within the room, in every process and for
	// [Kept].
	Key             string         `json:"key"`
	Priority        im.MsgPriority `json:"-"` // "" is Normal
	From            string         `json:"from"`
	Body            im.MsgBody     `json:"body"`
	CloudCustomData string         `json:"custom,omitempty"`
	// AfterCallback lets IM call back after the send; see [im.GroupMsg].
	AfterCallback bool `json:"after,omitempty"`
	// Kind names the handler that gets the message's outcome ([Outbox.Handle]); "" is
	// none.
	Kind string `json:"kind,omitempty"`
	// Patience is how long a message that cannot have been sent is retried after it
	// was added; then the message is Refused. 0 means DefaultPatience.
	Patience time.Duration `json:"patience,omitempty"`
}

// State is the state of a message.
type State string

// The states of a message. All but Waiting and Unknown are final.
const (
	Waiting State = "waiting" // to be sent, or being sent
	Sent    State = "sent"
	Refused State = "refused" // was not sent and will not be: IM refused it for good, or its patience ended
	Unknown State = "unknown" // was sent, or was not; it is not sent again
	Lost    State = "lost"    // Unknown, and given up by GiveUp
)

// Outcome is the state of a message, with the details of its end.
type Outcome struct {
	State  State     `json:"state"`
	MsgSeq uint32    `json:"msgSeq,omitempty"` // of Sent
	Code   im.Code   `json:"code,omitempty"`   // of Refused, where IM gave one
	At     time.Time `json:"at,omitzero"`      // when it ended
}

// Told is called when a message has ended as Sent, Refused or Unknown, at least once
// and perhaps in two processes at once. Each call has the same outcome, except that a
// Sent may follow an Unknown. After an error Told is called again.
type Told func(ctx context.Context, m Message, o Outcome) error

// IM is the part of IM's REST API that an outbox uses; [*im.Client] implements it.
type IM interface {
	SendGroupMsg(ctx context.Context, m im.GroupMsg) (im.GroupSent, error)
}

// Config makes an [Outbox]. Store is required. Without Jobs only Add, Outcome,
// Seen and GiveUp work, without IM everything but Drain.
type Config struct {
	Store kv.Store
	IM    IM
	Jobs  *queue.Ledger
	// PerSecond is the most messages a second that are sent to one room, by all
	// processes together. 0 means DefaultPerSecond.
	PerSecond int

	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: by the wall clock; it paces sends
}

// Outbox is the outboxes of all rooms. It is safe for concurrent use, also by
// several processes with the same store.
type Outbox struct {
	store kv.Store
	im    IM
	jobs  *queue.Ledger
	every time.Duration // between two sends to a room
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	told  map[string]Told

	standBy standBy
}

// New returns an Outbox and registers its kind of job with conf.Jobs.
func New(conf Config) *Outbox {
	o := &Outbox{store: conf.Store, im: conf.IM, jobs: conf.Jobs, now: conf.Now, sleep: conf.Sleep, told: make(map[string]Told)}
	o.standBy.rooms = make(map[string]time.Time)
	if o.now == nil {
		o.now = time.Now
	}
	if o.sleep == nil {
		o.sleep = retry.Sleep
	}
	if conf.PerSecond <= 0 {
		conf.PerSecond = DefaultPerSecond
	}
	// Rounded up, so that no second sees more than PerSecond.
	o.every = (time.Second + time.Duration(conf.PerSecond) - 1) / time.Duration(conf.PerSecond)
	if o.jobs != nil {
		o.jobs.Handle(drainKind, o.drainJob)
	}
	return o
}

// Handle registers the function that gets the outcomes of a kind's messages. Register
// before the first Drain.
func (o *Outbox) Handle(kind string, told Told) { o.told[kind] = told }

// The keys of a room's outbox, in the partition room/ID/out:
//
//	out/<1, 2 or 3 by priority>/<key>  a message that has not ended, or whose end nobody was told
//	done/<key>                         how a message ended
//	lease                              who sends, and what may have been sent
const (
	outPrefix  = "out/"
	donePrefix = "done/"
	leaseKey   = "lease"
)

func partition(roomID string) string { return "room/" + roomID + "/out" }

var ranks = map[im.MsgPriority]string{im.High: "1/", im.Normal: "2/", im.Low: "3/"}

var priorities = map[byte]im.MsgPriority{'1': im.High, '2': im.Normal, '3': im.Low}

func outKey(m Message) string { return outPrefix + ranks[m.Priority] + m.Key }

// record is a message as it is stored.
type record struct {
	Message
	Added     time.Time `json:"added"`
	NotBefore time.Time `json:"notBefore,omitzero"` // put off until then
	Attempts  int       `json:"attempts,omitempty"`
}

// entry is a record and where it is.
type entry struct {
	record
	key, rev string
}

func (m *Message) check() error {
	if m.Priority == "" {
		m.Priority = im.Normal
	}
	switch {
	case m.RoomID == "" || len(m.RoomID) > im.MaxGroupID:
		return fmt.Errorf("%w: a room's id is 1 to %d bytes", ErrInvalid, im.MaxGroupID)
	case m.Key == "" || len(m.Key) > MaxKey || !utf8.ValidString(m.Key) || strings.IndexByte(m.Key, 0) >= 0:
		return fmt.Errorf("%w: a key is 1 to %d bytes of text", ErrInvalid, MaxKey)
	case ranks[m.Priority] == "":
		return fmt.Errorf("%w: the priority is High, Normal or Low", ErrInvalid)
	case m.From == "" || len(m.From) > im.MaxUserID:
		return fmt.Errorf("%w: a message has a sender of 1 to %d bytes", ErrInvalid, im.MaxUserID)
	case len(m.Body) == 0:
		return fmt.Errorf("%w: a message has a body", ErrInvalid)
	case len(m.Kind) > MaxKind:
		return fmt.Errorf("%w: a kind is at most %d bytes", ErrInvalid, MaxKind)
	case m.Patience < 0:
		return fmt.Errorf("%w: the patience is negative", ErrInvalid)
	}
	if m.Patience == 0 {
		m.Patience = DefaultPatience
	}
	return nil
}

// Add adds messages, except those whose room has or had a message of that key. nil
// means that the next Drain of the room sends them. Add neither sends a message nor
// enqueues a job. Errors are ErrInvalid, those of [kv.Store.Commit] and the context's
// own; retry Add after the latter two.
func (o *Outbox) Add(ctx context.Context, messages ...Message) error {
	for _, m := range messages {
		if err := o.add(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) add(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	// Drain looks for an end before it sends; this look only saves the write.
	switch _, _, err := o.end(ctx, m.RoomID, m.Key); {
	case err == nil:
		return nil
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	value, err := encode(record{Message: m, Added: o.now()})
	if err != nil {
		return fmt.Errorf("%w: the body is not JSON", ErrInvalid)
	}
	err = o.store.Commit(ctx, partition(m.RoomID), newOp(), kv.Put{Key: outKey(m), Value: value, If: kv.Absent()})
	if errors.Is(err, kv.ErrConflict) {
		return nil // known
	}
	return err
}

// Send adds messages and enqueues a job that drains their rooms. nil means that they
// will be sent, or have been. Retry Send after an error.
func (o *Outbox) Send(ctx context.Context, messages ...Message) error {
	for _, m := range messages {
		if err := o.add(ctx, m); err != nil {
			return err
		}
		if err := o.wake(ctx, m.RoomID, m.Key, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// Outcome returns the state of a message: Waiting if it was added and has not ended.
// kv.ErrNotFound: the message is unknown, or ended longer than [Kept] ago.
func (o *Outbox) Outcome(ctx context.Context, roomID, key string) (Outcome, error) {
	end, _, err := o.end(ctx, roomID, key)
	if !errors.Is(err, kv.ErrNotFound) {
		return end, err
	}
	for _, rank := range ranks {
		_, err := o.store.Get(ctx, partition(roomID), outPrefix+rank+key)
		if err == nil {
			return Outcome{State: Waiting}, nil
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return Outcome{}, err
		}
	}
	// It may have ended between the two looks.
	end, _, err = o.end(ctx, roomID, key)
	return end, err
}

// Seen records that IM has delivered a message, according to the after-callback: a
// message that is waiting or Unknown becomes Sent. Seen returns the new state: Lost
// and Refused do not change, since a caller has acted on them. Repeating Seen is a
// no-op.
func (o *Outbox) Seen(ctx context.Context, roomID, key string, seq uint32) (Outcome, error) {
	return o.finish(ctx, roomID, key, Outcome{State: Sent, MsgSeq: seq})
}

// GiveUp turns Unknown into Lost and returns the new state. Other states do not
// change. Compensate for a message that may have been sent only if GiveUp returns
// Lost.
func (o *Outbox) GiveUp(ctx context.Context, roomID, key string) (Outcome, error) {
	return o.finish(ctx, roomID, key, Outcome{State: Lost})
}

// finish writes how a message ended, unless that is known, and returns how it
// ended.
func (o *Outbox) finish(ctx context.Context, roomID, key string, to Outcome) (Outcome, error) {
	const tries = 8 // a message changes its state three times at most
	to.At = o.now()
	value, err := json.Marshal(to)
	if err != nil {
		return Outcome{}, fmt.Errorf("outbox: %w", err)
	}
	for range tries {
		end, rev, err := o.end(ctx, roomID, key)
		put := kv.Put{Key: donePrefix + key, Value: value, Expires: to.At.Add(Kept), If: kv.Rev(rev)}
		switch {
		case errors.Is(err, kv.ErrNotFound):
			if to.State == Lost {
				return Outcome{State: Waiting}, nil
			}
			put.If = kv.Absent()
		case err != nil:
			return Outcome{}, err
		case end.State != Unknown || to.State == Unknown || to.State == Refused:
			return end, nil
		}
		err = o.store.Commit(ctx, partition(roomID), newOp(), put)
		if err == nil {
			return to, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return Outcome{}, err
		}
	}
	return Outcome{}, fmt.Errorf("outbox: others kept changing how a message ended: %w", kv.ErrConflict)
}

// end returns how a message ended; kv.ErrNotFound if it has not.
func (o *Outbox) end(ctx context.Context, roomID, key string) (end Outcome, rev string, err error) {
	item, err := o.store.Get(ctx, partition(roomID), donePrefix+key)
	if err != nil {
		return Outcome{}, "", err
	}
	if err := json.Unmarshal(item.Value, &end); err != nil {
		return Outcome{}, "", fmt.Errorf("outbox: the end of a message does not decode: %w", err)
	}
	return end, item.Rev, nil
}

// encode leaves < > & as they are: escaped they would count several times against
// IM's limit, and what is sent again must be the same bytes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func newOp() string { return "out/" + rand.Text() }
