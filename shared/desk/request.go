package desk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	// guardAfter is when a sweep looks at a request that is not done. It is longer
	// than whoever began it may have taken.
	guardAfter = time.Minute
	// longest is how long an attempt has, unless its context ends sooner, and
	// leaseSlack how much longer nobody else begins one.
	longest    = 45 * time.Second
	leaseSlack = 5 * time.Second
	// shortestPause and longestPause bound how long the clock's job waits after a
	// failure.
	shortestPause = 10 * time.Second
	longestPause  = 15 * time.Minute
	// forgotten is the age of a request from which on the desk is asked for the
	// ticket before it is made: desks forget keys, the first after two hours.
	forgotten = time.Hour
	// sameRequest is how long the same content of the same caller is the same
	// request, where the caller gives it no name.
	sameRequest = time.Hour
	// kept is how long a request's answer is repeated, and how long a ticket is
	// remembered that is over.
	kept = 90 * 24 * time.Hour
)

// request is what is known of a wish for a ticket: what was asked, and how far
// we have come. It is written down before anything is done, with the answer, and
// when all is done; all may be done twice.
type request struct {
	Asked    string    `json:"asked"` // hash of it
	UserID   string    `json:"userId"`
	Ticket   *Ticket   `json:"ticket,omitempty"` // until the desk has it, or the item expires; it is personal
	Name     string    `json:"name,omitempty"`   // for the group
	Zone     string    `json:"zone,omitempty"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // somebody works on it until then
	Done     int       `json:"done"`           // steps
	Refused  string    `json:"refused,omitempty"`
	TicketID string    `json:"ticketId,omitempty"`
	GroupID  string    `json:"groupId,omitempty"`
}

// Asked is a request for a ticket.
type Asked struct {
	UserID string // the requester
	Ticket Ticket // without Key
	Zone   string `json:",omitempty"` // the requester's time zone, such as Europe/Berlin
	// sameKey: whatever the request says, its Idempotency-Key stands for the first.
	sameKey bool
}

// Opened is a ticket with its group.
type Opened struct {
	TicketID, GroupID string
}

// steps lead to an answer. None is written down before the next begins: made
// again, each finds what it made. The desk knows the ticket by its key, IM the
// account, and the group as the requester's own.
var steps = [...]struct {
	name string
	do   func(*attempt, context.Context) error
}{
	{"importing the requester", (*attempt).importRequester},
	{"making the ticket", (*attempt).makeTicket},
	{"making the group", (*attempt).makeGroup},
}

// What the count of a request's steps says beside how many of these are done.
// Programs of before wrote what lies between the two, for what follows the answer.
const (
	answered = len(steps) // there is an answer
	finished = 7          // and all that follows from it
)

func (r *request) answer() (Opened, bool) {
	return Opened{r.TicketID, r.GroupID}, r.Done >= answered
}

// over reports whether there is nothing left to do.
func (r *request) over() bool { return r.Done >= finished || r.Refused != "" }

const requestItem = "request"

func requestPartition(key string) string { return "desk/request/" + key }

var errBusy = fault.New(fault.Conflict, "this request is being worked on; ask again").After(2 * time.Second)

// Open makes a ticket with its group. The same caller with the same idempotency key,
// or within an hour with the same content and no key, gets the first answer again, for
// 90 days.
//
// After an error of the codes Unavailable, Upstream and Timeout the request goes on: a
// job retries it, and so does a retry of the caller. The other codes are final:
// Invalid, with the fields that the desk refuses; Conflict while another process works
// on the request; IdempotencyMismatch where the key was used for another request.
func (t *Tickets) Open(ctx context.Context, caller api.Caller, name string, asked Asked) (Opened, error) {
	key, hash, err := t.keyOf(ctx, caller, name, asked)
	if err != nil {
		return Opened{}, err
	}
	for {
		a, err := t.load(ctx, key)
		if err != nil {
			return Opened{}, err
		}
		opened, is := a.answer()
		switch {
		case a.fresh():
			asked.Ticket.Key = key
			a.request = request{Asked: hash, UserID: asked.UserID, Ticket: &asked.Ticket, Name: groupName(asked.Ticket.Subject), Zone: asked.Zone, Since: t.now()}
		case a.Asked != hash && !asked.sameKey:
			return Opened{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another request; use a new one")
		case a.Refused != "":
			return Opened{}, fault.New(fault.Invalid, "%s", a.Refused)
		case is && (a.over() || a.held()):
			return opened, nil
		case a.held():
			return Opened{}, errBusy
		}
		if a.fresh() {
			if err := a.note(ctx); err != nil {
				return Opened{}, err
			}
		}
		// The guard comes before the commit that it guards.
		switch err := t.process.Guard(ctx, key, t.now().Add(guardAfter)); {
		case errors.Is(err, kv.ErrConflict):
			return Opened{}, errBusy // many begin at once, and one will do
		case err != nil:
			return Opened{}, err
		}
		switch err := a.save(ctx); {
		case errors.Is(err, kv.ErrConflict):
			continue // somebody was faster
		case err != nil:
			return Opened{}, err
		}
		err = a.run(ctx)
		if opened, is = a.answer(); !is {
			return Opened{}, err
		}
		if err != nil {
			slog.WarnContext(ctx, "ticket opened, but not finished; a job retries", "error", err.Error())
		}
		return opened, nil
	}
}

// reuse answers a request with a ticket of the requester that is not over, if there is
// one. A name stands for its first answer, so that is written down like one of Open;
// what a name stands for already is Open's to answer.
func (t *Tickets) reuse(ctx context.Context, caller api.Caller, name string, asked Asked) (Opened, bool, error) {
	if name == "" {
		return t.openOf(ctx, asked.UserID)
	}
	key, hash, err := t.keyOf(ctx, caller, name, asked)
	if err != nil {
		return Opened{}, false, err
	}
	a, err := t.load(ctx, key)
	if err != nil || !a.fresh() {
		return Opened{}, false, err
	}
	opened, is, err := t.openOf(ctx, asked.UserID)
	if err != nil || !is {
		return Opened{}, false, err
	}
	a.request = request{Asked: hash, UserID: asked.UserID, Done: finished, TicketID: opened.TicketID, GroupID: opened.GroupID}
	if err := a.note(ctx); err != nil {
		return Opened{}, false, err
	}
	if err := a.put(ctx); !errors.Is(err, kv.ErrConflict) {
		return opened, err == nil, err
	}
	return Opened{}, false, nil // somebody was faster
}

// keyOf names a request: by the caller's name for it, or by its content.
func (t *Tickets) keyOf(ctx context.Context, caller api.Caller, name string, asked Asked) (key, hash string, err error) {
	content, err := json.Marshal(asked)
	if err != nil {
		return "", "", err
	}
	hash = digest("asked", string(content))
	if name != "" {
		return keyPrefix + digest("name", caller.Server, caller.UserID, name), hash, nil
	}
	key = keyPrefix + strings.ToLower(rand.Text())
	const item = "key"
	partition := "desk/recent/" + digest("content", caller.Server, caller.UserID, hash)
	put := kv.Put{Key: item, Value: []byte(key), Expires: t.now().Add(sameRequest), If: kv.Absent()}
	for {
		err = t.store.Commit(ctx, partition, kv.NewOp("desk"), put)
		if !errors.Is(err, kv.ErrConflict) {
			return key, hash, err
		}
		known, err := t.store.Get(ctx, partition, item)
		if !errors.Is(err, kv.ErrNotFound) { // or it has just expired
			return string(known.Value), hash, err
		}
	}
}

// digest tells lists of texts apart.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// groupName makes a name for a group of a ticket's subject.
func groupName(subject string) string {
	if name := strings.TrimSpace(im.CutText(strings.TrimSpace(subject), im.MaxGroupName)); name != "" {
		return name
	}
	return "Support"
}

// attempt is a request and what it takes to go on with it. Whoever saves it has
// it in hand for a while.
type attempt struct {
	*Tickets
	request
	key  string
	cond kv.Cond
}

func (t *Tickets) load(ctx context.Context, key string) (a *attempt, err error) {
	a = &attempt{Tickets: t, key: key}
	a.cond, err = t.read(ctx, requestPartition(key), requestItem, &a.request)
	return a, err
}

// fresh reports whether the request was never written down.
func (a *attempt) fresh() bool { return a.cond.WantsAbsent() }

// held reports whether somebody works on it.
func (a *attempt) held() bool { return a.Until.After(a.now()) }

// save writes the request down, and takes it in hand for another while unless it
// is over.
func (a *attempt) save(ctx context.Context) error {
	most := longest
	if deadline, has := ctx.Deadline(); has {
		most = min(most, time.Until(deadline))
	}
	a.Until = a.now().Add(most + leaseSlack)
	if a.over() {
		a.Until = time.Time{}
	}
	return a.put(ctx)
}

func (a *attempt) put(ctx context.Context) error {
	value, err := json.Marshal(a.request)
	if err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	put := kv.Put{Key: requestItem, Value: value, If: a.cond}
	if a.over() {
		put.Expires = a.now().Add(kept)
	}
	op := kv.NewOp("desk")
	if err := a.store.Commit(ctx, requestPartition(a.key), op, put); err != nil {
		return err
	}
	a.cond = kv.Rev(op)
	return nil
}

// run does what is left to do. After an error the request is free for others.
func (a *attempt) run(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	stored := a.Done >= answered
	for a.Done < answered && a.Refused == "" {
		s := steps[a.Done]
		if err := s.do(a, bounded); err != nil {
			a.release(ctx)
			return fmt.Errorf("desk: %s: %w", s.name, err)
		}
		if a.Refused == "" {
			a.Done++
		}
	}
	if a.Refused != "" {
		if err := a.save(bounded); err != nil {
			return err
		}
		a.process.Done(ctx, a.key)
		return fault.New(fault.Invalid, "%s", a.Refused)
	}
	if err := a.follow(bounded, stored); err != nil {
		a.release(ctx)
		return fmt.Errorf("desk: %w", err)
	}
	// All is done. Of these two, the second only spares the clock a look.
	a.Done = finished
	var wg sync.WaitGroup
	wg.Go(func() { a.process.Done(ctx, a.key) })
	err := a.save(bounded) // after a conflict another has it, else nobody knows, and the lease ends
	wg.Wait()
	return err
}

// follow does what follows from an answer, side by side with writing it down for
// whoever asks meanwhile. Each may be done again.
func (a *attempt) follow(ctx context.Context, stored bool) error {
	var wg sync.WaitGroup
	var saved, greeted, indexed error
	if !stored {
		answer := *a
		wg.Go(func() { saved = answer.save(ctx) })
		defer func() { a.cond, a.Until = answer.cond, answer.Until }()
	}
	wg.Go(func() {
		if indexed = a.index(ctx, a.UserID, a.GroupID, a.TicketID, a.Since); indexed != nil {
			indexed = fmt.Errorf("entering it among the requester's: %w", indexed)
		}
	})
	wg.Go(func() {
		// In this order: what the requester is told next builds on the greeting.
		if greeted = a.greet(ctx); greeted != nil {
			greeted = fmt.Errorf("greeting: %w", greeted)
		} else if greeted = a.open(ctx); greeted != nil {
			greeted = fmt.Errorf("letting agents in: %w", greeted)
		}
	})
	unlinked, told := a.tellTicket(ctx)
	if told != nil {
		told = fmt.Errorf("telling the ticket its group: %w", told)
	}
	wg.Wait()
	if err := errors.Join(saved, greeted, indexed, told); err != nil || !unlinked {
		return err
	}
	if err := a.tellTicketAgain(ctx); err != nil {
		return fmt.Errorf("telling the ticket its group again: %w", err)
	}
	return nil
}

// release gives the request back. If that fails, the lease ends.
func (a *attempt) release(ctx context.Context) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	a.Until = time.Time{}
	if err := a.put(ctx); err != nil {
		slog.WarnContext(ctx, "lease on a request not released; it expires", "error", err.Error())
	}
}

func (a *attempt) importRequester(ctx context.Context) error {
	// Without the name, which would take the place of the user's own.
	err := a.conf.IM.ImportAccount(ctx, im.Account{UserID: a.UserID})
	if im.Lasting(err) {
		slog.WarnContext(ctx, "a requester is refused by IM", "error", err.Error())
		a.Refused = "IM does not take this userId"
		return nil
	}
	return err
}

func (a *attempt) makeTicket(ctx context.Context) (err error) {
	id := ""
	if a.now().Sub(a.Since) >= forgotten {
		if id, err = a.conf.Desk.Find(ctx, a.key); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if id == "" {
		id, err = a.conf.Desk.Create(ctx, *a.Ticket)
	}
	if e, is := errors.AsType[*Error](err); is && e.Kind == ErrRefused {
		slog.WarnContext(ctx, "a ticket is refused by the desk", "error", err.Error())
		a.Refused = "the desk does not take this: " + e.Detail
		return nil
	}
	if err != nil {
		return err
	}
	a.TicketID, a.Ticket = id, nil
	return nil
}

// makeGroup makes the group of the ticket's id. Anybody with a client can make
// one of that id first, and would own it then; ours gets another id in that case.
func (a *attempt) makeGroup(ctx context.Context) error {
	a.GroupID = a.conf.GroupPrefix + a.TicketID
	err := a.createGroup(ctx, a.GroupID, a.UserID, a.Name)
	if errors.Is(err, im.CodeGroupIDTaken) {
		a.GroupID += groupIDSeparator + digest(a.key)[:8]
		err = a.createGroup(ctx, a.GroupID, a.UserID, a.Name)
	}
	return err
}

// groupIDSeparator ends the ticket's id in the id of a group.
const groupIDSeparator = "-"

// tellTicket tells the ticket its group. unlinked: the desk does not take it, which
// an operator can mend.
func (a *attempt) tellTicket(ctx context.Context) (unlinked bool, err error) {
	err = a.conf.Desk.Link(ctx, a.TicketID, a.GroupID)
	switch {
	case errors.Is(err, ErrNotFound):
		slog.WarnContext(ctx, "ticket was deleted before it was told its group", "error", err.Error())
		return false, nil
	case errors.Is(err, ErrRefused), errors.Is(err, ErrAccess):
		// Its field is not there, is not ours to write, or a rule of the desk
		// objects. The conversation does not wait for that.
		return true, nil
	}
	return false, err
}

// tellTicketAgain keeps the request open until the ticket knows its group: its
// job is retried and at last kept for an operator, who sees the desk's error. A ticket
// that was closed meanwhile need not know it.
func (a *attempt) tellTicketAgain(ctx context.Context) error {
	err := a.conf.Desk.Link(ctx, a.TicketID, a.GroupID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case errors.Is(err, ErrRefused):
		var tk ticket
		if _, readErr := a.read(ctx, ticketBox(a.TicketID), ticketItem, &tk); readErr == nil && tk.Closed.On {
			return nil
		}
	}
	return err
}

// open has the group follow its ticket: agents may have been assigned already.
func (a *attempt) open(ctx context.Context) error {
	return a.enqueue(ctx, entry{Opened: &opened{TicketID: a.TicketID, UserID: a.UserID, GroupID: a.GroupID, Name: a.Name, Since: a.Since, Zone: a.Zone, Indexed: true}})
}

func (a *attempt) greet(ctx context.Context) error {
	if a.conf.Greeting == "" {
		return nil
	}
	_, err := a.conf.Sends.Group(ctx, "desk/"+a.key+"/greeting", im.GroupMsg{
		GroupID: a.GroupID, From: a.conf.Greeter, Body: im.Text(a.conf.Greeting), CloudCustomData: ofUs("greeting", "{}"),
	})
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) || errors.Is(err, once.ErrInvalid) {
		// Its group is gone with the ticket, or the text is not taken. The
		// conversation does not depend on it.
		slog.ErrorContext(ctx, "requester not greeted", "error", err.Error())
		return nil
	}
	return err
}

// resume is the job that goes on with a request.
func (t *Tickets) resume(ctx context.Context, key string) error {
	a, err := t.load(ctx, key)
	switch {
	case err != nil:
		return err
	case a.fresh(), a.over() && a.Ticket == nil:
		return nil // never begun, or done
	case a.held():
		return queue.Later{After: a.Until.Sub(t.now())}
	}
	// A refused request keeps what the user wrote. Nobody waits for its answer
	// any more, so the job is retried and at last kept for an operator, who can
	// redrive it once the desk takes such tickets.
	a.Refused = ""
	switch err := a.save(ctx); {
	case errors.Is(err, kv.ErrConflict):
		return queue.Later{After: leaseSlack} // somebody was faster
	case err != nil:
		return err
	}
	err = a.run(ctx)
	if err == nil || a.Refused != "" {
		return err
	}
	return fmt.Errorf("%w: %w", err, queue.Later{After: a.pause(err)})
}

// pause is how long the clock's job waits after a failure: half as long as the
// request has waited so far, or as the desk asks. So the job outlasts a day's
// trouble before it is dead.
func (a *attempt) pause(err error) time.Duration {
	d := min(max(a.now().Sub(a.Since)/2, shortestPause), longestPause)
	if e, is := errors.AsType[*Error](err); is {
		d = max(d, e.RetryAfter)
	}
	return d
}
