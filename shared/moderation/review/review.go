// Package review keeps messages for review: an approved message is sent once, in its
// sender's name; a rejected message gives the sender a strike. It implements the
// filter's Holder.
//
//	filter := moderation.New(moderation.Config{Holder: queue, ...})
//
// # What is held
//
// Anybody who saw the URL of a callback can have any text held for a minute, in any
// sender's name. So a held message has no effect until a moderator decides, at most
// [MaxWaiting] messages of one sender and [MaxShard] of a sixteenth of all senders
// wait, and after [Life] they are deleted. A message beyond these bounds is refused.
//
// # What is decided
//
// A decision is committed once, after an entry on the agenda; a second request finds
// the decision. Its effects (an entry of the trail, the message or the strike) happen
// before the moderator gets an answer, or else by a job, and all of them are
// idempotent. The message is sent through package once and so reaches its group once;
// where IM keeps no history, in AVChatRooms, a send that takes longer than 90 seconds
// is at most once.
package review

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	MaxWaiting = 20   // messages of one sender
	MaxShard   = 1000 // messages of one shard

	// Life is how long a message waits for a decision.
	Life = 7 * 24 * time.Hour
	// Kept is how long a message is kept after the decision.
	Kept = 30 * 24 * time.Hour

	// MaxHeld bounds a message, in bytes: IM takes 12 KB of body and custom data.
	MaxHeld = 24 << 10

	// longest is how long a decision may take that somebody waits for, and
	// guardAfter when a sweep looks at it: longer than that, and soon enough for
	// IM to know a message again.
	longest    = 20 * time.Second
	guardAfter = 30 * time.Second
)

// Sender sends a message once, however often it is called with the same event;
// [*once.Sender] implements it.
type Sender interface {
	Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error)
	C2C(ctx context.Context, event string, m im.C2CMsg) (im.C2CSent, error)
}

// Rejection is a rejected message, as the reason for a strike.
type Rejection struct {
	UserID string
	Review string // id of the message
	Weight int    // points
	By     string // who rejected it
	Reason string
}

// Config makes a [Queue].
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	Sends Sender
	// MadeAnew reports whether a group was made after a time, under the GroupID of an
	// earlier group; [*im.Client.MadeAnew] implements it. An approved message of a
	// dissolved group is refused, so that the members of a new group do not get it.
	MadeAnew func(ctx context.Context, groupID string, since time.Time) (bool, error)

	// Strike gives the sender of a rejected message a strike, once for each Review;
	// nil: no strikes.
	Strike func(ctx context.Context, r Rejection) error
	// Banned returns until when a user is banned, the zero time for one who is not;
	// nil: nobody is.
	Banned func(ctx context.Context, userID string) (time.Time, error)

	// Notifier is the UserID that notifies senders; it must be an admin of the app.
	// RejectedText is the notice to the sender of a rejected message; "": no notice.
	Notifier     string
	RejectedText string

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default
}

// Queue holds the messages for review. It is safe for concurrent use, also by several
// processes.
type Queue struct {
	conf    Config
	store   kv.Store
	process *process.Process
	trail   *trail.Trail
	now     func() time.Time
}

// Decisions is the process that carries out moderators' decisions.
var Decisions = process.Name{Agenda: "reviews", Job: "review.decided", Lane: queue.Fast}

// New makes a Queue, and registers the handlers of its jobs with Jobs.
func New(conf Config) *Queue {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Log == nil {
		conf.Log = slog.Default()
	}
	q := &Queue{
		conf: conf, store: conf.Store, now: conf.Now, trail: trail.New(conf.Store),
	}
	q.process = process.New(Decisions, conf.Store, conf.Jobs, conf.Now, q.goOn)
	return q
}

// State is the state of a held message.
type State string

// The states of a message.
const (
	Waiting  State = "waiting"
	Approved State = "approved"
	Rejected State = "rejected"
	Expired  State = "expired" // nobody decided in time
)

// Outcome is the outcome of an approved message.
type Outcome string

// The outcomes.
const (
	Pending Outcome = ""        // it is on its way
	Sent    Outcome = "sent"    //
	Refused Outcome = "refused" // IM refuses the message; Failure says why
	Unknown Outcome = "unknown" // it may have been sent, and is not sent again
)

// record is what is kept of a message.
type record struct {
	Held  moderation.Held `json:"held"`
	State State           `json:"state"`

	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at,omitzero"` // when it was decided
	Reason string    `json:"reason,omitempty"`
	Weight int       `json:"weight,omitempty"` // of the strike

	Outcome Outcome `json:"outcome,omitempty"`
	Failure string  `json:"failure,omitempty"`
	Done    bool    `json:"done,omitempty"` // all that follows has happened
}

// Messages lie in shards by their senders. What belongs together, a message, its
// place in the queue and the counts of those that wait, changes in one Commit.
const (
	shards        = 16
	messagePrefix = "m/"
	waitingPrefix = "w/" // and the time: in the order of the queue
	senderPrefix  = "c/"
	allKey        = "all"
	countWaiting  = "waiting" // downwards: the store bounds counters from below
)

func partition(shard int) string { return fmt.Sprintf("review/%x", shard) }

// reviewID is the id of a held message here: its shard's digit, and its own.
func reviewID(h moderation.Held) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(h.From))
	return fmt.Sprintf("%x%s", sum.Sum32()%shards, h.ID)
}

// idLength is that of an id: 32 hexadecimal digits and that of the shard.
const idLength = 33

// shardOf returns the shard of an id, or -1 for a malformed id.
func shardOf(id string) int {
	if len(id) != idLength || strings.Trim(id, "0123456789abcdef") != "" {
		return -1
	}
	return strings.IndexByte("0123456789abcdef", id[0])
}

func waitingKey(h moderation.Held, id string) string {
	return fmt.Sprintf("%s%014d/%s", waitingPrefix, h.At.UnixMilli(), id)
}

var (
	errUnfit = errors.New("review: a message that cannot be IM's")
	errFull  = errors.New("review: too many messages wait, of this sender or in all")
)

// check refuses what cannot come from IM.
func check(h moderation.Held) error {
	const maxID = 128 // bytes; IM's own ids are shorter
	_, err := hex.DecodeString(h.ID)
	if err != nil || len(h.ID) != idLength-1 || usersig.CheckUserID(h.From) != nil || (h.To == "") == (h.GroupID == "") ||
		len(h.To) > maxID || len(h.GroupID) > maxID || len(h.TopicID) > maxID || len(h.MsgBody) == 0 {
		return errUnfit
	}
	return nil
}

// Hold implements moderation.Holder. Hold fails where too many messages wait, for a
// message that cannot come from IM, and with the errors of the store.
func (q *Queue) Hold(ctx context.Context, h moderation.Held) error {
	if err := check(h); err != nil {
		return err
	}
	value, err := encode(record{Held: h, State: Waiting})
	if err != nil {
		return err
	}
	if len(value) > MaxHeld {
		return errUnfit
	}
	id := reviewID(h)
	expires := h.At.Add(Life + Kept) // should nobody sweep
	err = q.store.Commit(
		ctx, partition(shardOf(id)), kv.NewOp("review"),
		kv.Put{Key: messagePrefix + id, Value: value, Expires: expires, If: kv.Absent()},
		kv.Put{Key: waitingKey(h, id), Value: []byte(id), Expires: expires, If: kv.Absent()},
		takeRoom(senderPrefix+h.From, MaxWaiting, expires), takeRoom(allKey, MaxShard, expires),
	)
	switch {
	case errors.Is(err, kv.ErrConflict):
		return nil // it is held, or was
	case errors.Is(err, kv.ErrRange):
		return errFull
	}
	return err
}

func takeRoom(key string, most int64, expires time.Time) kv.Add {
	floor := -most
	return kv.Add{Key: key, Deltas: []kv.Delta{{Counter: countWaiting, By: -1, Floor: &floor}}, Expires: expires}
}

func giveRoom(key string) kv.Add {
	return kv.Add{Key: key, Deltas: []kv.Delta{{Counter: countWaiting, By: 1}}}
}

// encode leaves the message byte for byte as it was, or it would grow.
func encode(r record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("review: a message does not encode: %w", err)
	}
	return b.Bytes(), nil
}

var errNotFound = fault.New(fault.NotFound, "there is no held message with this id, or no longer")

// load reads a message. Errors are a fault of code NotFound and the store's.
func (q *Queue) load(ctx context.Context, id string) (r record, rev string, err error) {
	shard := shardOf(id)
	if shard < 0 {
		return r, "", errNotFound
	}
	item, err := q.store.Get(ctx, partition(shard), messagePrefix+id)
	if errors.Is(err, kv.ErrNotFound) {
		return r, "", errNotFound
	}
	if err != nil {
		return r, "", err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return r, "", fmt.Errorf("review: a message does not decode: %w", err)
	}
	return r, item.Rev, nil
}

// save writes a message and returns its revision.
func (q *Queue) save(ctx context.Context, id string, r record, rev string, more ...kv.Write) (string, error) {
	value, err := encode(r)
	if err != nil {
		return "", err
	}
	op := kv.NewOp("review")
	put := kv.Put{Key: messagePrefix + id, Value: value, Expires: r.At.Add(Kept), If: kv.Rev(rev)}
	return op, q.store.Commit(ctx, partition(shardOf(id)), op, append(more, put)...)
}

// decision is what somebody decides about a message.
type decision struct {
	state  State
	by     string
	reason string
	weight int
}

// decide commits a decision and does what follows from it. The same decision
// again changes nothing. What of it fails is done by job; then there is no error.
// Errors are faults of the codes NotFound and Conflict, and the store's.
func (q *Queue) decide(ctx context.Context, id string, d decision) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	r, rev, err := q.load(ctx, id)
	if err != nil {
		return r, err
	}
	if r.State == Waiting {
		// The guard comes before the commit that it guards.
		if err := q.process.Guard(ctx, id, q.now().Add(guardAfter)); err != nil && !errors.Is(err, kv.ErrConflict) {
			return r, err // with a conflict, another has just put it
		}
	}
	for r.State == Waiting {
		// The place in the queue is of the same revision: one Commit made both.
		place := kv.Delete{Key: waitingKey(r.Held, id), If: kv.Rev(rev)}
		r.State, r.By, r.Reason, r.Weight, r.At = d.state, d.by, d.reason, d.weight, q.now().UTC()
		rev, err = q.save(ctx, id, r, rev, place, giveRoom(senderPrefix+r.Held.From), giveRoom(allKey))
		if err == nil {
			return q.follow(ctx, id, r, rev)
		}
		if !errors.Is(err, kv.ErrConflict) {
			return r, err
		}
		if r, rev, err = q.load(ctx, id); err != nil { // somebody was faster
			return r, err
		}
	}
	if r.State != d.state {
		return r, fault.New(fault.Conflict, "this message is %s already", r.State)
	}
	return r, nil
}

// follow does what follows from a decision, or leaves it to a job.
func (q *Queue) follow(ctx context.Context, id string, r record, rev string) (record, error) {
	done, err := q.act(ctx, id, r, rev)
	if err == nil {
		return done, nil
	}
	q.conf.Log.WarnContext(ctx, "decision about a message not carried out; a job retries", "error", err.Error())
	if err := q.process.Start(ctx, id, "decided"); err != nil {
		q.conf.Log.WarnContext(ctx, "job of a decision not enqueued; the clock enqueues it", "error", err.Error())
	}
	return r, nil
}

// goOn is the job: it does what follows from a decision, or decides about a
// message that has waited too long.
func (q *Queue) goOn(ctx context.Context, id string) error {
	r, rev, err := q.load(ctx, id)
	switch {
	case errors.Is(err, errNotFound):
		return nil // long over
	case err != nil:
		return err
	case r.State == Waiting && q.now().Sub(r.Held.At) < Life:
		return nil // its decision was never committed
	case r.State == Waiting:
		if _, err := q.decide(ctx, id, decision{state: Expired}); fault.CodeOf(err) != fault.Conflict {
			return err
		}
		return nil // somebody has just decided
	}
	_, err = q.act(ctx, id, r, rev)
	return err
}

// act does what follows from a decision. Each step may be done twice, also by two
// at once.
func (q *Queue) act(ctx context.Context, id string, r record, rev string) (record, error) {
	if r.Done {
		return r, nil
	}
	err := q.trail.Add(ctx, r.entry(id, "decided", "message "+string(r.State), r.By, r.Reason))
	switch {
	case err != nil:
	case r.State == Approved:
		r, rev, err = q.approved(ctx, id, r, rev)
	case r.State == Rejected:
		err = q.rejected(ctx, id, r)
	}
	if err != nil {
		return r, err
	}
	r.Done = true
	if _, err := q.save(ctx, id, r, rev); err != nil {
		return r, err // with a conflict, the repeat finds it done
	}
	q.process.Done(ctx, id)
	return r, nil
}

// entry is one of the trail. All are of the time of the decision, so that a
// repeat meets itself.
func (r record) entry(id, event, what, by, note string) trail.Entry {
	return trail.Entry{ID: id + "/" + event, At: r.At, By: by, What: what, UserID: r.Held.From, Review: id, Note: note}
}

// approved sends the message, and writes down what became of it.
func (q *Queue) approved(ctx context.Context, id string, r record, rev string) (record, string, error) {
	if r.Outcome == Pending {
		err := q.send(ctx, id, r.Held)
		switch {
		case err == nil:
			r.Outcome = Sent
		case errors.Is(err, once.ErrUnknown):
			r.Outcome = Unknown
		case errors.Is(err, errMadeAnew) || im.Lasting(err) || im.ClassOf(err) == im.ClassC2C:
			q.conf.Log.WarnContext(ctx, "an approved message is refused by IM", "error", err.Error())
			r.Outcome, r.Failure = Refused, failure(err)
		default:
			return r, rev, err
		}
		if rev, err = q.save(ctx, id, r, rev); err != nil {
			return r, rev, err
		}
	}
	return r, rev, q.trail.Add(ctx, r.entry(id, "outcome", "message "+outcomes[r.Outcome], "", r.Failure))
}

// outcomes are what the trail calls them.
var outcomes = map[Outcome]string{Sent: "sent", Refused: "refused", Unknown: "perhaps sent"}

var errMadeAnew = errors.New("the group was dissolved, and another has its id now")

// failure is why a message is refused, without what IM says in words, which may
// quote.
func failure(err error) string {
	if errors.Is(err, errMadeAnew) {
		return errMadeAnew.Error()
	}
	if e, is := errors.AsType[*im.Error](err); is {
		return e.Code.Error()
	}
	return "a field is too long for IM"
}

// send sends a message as its sender did. The after-callback comes, so that it is
// counted as any other.
func (q *Queue) send(ctx context.Context, id string, h moderation.Held) error {
	event := "review/" + id
	if h.GroupID == "" {
		_, err := q.conf.Sends.C2C(ctx, event, im.C2CMsg{
			From: h.From, To: h.To, Body: h.MsgBody, CloudCustomData: h.CloudCustomData, OnlineOnly: h.OnlineOnly, AfterCallback: true,
		})
		return err
	}
	anew, err := q.conf.MadeAnew(ctx, h.GroupID, h.At)
	switch {
	case err != nil:
		return err
	case anew:
		return errMadeAnew
	}
	m := im.GroupMsg{
		GroupID: h.GroupID, TopicID: h.TopicID, From: h.From, Body: h.MsgBody, CloudCustomData: h.CloudCustomData,
		OnlineOnly: h.OnlineOnly, AfterCallback: true,
	}
	switch p := im.MsgPriority(h.MsgPriority); p {
	case im.High, im.Normal, im.Low:
		m.Priority = p
	}
	_, err = q.conf.Sends.Group(ctx, event, m)
	return err
}

// rejected gets the sender a strike, and has him told.
func (q *Queue) rejected(ctx context.Context, id string, r record) error {
	if q.conf.Strike != nil && r.Weight > 0 {
		err := q.conf.Strike(ctx, Rejection{UserID: r.Held.From, Review: id, Weight: r.Weight, By: r.By, Reason: r.Reason})
		if err != nil {
			return err
		}
	}
	if q.conf.RejectedText == "" {
		return nil
	}
	_, err := q.conf.Sends.C2C(ctx, "review/"+id+"/notice", im.C2CMsg{From: q.conf.Notifier, To: r.Held.From, Body: im.Text(q.conf.RejectedText)})
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) {
		q.conf.Log.WarnContext(ctx, "sender of a rejected message not notified", "error", err.Error())
		return nil
	}
	return err
}

// Expire returns a task of the clock, which deletes messages that waited longer than
// Life, the oldest first, each by a job of [Decisions].
func Expire(store kv.Store, jobs *queue.Ledger, now func() time.Time) func(ctx context.Context) error {
	if now == nil {
		now = time.Now
	}
	return func(ctx context.Context) error {
		var failed error
		for shard := range shards {
			failed = errors.Join(failed, expireShard(ctx, store, jobs, shard, now().Add(-Life)))
		}
		return failed
	}
}

// expireShard starts the jobs of a shard's messages from before a time. Its oldest
// stay first until their jobs are done, so one page a minute is enough.
func expireShard(ctx context.Context, store kv.Store, jobs *queue.Ledger, shard int, before time.Time) error {
	page, err := store.List(ctx, partition(shard), kv.Range{Prefix: waitingPrefix})
	if err != nil {
		return err
	}
	end := waitingKey(moderation.Held{At: before}, "")
	for _, item := range page.Items {
		if item.Key >= end {
			return nil
		}
		if err := Decisions.Start(ctx, jobs, string(item.Value), "expired"); err != nil {
			return err
		}
	}
	return nil
}
