package kv

import (
	"context"
	"errors"
	"fmt"
)

// MaxRow bounds the segments of a row.
const MaxRow = 32

// TallyRow is [Store.Tally] for an unknown number of events: it counts e in the first
// segment of a row (name, name~1, name~2, ...) that holds fewer than e.Limit events. A
// full segment remains full as long as it remembers its events, so a retry finds the
// segment that counted the event. A row that is full is ErrFull. Each full segment on
// the way costs as much as a Tally: name rows by time and a hash so that most need one
// segment.
func TallyRow(ctx context.Context, s Store, partition, name string, e Event, deltas ...Delta) (Outcome, error) {
	segment := name
	for n := 1; ; n++ {
		outcome, err := s.Tally(ctx, partition, segment, e, deltas...)
		if !errors.Is(err, ErrFull) || n == MaxRow {
			return outcome, err
		}
		segment = fmt.Sprintf("%s~%d", name, n)
	}
}
