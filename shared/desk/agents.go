package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// entry is what goes into a ticket's mailbox: one of these.
type entry struct {
	Change   Change    `json:"change,omitzero"`
	Opened   *opened   `json:"opened,omitempty"`
	Said     *said     `json:"said,omitempty"`
	Rated    *rated    `json:"rated,omitempty"`
	Recorded *recorded `json:"recorded,omitempty"`
	Lingered *lingered `json:"lingered,omitempty"`
}

// opened tells a ticket of its group.
type opened struct {
	TicketID string    `json:"ticketId"`
	UserID   string    `json:"userId"` // the requester
	GroupID  string    `json:"groupId"`
	Name     string    `json:"name"` // of the group
	Since    time.Time `json:"since,omitzero"`
	Zone     string    `json:"zone,omitempty"`
	Indexed  bool      `json:"indexed,omitempty"` // the request sees to that
}

// said tells of a message of the requester in the group of a ticket that was over
// when it came.
type said struct {
	TicketID string    `json:"ticketId"`
	ID       string    `json:"id"` // tells messages apart
	At       time.Time `json:"at"` // in whole seconds, as IM has it
	Rating   int       `json:"rating,omitempty"`
	Text     string    `json:"text,omitempty"` // for a follow-up
}

// rated is the requester's answer to the survey.
type rated struct {
	TicketID string `json:"ticketId"`
	Rating
}

// recorded tells that a round's transcript is with the desk, or never will be.
type recorded struct {
	TicketID string    `json:"ticketId"`
	Round    int       `json:"round"`
	Refused  bool      `json:"refused,omitempty"`
	Into     string    `json:"into,omitempty"` // the ticket that got it, after a merge
	At       time.Time `json:"at"`
}

// lingered tells that a round's group has waited long enough.
type lingered struct {
	TicketID string    `json:"ticketId"`
	At       time.Time `json:"at"`
}

func (e entry) ticketID() string {
	switch {
	case e.Opened != nil:
		return e.Opened.TicketID
	case e.Said != nil:
		return e.Said.TicketID
	case e.Rated != nil:
		return e.Rated.TicketID
	case e.Recorded != nil:
		return e.Recorded.TicketID
	case e.Lingered != nil:
		return e.Lingered.TicketID
	}
	return e.Change.TicketID
}

func (e entry) id() string {
	switch {
	case e.Opened != nil:
		return "opened"
	case e.Said != nil:
		return "said/" + e.Said.ID
	case e.Rated != nil:
		return fmt.Sprintf("rated/%d", e.Rated.Round)
	case e.Recorded != nil:
		if e.Recorded.Into != "" {
			return fmt.Sprintf("recorded/%d/merged", e.Recorded.Round)
		}
		return fmt.Sprintf("recorded/%d", e.Recorded.Round)
	case e.Lingered != nil:
		return fmt.Sprintf("lingered/%d", e.Lingered.At.UnixMilli())
	}
	return string(e.Change.What) + "/" + e.Change.ID
}

// order is the time of what happened, and before all others for the opening.
func (e entry) order() int64 {
	at := e.Change.At
	switch {
	case e.Opened != nil:
		return 0
	case e.Said != nil:
		at = e.Said.At
	case e.Rated != nil:
		at = e.Rated.At
	case e.Recorded != nil:
		at = e.Recorded.At
	case e.Lingered != nil:
		at = e.Lingered.At
	}
	return max(at.UnixMilli(), 0)
}

// box is the partition of a ticket, and so the name of its mailbox.
func (e entry) box() string { return ticketBox(e.ticketID()) }

func ticketBox(id string) string { return "desk/ticket/" + id }

// atOnce is how many changes of one request are put into the queue side by side.
const atOnce = 16

// Changed accepts changes that a desk reports: a job carries out each of them. A time
// of the future counts as now. Errors are of the code Invalid, where no change was
// accepted, and Unavailable, where some may have been; a retry may send all of them
// again.
func (t *Tickets) Changed(ctx context.Context, changes ...Change) error {
	now := t.now()
	for i := range changes {
		if err := changes[i].check(); err != nil {
			return err
		}
		if changes[i].At.After(now) {
			changes[i].At = now
		}
	}
	errs := make([]error, len(changes))
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, c := range changes {
		places <- struct{}{}
		wg.Go(func() {
			errs[i] = t.enqueue(ctx, entry{Change: c})
			<-places
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// enqueue makes a job of an entry.
func (t *Tickets) enqueue(ctx context.Context, e entry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	return t.conf.Jobs.Put(ctx, queue.Job{ID: "ticket/" + e.ticketID() + "/" + e.id(), Kind: changeKind, Lane: queue.Fast, Body: body})
}

// change is the job that carries out a change: those of a ticket one at a time,
// in the order of their times.
func (t *Tickets) change(ctx context.Context, j queue.Job) error {
	var e entry
	if err := json.Unmarshal(j.Body, &e); err != nil {
		return errors.New("desk: the job holds no change")
	}
	if err := t.boxes.Append(ctx, e.box(), e.id(), e.order(), j.Body); err != nil {
		return err
	}
	return t.boxes.Drain(ctx, e.box(), func(ctx context.Context, m mailbox.Entry) ([]kv.Write, error) {
		return t.follow(ctx, m)
	})
}

const ticketItem = "ticket"

// follow takes in one entry and brings the group to where the ticket is. What it
// does in IM, a repeat does again.
func (t *Tickets) follow(ctx context.Context, m mailbox.Entry) ([]kv.Write, error) {
	var e entry
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return nil, fmt.Errorf("desk: an entry does not decode: %w", err)
	}
	var tk ticket
	cond, err := t.read(ctx, e.box(), ticketItem, &tk)
	if err != nil {
		return nil, err
	}
	if err := t.take(ctx, &tk, e); err != nil {
		return nil, err
	}
	if tk.GroupID != "" {
		if err := t.settle(ctx, &tk, e.ticketID()); err != nil {
			return nil, err
		}
	}
	value, err := json.Marshal(tk)
	if err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	put := kv.Put{Key: ticketItem, Value: value, If: cond}
	switch {
	case tk.GroupID == "":
		put.Expires = t.now().Add(unknownKept)
	case tk.over() || tk.Deleted.On:
		put.Expires = t.now().Add(kept)
	}
	return []kv.Write{put}, nil
}

// take notes what an entry says.
func (t *Tickets) take(ctx context.Context, tk *ticket, e entry) error {
	switch {
	case e.Opened != nil:
		if tk.GroupID == "" {
			o := e.Opened
			tk.UserID, tk.GroupID, tk.Name, tk.Since, tk.Zone, tk.Up, tk.Indexed = o.UserID, o.GroupID, o.Name, o.Since, o.Zone, true, o.Indexed
		}
	case e.Said != nil:
		return t.hear(ctx, tk, *e.Said)
	case e.Rated != nil:
		return t.rate(ctx, tk, *e.Rated)
	case e.Recorded != nil:
		switch r := e.Recorded; {
		case r.Refused && r.Into == "" && tk.MergedInto != "": // the other ticket gets it
		case r.Round >= tk.Recorded: // with all that was refused before
			tk.Recorded, tk.Unrecorded = r.Round, r.Refused
		}
	case e.Lingered != nil: // what follows from it is a matter of time
	default:
		tk.apply(e.Change)
	}
	return nil
}

// unknownKept is how long changes of a ticket are remembered that has no group
// yet. Mostly it is somebody else's and never gets one.
const unknownKept = 24 * time.Hour

// settle makes group, members and whatever else follows what the ticket wants.
func (t *Tickets) settle(ctx context.Context, tk *ticket, id string) error {
	tk.turn()
	if err := t.settleGroup(ctx, tk); err != nil {
		return err
	}
	if err := t.settleRound(ctx, tk, id); err != nil {
		return err
	}
	return t.settleQueue(ctx, tk, id)
}

// settleGroup makes group and members what the ticket wants.
func (t *Tickets) settleGroup(ctx context.Context, tk *ticket) error {
	up, in := tk.wanted(t.policy())
	if !up {
		if tk.Up {
			if err := t.conf.IM.DestroyGroup(ctx, tk.GroupID); err != nil && !im.Lasting(err) {
				return err
			}
		}
		tk.Up, tk.In = false, nil
		return nil
	}
	err := t.letIn(ctx, tk, in)
	if errors.Is(err, im.CodeGroupGone) {
		tk.Up, tk.In = false, nil // its owner dissolved it
		err = t.letIn(ctx, tk, in)
	}
	if err != nil {
		return err
	}
	return t.letOut(ctx, tk, in)
}

// letIn makes the group, if it is not there, and lets agents in who are not.
func (t *Tickets) letIn(ctx context.Context, tk *ticket, in map[string]bool) error {
	if !tk.Up {
		if err := t.createGroup(ctx, tk.GroupID, tk.UserID, tk.Name); err != nil {
			return err
		}
		tk.Up, tk.Shown = true, false
		tk.Made++ // its messages are numbered anew
	}
	var missing []string
	for _, id := range slices.Sorted(maps.Keys(in)) {
		if tk.In[id] {
			continue
		}
		switch err := t.conf.IM.ImportAccount(ctx, im.Account{UserID: id}); {
		case im.Lasting(err):
			slog.ErrorContext(ctx, "an agent is refused by IM", "error", err.Error())
			continue
		case err != nil:
			return err
		}
		missing = append(missing, id)
	}
	if len(missing) == 0 {
		return nil
	}
	if !tk.Shown { // no group is made so, and nobody needs it before
		on := true
		err := t.conf.IM.ModifyGroup(ctx, tk.GroupID, im.GroupChange{HistoryBeforeJoin: &on})
		if err != nil && (!im.Lasting(err) || errors.Is(err, im.CodeGroupGone)) {
			return err
		}
		if err != nil {
			slog.WarnContext(ctx, "agents do not see what was said before they came", "error", err.Error())
		}
		tk.Shown = true
	}
	results, err := t.conf.IM.AddGroupMembers(ctx, tk.GroupID, missing, false)
	if im.Lasting(err) && !errors.Is(err, im.CodeGroupGone) {
		slog.ErrorContext(ctx, "agents not added to a ticket's group", "error", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Result == im.NotAdded {
			slog.ErrorContext(ctx, "agent not added to a ticket's group", "userId", r.UserID)
			continue
		}
		if tk.In == nil {
			tk.In = make(map[string]bool)
		}
		tk.In[r.UserID] = true
	}
	return nil
}

// letOut takes out whom the ticket does not want any more, and whoever else was
// an agent of it lately: an earlier attempt may have let him in and died.
func (t *Tickets) letOut(ctx context.Context, tk *ticket, in map[string]bool) error {
	out := make(map[string]bool)
	for _, ids := range []map[string]bool{tk.In, tk.known()} {
		for id := range ids {
			out[id] = !in[id] && id != tk.UserID
		}
	}
	maps.DeleteFunc(out, func(_ string, is bool) bool { return !is })
	if len(out) == 0 {
		return nil
	}
	_, err := t.conf.IM.DeleteGroupMembers(ctx, tk.GroupID, slices.Sorted(maps.Keys(out)), "", false)
	if err != nil && !im.Lasting(err) {
		return err
	}
	for id := range out {
		delete(tk.In, id)
	}
	return nil
}

// known are the agents whom the ticket remembers.
func (t *ticket) known() map[string]bool {
	ids := make(map[string]bool)
	for id := range t.Agents {
		ids[id] = true
	}
	return ids
}
