// Package timetable is what the clock does each minute.
package timetable

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/schedule"
)

// New returns the table. Without a ledger nothing waits for a sweep.
func New(stats *roomstats.Stats, ledger *queue.Ledger) schedule.Table {
	table := schedule.Table{
		{Name: "fold the counts of rooms", Do: stats.FoldActive},
	}
	if ledger != nil {
		table = append(table, schedule.Task{Name: "push overdue jobs", Do: func(ctx context.Context) error {
			_, err := ledger.Sweep(ctx)
			return err
		}})
	}
	return table
}
