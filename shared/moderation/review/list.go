package review

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

// View is the moderators' view of a held message.
type View struct {
	ID    string    `json:"id"`
	State State     `json:"state"`
	At    time.Time `json:"heldAt"`

	From            string              `json:"from"`
	To              string              `json:"to,omitempty"` // one-to-one
	GroupID         string              `json:"groupId,omitempty"`
	GroupType       im.GroupType        `json:"groupType,omitempty"`
	TopicID         string              `json:"topicId,omitempty"`
	Text            string              `json:"text"` // of its text elements
	MsgBody         im.MsgBody          `json:"msgBody"`
	CloudCustomData string              `json:"cloudCustomData,omitempty"`
	Reasons         []moderation.Reason `json:"reasons"`

	By        string    `json:"by,omitempty"` // who decided
	DecidedAt time.Time `json:"decidedAt,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	Outcome   Outcome   `json:"outcome,omitempty"`
	Failure   string    `json:"failure,omitempty"`
}

func (r record) view(id string) View {
	v := View{
		ID: id, State: r.State, At: r.Held.At, From: r.Held.From, To: r.Held.To, GroupID: r.Held.GroupID, GroupType: r.Held.GroupType,
		TopicID: r.Held.TopicID, Text: r.Held.MsgBody.PlainText(), MsgBody: r.Held.MsgBody, CloudCustomData: r.Held.CloudCustomData,
		Reasons: r.Held.Reasons, By: r.By, DecidedAt: r.At, Reason: r.Reason, Outcome: r.Outcome, Failure: r.Failure,
	}
	if v.Reasons == nil {
		v.Reasons = []moderation.Reason{}
	}
	return v
}

// Show returns a held message, before or after the decision. Errors are a fault of
// code NotFound and the store's.
func (q *Queue) Show(ctx context.Context, id string) (View, error) {
	r, _, err := q.load(ctx, id)
	return r.view(id), err
}

// Approve has a message sent. Approving it again is a no-op. The message of a sender
// who was banned since then is sent only with evenIfBanned; otherwise the error is a
// Conflict. Errors are faults of the codes NotFound and Conflict, and the store's.
func (q *Queue) Approve(ctx context.Context, id, by, reason string, evenIfBanned bool) (View, error) {
	if q.conf.Banned != nil && !evenIfBanned {
		r, _, err := q.load(ctx, id)
		if err != nil {
			return View{}, err
		}
		until, err := q.conf.Banned(ctx, r.Held.From)
		if err != nil {
			return View{}, err
		}
		if r.State == Waiting && !until.IsZero() {
			return View{}, fault.New(fault.Conflict, `the sender of this message is banned; to send the message all the same, approve with "evenIfBanned":true`)
		}
	}
	r, err := q.decide(ctx, id, decision{state: Approved, by: by, reason: reason})
	return r.view(id), err
}

// Reject rejects a message and gives its sender a strike of weight points, 0 for none.
// Rejecting it again is a no-op. Errors are those of Approve.
func (q *Queue) Reject(ctx context.Context, id, by, reason string, weight int) (View, error) {
	r, err := q.decide(ctx, id, decision{state: Rejected, by: by, reason: reason, weight: weight})
	return r.view(id), err
}

// List returns the messages that wait for a decision, the oldest or the newest first.
// next is the After of the next page, "" at the end.
func (q *Queue) List(ctx context.Context, newest bool, p api.Page) (views []View, next string, err error) {
	items, err := q.places(ctx, newest, p)
	if err != nil {
		return nil, "", err
	}
	if len(items) > p.Limit {
		items = items[:p.Limit]
		next = strings.TrimPrefix(items[len(items)-1].Key, waitingPrefix)
	}
	found, errs := make([]*View, len(items)), make([]error, len(items))
	side := make(chan struct{}, loads)
	var all sync.WaitGroup
	for i, item := range items {
		side <- struct{}{}
		all.Go(func() {
			defer func() { <-side }()
			id := string(item.Value)
			r, _, err := q.load(ctx, id)
			if err == nil && r.State == Waiting { // or somebody has just decided
				v := r.view(id)
				found[i] = &v
			}
			if !errors.Is(err, errNotFound) {
				errs[i] = err
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, "", err
	}
	views = []View{}
	for _, v := range found {
		if v != nil {
			views = append(views, *v)
		}
	}
	return views, next, nil
}

// loads is how many messages of a list are read side by side.
const loads = 8

// places returns the next places of the queue, of all shards in their order: at
// least one more than a page has, if there are so many.
func (q *Queue) places(ctx context.Context, newest bool, p api.Page) ([]kv.Item, error) {
	lists, errs := make([][]kv.Item, shards), make([]error, shards)
	var all sync.WaitGroup
	for shard := range shards {
		all.Go(func() { lists[shard], errs[shard] = q.placesOf(ctx, shard, newest, p) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	items := slices.Concat(lists...)
	slices.SortFunc(items, func(a, b kv.Item) int {
		if newest {
			a, b = b, a
		}
		return strings.Compare(a.Key, b.Key)
	})
	return items, nil
}

func (q *Queue) placesOf(ctx context.Context, shard int, newest bool, p api.Page) (items []kv.Item, err error) {
	r := kv.Range{Prefix: waitingPrefix, Reverse: newest, Limit: p.Limit + 1}
	if p.After != "" {
		r.After = waitingPrefix + p.After
	}
	for {
		page, err := q.store.List(ctx, partition(shard), r)
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if len(items) > p.Limit || page.Next == "" {
			return items, nil
		}
		r.After = page.Next
	}
}
