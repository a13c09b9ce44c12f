package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "desk"

// UserData lists the records that the rule keeps of a user. What the desk itself has, tickets with
// their texts and transcripts, is the desk's.
var UserData = userdata.Source{
	Feature: feature,
	Forms: []userdata.Form{
		{
			Types: []string{"desk:request"}, Partition: "desk/request/", Holds: "requests for tickets: subject, words, name, e-mail address", Does: userdata.Erases,
			Why: "one that is under way is waited for, for two days; one that the desk has refused goes at once",
		},
		{
			Types: []string{"desk:ticket"}, Partition: "desk/ticket/", Holds: "tickets: subject, rating, comment", Does: userdata.Erases,
			Why: "an open one is waited for (solve it first), and one whose transcript is not at the desk or whose group still stays (`DESK_LINGER`). One that was open for more than 180 days is not found, and goes 90 days after its end. At the desk, delete the requester there",
		},
		{Partition: "desk/user/", Holds: "the list of a user's tickets", Does: userdata.Erases, Why: "with each ticket"},
		{
			Types: []string{"desk:entry", "desk:recording"}, Partition: "desk/", Key: "mailbox/", Holds: "what a ticket's requester said or rated, until it is handled", Does: userdata.Expires,
			Within: givesUp, Why: "while the desk is away it is retried; then it is a dead job",
		},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{{Partition: userPartition(userID), Read: readTicket, Erase: eraseTicket}}
	},
	Erase: eraseRequest,
}

// note notes that a user is about to have a request.
func (a *attempt) note(ctx context.Context) error {
	return userdata.Note(ctx, a.store, a.UserID, feature, userdata.Noted{Partition: requestPartition(a.key), Key: requestItem})
}

// abandoned is the age of a request from which on nobody goes on with it: its job is
// dead, or was dropped.
const abandoned = 2 * userdata.Settled

// eraseRequest deletes a request that is over or abandoned. Its job finds nothing to do
// then, and the same request again would be another.
func eraseRequest(ctx context.Context, store kv.Store, _ string, n userdata.Noted, now time.Time) (bool, error) {
	item, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var r request
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return false, fmt.Errorf("desk: an item of the store does not decode: %w", err)
	}
	if !r.over() && (now.Sub(r.Since) < abandoned || r.Until.After(now)) {
		return false, userdata.Waits("a request for a ticket is under way")
	}
	return true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), kv.Delete{Key: n.Key, If: kv.Rev(item.Rev)})
}

// listed returns the ticket that an item of a requester's list stands for, and since
// when it does; see waitingKey.
func listed(item kv.Item) (id string, since time.Time) {
	at, id, _ := strings.Cut(item.Key, "/")
	ms, _ := strconv.ParseInt(at, 10, 64)
	return id, time.UnixMilli(ms)
}

func ticketOfItem(ctx context.Context, store kv.Store, item kv.Item) (tk ticket, cond kv.Cond, err error) {
	id, _ := listed(item)
	is, err := store.Get(ctx, ticketBox(id), ticketItem)
	if errors.Is(err, kv.ErrNotFound) {
		return tk, kv.Absent(), nil
	}
	if err != nil {
		return tk, cond, err
	}
	if err := json.Unmarshal(is.Value, &tk); err != nil {
		return tk, cond, fmt.Errorf("desk: an item of the store does not decode: %w", err)
	}
	return tk, kv.Rev(is.Rev), nil
}

func readTicket(ctx context.Context, store kv.Store, _ string, item kv.Item) (any, error) {
	tk, _, err := ticketOfItem(ctx, store, item)
	if err != nil {
		return nil, err
	}
	id, since := listed(item)
	out := map[string]any{"ticketId": id, "groupId": string(item.Value), "createdAt": since.UTC()}
	if tk.GroupID != "" {
		out["subject"], out["status"], out["zone"] = tk.Name, tk.status(), tk.Zone
	}
	if tk.Rating != nil {
		out["rating"] = tk.Rating
	}
	return out, nil
}

// eraseTicket deletes a ticket that is over, with its place in its requester's list.
// What a desk tells of it later finds a ticket without a group.
func eraseTicket(ctx context.Context, store kv.Store, userID string, item kv.Item, now time.Time) (bool, error) {
	tk, cond, err := ticketOfItem(ctx, store, item)
	if err != nil {
		return false, err
	}
	id, since := listed(item)
	if why := tk.keepsOn(now); cond.WantsAbsent() && now.Sub(since) < userdata.Settled {
		return false, userdata.Waits("ticket " + id + " is being opened")
	} else if tk.UserID == userID && why != "" {
		return false, userdata.Waits("ticket " + id + " " + why)
	}
	if tk.UserID == userID {
		if err := store.Commit(ctx, ticketBox(id), kv.NewOp("erase"), kv.Delete{Key: ticketItem, If: cond}); err != nil {
			return false, err
		}
	}
	return true, store.Commit(ctx, userPartition(userID), kv.NewOp("erase"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
}

// keepsOn says what is still to be done in a ticket, "" for nothing.
func (t *ticket) keepsOn(now time.Time) string {
	switch {
	case t.Deleted.On:
		return ""
	case !t.over():
		return "is open"
	case t.Up && t.Recorded < t.Round:
		return "has no transcript yet"
	case t.Up && !t.Closed.On && now.Sub(t.Ended) < MaxLinger:
		return "may be reopened by a last word"
	}
	return ""
}
