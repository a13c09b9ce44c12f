package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Who waits for an agent is a list in one partition, in the order of asking. It
// follows the tickets: each writes its own line, before its own commit, and again
// if that fails.
const waitingPartition = "desk/waiting"

// waiter is a line of the list.
type waiter struct {
	TicketID string    `json:"ticketId"`
	Told     int       `json:"told,omitempty"` // the place that was told last
	At       time.Time `json:"at,omitzero"`    // when
}

func waitingKey(since time.Time, ticketID string) string {
	return fmt.Sprintf("%014d/%s", max(since.UnixMilli(), 0), ticketID)
}

// Our decisions.
const (
	// maxPlace is the last place that is counted and told.
	maxPlace = 200
	// placeEvery is how often a requester is told a new place at most.
	placeEvery = time.Minute
)

// settleQueue puts a ticket among those that wait or takes it away, and tells its
// requester once where he is, or that nobody is there. It enters the ticket among
// those of its requester, too.
func (t *Tickets) settleQueue(ctx context.Context, tk *ticket, id string) error {
	if tk.Since.IsZero() {
		return nil // made by a program of before
	}
	if !tk.Indexed {
		if err := t.index(ctx, tk.UserID, tk.GroupID, id, tk.Since); err != nil {
			return err
		}
		tk.Indexed = true
	}
	key := waitingKey(tk.Since, id)
	if waits := tk.unassigned(); waits != tk.Waiting {
		if err := t.setWaiting(ctx, key, id, waits); err != nil {
			return err
		}
		tk.Waiting = waits
	}
	if !tk.Waiting || tk.Noticed {
		return nil
	}
	if err := t.notice(ctx, tk, id); err != nil {
		return err
	}
	tk.Noticed = true
	return nil
}

func (t *Tickets) setWaiting(ctx context.Context, key, id string, waits bool) error {
	if waits {
		value, err := json.Marshal(waiter{TicketID: id})
		if err != nil {
			return fmt.Errorf("desk: %w", err)
		}
		err = t.store.Commit(ctx, waitingPartition, kv.NewOp("desk"), kv.Put{Key: key, Value: value, Expires: t.now().Add(kept), If: kv.Absent()})
		if errors.Is(err, kv.ErrConflict) {
			return nil // it is there
		}
		return err
	}
	for {
		item, err := t.store.Get(ctx, waitingPartition, key)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = t.store.Commit(ctx, waitingPartition, kv.NewOp("desk"), kv.Delete{Key: key, If: kv.Rev(item.Rev)})
		if !errors.Is(err, kv.ErrConflict) { // its place was told meanwhile
			return err
		}
	}
}

// notice tells a requester who waits where he is, or when somebody will be there.
func (t *Tickets) notice(ctx context.Context, tk *ticket, id string) error {
	if now := t.now(); !t.conf.Hours.Open(now) {
		return t.away(ctx, tk, id, now)
	}
	if t.conf.QueueNotice == "" {
		return nil
	}
	place, err := t.place(ctx, tk, id)
	if err != nil || place == 0 {
		return err
	}
	tk.Told = place
	return t.tellPlace(ctx, tk, id, place, "first")
}

// place is where a ticket is among those that wait: 1 is next, 0 that it does not
// wait or is too far behind to say.
func (t *Tickets) place(ctx context.Context, tk *ticket, id string) (int, error) {
	own := waitingKey(tk.Since, id)
	page, err := t.store.List(ctx, waitingPartition, kv.Range{Limit: maxPlace})
	if err != nil {
		return 0, err
	}
	for i, item := range page.Items {
		if item.Key == own {
			return i + 1, nil
		}
	}
	return 0, nil
}

func (t *Tickets) tellPlace(ctx context.Context, tk *ticket, id string, place int, event string) error {
	return t.tell(ctx, "desk/"+id+"/place/"+event, im.GroupMsg{
		GroupID: tk.GroupID, Body: im.Text(strings.ReplaceAll(t.conf.QueueNotice, "{place}", fmt.Sprint(place))),
		CloudCustomData: ofUs("queue", fmt.Sprintf(`{"place":%d}`, place)),
	})
}

// placeKind is the kind of jobs that tell a requester his new place.
const placeKind = "ticket.place"

// placeJob is the body of such a job.
type placeJob struct {
	TicketID string `json:"ticketId"`
	Place    int    `json:"place"`
	First    bool   `json:"first,omitempty"` // the ticket itself may have told it
}

// Places returns a task of the clock, which enqueues a job for each requester whose
// place in the queue has changed, at most one a minute for each. Sweeps may overlap.
func Places(store kv.Store, jobs *queue.Ledger, now func() time.Time) func(ctx context.Context) error {
	if now == nil {
		now = time.Now
	}
	jobs.Elsewhere(placeKind)
	return func(ctx context.Context) error {
		page, err := store.List(ctx, waitingPartition, kv.Range{Limit: maxPlace})
		if err != nil {
			return err
		}
		for i, item := range page.Items {
			var w waiter
			if json.Unmarshal(item.Value, &w) != nil {
				continue
			}
			place, at := i+1, now()
			if w.Told == place || at.Sub(w.At) < placeEvery {
				continue
			}
			body, err := json.Marshal(placeJob{w.TicketID, place, w.Told == 0})
			if err != nil {
				return err
			}
			j := queue.Job{ID: fmt.Sprintf("place/%s/%d/%s", w.TicketID, place, item.Rev), Kind: placeKind, Lane: queue.Fast, Body: body}
			if err := jobs.Put(ctx, j); err != nil {
				return err
			}
			w.Told, w.At = place, at
			value, err := json.Marshal(w)
			if err != nil {
				return err
			}
			err = store.Commit(ctx, waitingPartition, kv.NewOp("desk"), kv.Put{Key: item.Key, Value: value, Expires: at.Add(kept), If: kv.Rev(item.Rev)})
			if err != nil && !errors.Is(err, kv.ErrConflict) { // it has an agent now
				return err
			}
		}
		return nil
	}
}

// placed is the job that tells a new place, unless the ticket waits no more.
func (t *Tickets) placed(ctx context.Context, j queue.Job) error {
	var p placeJob
	if err := json.Unmarshal(j.Body, &p); err != nil {
		return errors.New("desk: the job holds no place")
	}
	var tk ticket
	if _, err := t.read(ctx, ticketBox(p.TicketID), ticketItem, &tk); err != nil {
		return err
	}
	if !tk.Waiting || p.First && p.Place == tk.Told || t.conf.QueueNotice == "" || !t.conf.Hours.Open(t.now()) {
		return nil
	}
	return t.tellPlace(ctx, &tk, p.TicketID, p.Place, digest(j.ID)[:16])
}

// away tells a requester outside business hours when somebody will be there, once
// until then.
func (t *Tickets) away(ctx context.Context, tk *ticket, id string, at time.Time) error {
	if t.conf.Away == "" || t.conf.Hours.Open(at) {
		return nil
	}
	back, known := t.conf.Hours.Next(at)
	if !known {
		return nil
	}
	local := back.In(t.conf.Hours.zoneOr(tk.Zone))
	text := strings.NewReplacer("{back}", saidTime(local, at), "{backDate}", local.Format("2006-01-02 15:04")).Replace(t.conf.Away)
	return t.tell(ctx, fmt.Sprintf("desk/%s/away/%d", id, back.Unix()), im.GroupMsg{
		GroupID: tk.GroupID, Body: im.Text(text), CloudCustomData: ofUs("away", fmt.Sprintf(`{"back":%q}`, back.UTC().Format(time.RFC3339))),
	})
}

// saidTime says a time of the coming days.
func saidTime(local, from time.Time) string {
	if local.Sub(from) < 6*24*time.Hour {
		return local.Format("Monday 15:04")
	}
	return local.Format("Monday 2 January 15:04")
}
