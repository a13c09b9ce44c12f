package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/backchannel-im/backchannel/shared/retry"
)

// How many segments Move works on at a time.
const (
	moveWindow = 512 // read before any of them is moved
	moveBatch  = 45  // in one Commit at most; the rest is for what keep writes
)

// Move is [Fold] for totals that are more than one counter an item, such as
// many users in one value, or a list of the best. keep gets closed segments
// and returns the writes, at most MaxWrites/2, that add their counts to the
// totals. Each item that it read to compute them it must write at the revision
// it read. The same Commit settles the segments, so that each count moves once.
//
// keep is called again, after a pause, when another process changed an item that it
// read, and with fewer segments when its writes and theirs do not fit into one Commit.
// Move ends with the first error of keep and returns it. Otherwise Move ends and fails
// as Fold does.
func Move(ctx context.Context, s Store, partition string, closed func(Segment) bool, keep func(ctx context.Context, segments []Segment) ([]Write, error)) (moved int, err error) {
	m := mover{store: s, partition: partition, keep: keep, batch: moveBatch}
	after := "" // all segments up to here have been moved, or are not closed
	for tries := 0; ; {
		if m.marker, err = markerRev(ctx, s, partition); err != nil {
			return moved, err
		}
		segments, last, err := closedAfter(ctx, s, partition, after, closed)
		if err != nil {
			return moved, err
		}
		n, err := m.move(ctx, segments)
		moved += n
		switch {
		case err == nil && last == "":
			return moved, nil
		case err == nil:
			after, tries = last, 0
			continue
		case !errors.Is(err, ErrConflict):
			return moved, err
		}
		if n > 0 {
			tries = 0
		}
		if tries++; tries == foldTries {
			return moved, fmt.Errorf("moving counts: others kept changing them: %w", err)
		}
		if err := retry.Sleep(ctx, pause(tries)); err != nil {
			return moved, err
		}
	}
}

// closedAfter returns closed segments behind a name, and the last name that it
// looked at; "" when there are no more.
func closedAfter(ctx context.Context, s Store, partition, after string, closed func(Segment) bool) (list []Segment, last string, err error) {
	for {
		page, err := s.Open(ctx, partition, after, MaxWrites)
		if err != nil {
			return nil, "", err
		}
		for _, g := range page {
			if closed(g) {
				list = append(list, g)
			}
			after = g.Name
		}
		switch {
		case len(page) < MaxWrites:
			return list, "", nil
		case len(list) >= moveWindow:
			return list, after, nil
		}
	}
}

// mover is one run of Move.
type mover struct {
	store     Store
	partition string
	keep      func(ctx context.Context, segments []Segment) ([]Write, error)
	batch     int    // segments in the next Commit
	marker    string // revision of the marker
}

// move moves segments, batch by batch, and returns how many it moved.
func (m *mover) move(ctx context.Context, segments []Segment) (moved int, err error) {
	for moved < len(segments) {
		batch := segments[moved:min(moved+m.batch, len(segments))]
		writes, err := m.keep(ctx, batch)
		if err != nil {
			return moved, err
		}
		if 1+len(writes)+len(batch) > MaxWrites {
			if len(batch) == 1 {
				return moved, invalid("the counts of one segment need %d writes (at most %d)", len(writes), MaxWrites-2)
			}
			m.batch = len(batch) / 2
			continue
		}
		marker := Put{Key: FoldMarker, If: Absent()}
		if m.marker != "" {
			marker.If = Rev(m.marker)
		}
		writes = append(writes, marker)
		for _, g := range batch {
			writes = append(writes, Settle{Segment: g.Name, Rev: g.Rev})
		}
		op := NewOp("move")
		if err := commit(ctx, m.store, m.partition, op, writes); err != nil {
			return moved, err
		}
		m.marker = op
		moved += len(batch)
		if 2*len(writes) < MaxWrites {
			m.batch = min(2*m.batch, moveBatch)
		}
	}
	return moved, nil
}
