package kv

import (
	"context"
	"errors"

	"github.com/backchannel-im/backchannel/shared/metric"
)

// Metered counts the outcomes of events and commits; see package metric.
func Metered(s Store) Store { return metered{s} }

type metered struct{ Store }

func (m metered) Tally(ctx context.Context, partition, segment string, e Event, deltas ...Delta) (Outcome, error) {
	outcome, err := m.Store.Tally(ctx, partition, segment, e, deltas...)
	if err == nil {
		metric.Tallied.Add(1, outcome.String())
	}
	return outcome, err
}

func (m metered) Commit(ctx context.Context, partition, op string, writes ...Write) error {
	err := m.Store.Commit(ctx, partition, op, writes...)
	if errors.Is(err, ErrConflict) {
		metric.Conflicts.Add(1)
	}
	return err
}

// MayLose implements [Lossy] for the store below.
func (m metered) MayLose() bool { return MayLose(m.Store) }
