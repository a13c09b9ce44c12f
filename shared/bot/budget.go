package bot

import (
	"context"
	"errors"
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

// spent reports whether a budget of the day is used up. Nothing is reserved: an
// answer that is never finished leaves nothing behind.
func (b *Bots) spent(ctx context.Context, m message, day string) (bool, error) {
	for _, a := range b.accounts(m, day) {
		if a.limit == (Limit{}) {
			continue
		}
		item, err := b.c.Store.Get(ctx, a.partition, a.key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return false, err
		}
		c := item.Counters
		if a.limit.Answers > 0 && c[answers] >= int64(a.limit.Answers) || a.limit.Tokens > 0 && c[promptTokens]+c[answerTokens] >= int64(a.limit.Tokens) {
			return true, nil
		}
	}
	return false, nil
}

// spend counts what an answer cost, once: also one that came to nothing.
func (d *draft) spend(ctx context.Context) error {
	if !d.Said && d.Usage == (Usage{}) {
		return nil
	}
	counted := []kv.Delta{{Counter: promptTokens, By: int64(d.Usage.Prompt)}, {Counter: answerTokens, By: int64(d.Usage.Answer)}}
	if d.Said {
		counted = append(counted, kv.Delta{Counter: answers, By: 1})
	}
	fresh := false
	for _, a := range d.accounts(d.m, d.Day) {
		key := "paid/" + d.m.id()
		_, err := d.c.Store.Get(ctx, a.partition, key)
		if err == nil {
			continue
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		err = d.c.Store.Commit(ctx, a.partition, "spend/"+d.m.id(),
			kv.Put{Key: key, If: kv.Absent(), Expires: d.c.Now().Add(dayKept)},
			kv.Add{Key: a.key, Deltas: counted, Expires: d.c.Now().Add(a.kept)})
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
		fresh = fresh || err == nil
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
