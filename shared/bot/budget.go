package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/metric"
)

// account is one of the budgets that a message is paid from: a counter item of a
// partition.
type account struct {
	partition, key string
	limit          Limit
	kept           time.Duration
}

const (
	sumKey = "sum"
	// The counters of an account.
	answers      = "answers"
	promptTokens = "prompt"
	answerTokens = "tokens"
	heldAnswers  = "held"
	heldTokens   = "heldTokens"
	// dayKept is longer than a day of UTC and all repeats of its last message.
	dayKept = 9 * 24 * time.Hour
	// usageKept is how long the days of a robot are reported.
	usageKept = 400 * 24 * time.Hour
)

func usagePartition(robot string) string { return "bot/usage/" + named(robot) }

// accounts returns those with a limit, and the robot's, which is reported.
func (b *Bots) accounts(m message, day string) []account {
	all := []account{
		{usagePartition(m.Robot), "day/" + day, b.c.Budget.Robot, usageKept},
		{userPartition(m.From), "day/" + day, b.c.Budget.User, dayKept},
		{"bot/day/" + named(day, "all"), sumKey, b.c.Budget.All, dayKept},
	}
	if m.GroupID != "" {
		all = append(all, account{"bot/day/" + named(day, "group", m.GroupID), sumKey, b.c.Budget.Group, dayKept})
	}
	kept := all[:1]
	for _, a := range all[1:] {
		if a.limit != (Limit{}) {
			kept = append(kept, a)
		}
	}
	return kept
}

// full reports whether an account is used up, with what answers that are being written
// hold of it.
func (a account) full(c map[string]int64) bool {
	return a.limit.Answers > 0 && c[answers]+c[heldAnswers] >= int64(a.limit.Answers) ||
		a.limit.Tokens > 0 && c[promptTokens]+c[answerTokens]+c[heldTokens] >= int64(a.limit.Tokens)
}

// hold is what an answer holds of an account until it is paid: the value of the item
// paidKey, which is empty from then on.
type hold struct {
	Key    string `json:"key"`    // of the account's counters
	Tokens int64  `json:"tokens"` // as estimated
}

func paidKey(m message) string { return "paid/" + m.id() }

// reserve holds an answer and its tokens, as estimated, of each limited budget of the
// day, so that answers that are written at once exceed no budget by more than one of
// them. It reports false, and holds nothing, where a budget is used up. An answer that a
// process left unfinished has its reservation until it is finished or the day's account
// expires.
func (b *Bots) reserve(ctx context.Context, m message, day string, tokens int) (bool, error) {
	all := b.accounts(m, day)
	for i, a := range all {
		if a.limit == (Limit{}) {
			continue
		}
		ok, err := b.hold(ctx, a, m, int64(tokens))
		if err != nil {
			return false, err
		}
		if ok {
			continue
		}
		for _, a := range all[:i] {
			if _, err := b.settle(ctx, a, m, nil); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	return true, nil
}

// holdTries is how often a reservation is tried among others at the same account.
const holdTries = 50

// hold reserves at one account, by compare-and-set of its counters.
func (b *Bots) hold(ctx context.Context, a account, m message, tokens int64) (bool, error) {
	value, err := json.Marshal(hold{a.key, tokens})
	if err != nil {
		return false, err
	}
	for range holdTries {
		if _, err := b.c.Store.Get(ctx, a.partition, paidKey(m)); err == nil {
			return true, nil // by an earlier attempt
		} else if !errors.Is(err, kv.ErrNotFound) {
			return false, err
		}
		is := kv.Absent()
		item, err := b.c.Store.Get(ctx, a.partition, a.key)
		if err == nil {
			is = kv.Rev(item.Rev)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return false, err
		}
		if a.full(item.Counters) {
			return false, nil
		}
		err = b.c.Store.Commit(ctx, a.partition, kv.NewOp("hold"),
			kv.Put{Key: paidKey(m), Value: value, If: kv.Absent(), Expires: b.c.Now().Add(dayKept)},
			kv.Add{Key: a.key, Deltas: []kv.Delta{{Counter: heldAnswers, By: 1}, {Counter: heldTokens, By: tokens}}, Expires: b.c.Now().Add(a.kept), If: is})
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(rand.N(10 * time.Millisecond)):
		}
	}
	return false, kv.ErrConflict
}

// settle counts what an answer cost at an account, once, and releases what it held
// there; where nothing is to be counted it only releases. It reports whether it counted.
func (b *Bots) settle(ctx context.Context, a account, m message, counted []kv.Delta) (bool, error) {
	paid, err := b.c.Store.Get(ctx, a.partition, paidKey(m))
	is := kv.Absent()
	var release []kv.Write
	switch {
	case errors.Is(err, kv.ErrNotFound):
		if counted == nil {
			return false, nil
		}
	case err != nil:
		return false, err
	case len(paid.Value) == 0:
		return false, nil
	default:
		var h hold
		if err := json.Unmarshal(paid.Value, &h); err != nil {
			return false, fmt.Errorf("bot: a reservation does not decode: %w", err)
		}
		is = kv.Rev(paid.Rev)
		held := []kv.Delta{{Counter: heldAnswers, By: -1}, {Counter: heldTokens, By: -h.Tokens}}
		if counted != nil && h.Key == a.key {
			counted = append(slices.Clone(counted), held...)
		} else {
			release = append(release, kv.Add{Key: h.Key, Deltas: held})
		}
	}
	op, writes := "spend/"+m.id(), release
	if counted == nil {
		op, writes = kv.NewOp("release"), append(writes, kv.Delete{Key: paidKey(m), If: is})
	} else {
		writes = append(writes,
			kv.Put{Key: paidKey(m), If: is, Expires: b.c.Now().Add(dayKept)},
			kv.Add{Key: a.key, Deltas: counted, Expires: b.c.Now().Add(a.kept)})
	}
	err = b.c.Store.Commit(ctx, a.partition, op, writes...)
	if errors.Is(err, kv.ErrConflict) {
		return false, nil // another worker settles it
	}
	return err == nil && counted != nil, err
}

// spend counts what an answer cost, once: also one that came to nothing.
func (d *draft) spend(ctx context.Context) error {
	if d.Day == "" {
		return nil // no model was asked
	}
	var counted []kv.Delta
	if d.Said || d.Usage != (Usage{}) {
		counted = []kv.Delta{{Counter: promptTokens, By: int64(d.Usage.Prompt)}, {Counter: answerTokens, By: int64(d.Usage.Answer)}}
	}
	if d.Said {
		counted = append(counted, kv.Delta{Counter: answers, By: 1})
	}
	fresh := false
	for _, a := range d.accounts(d.m, d.Day) {
		did, err := d.settle(ctx, a, d.m, counted)
		if err != nil {
			return err
		}
		fresh = fresh || did
	}
	if fresh {
		metric.Tokens.Add(float64(d.Usage.Prompt), "prompt")
		metric.Tokens.Add(float64(d.Usage.Answer), "answer")
		if d.Said {
			metric.Answers.Add(1)
		}
	}
	return nil
}
