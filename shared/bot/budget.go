package bot

import (
	"context"
	"errors"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// account is one of the budgets that a message is paid from.
type account struct {
	partition string
	limit     int
}

// accounts returns those with a limit.
func (b *Bots) accounts(m message, day string) []account {
	all := []account{{"bot/day/" + named(day, "user", m.From), b.c.Budget.User}, {"bot/day/" + named(day, "all"), b.c.Budget.All}}
	if m.GroupID != "" {
		all = append(all, account{"bot/day/" + named(day, "group", m.GroupID), b.c.Budget.Group})
	}
	limited := all[:0]
	for _, a := range all {
		if a.limit > 0 {
			limited = append(limited, a)
		}
	}
	return limited
}

const (
	sumKey  = "sum"
	answers = "answers"
	// dayKept is longer than a day of UTC and all repeats of its last message.
	dayKept = 9 * 24 * time.Hour
)

// spent reports whether a budget of the day is used up.
func (b *Bots) spent(ctx context.Context, m message, day string) (bool, error) {
	for _, a := range b.accounts(m, day) {
		item, err := b.c.Store.Get(ctx, a.partition, sumKey)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return false, err
		}
		if item.Counters[answers] >= int64(a.limit) {
			return true, nil
		}
	}
	return false, nil
}

// spend counts an answer of the model, once.
func (b *Bots) spend(ctx context.Context, m message, a answer) error {
	if !a.Said {
		return nil
	}
	expires := b.c.Now().Add(dayKept)
	for _, account := range b.accounts(m, a.Day) {
		key := "paid/" + m.id()
		_, err := b.c.Store.Get(ctx, account.partition, key)
		if err == nil {
			continue
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		err = b.c.Store.Commit(ctx, account.partition, "spend/"+m.id(),
			kv.Put{Key: key, If: kv.Absent(), Expires: expires},
			kv.Add{Key: sumKey, Deltas: []kv.Delta{{Counter: answers, By: 1}}, Expires: expires})
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}
