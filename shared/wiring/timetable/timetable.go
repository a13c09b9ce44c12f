// Package timetable is what the clock does each minute.
package timetable

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/schedule"
)

// Rules are those with something to do on a schedule. What is nil has nothing.
type Rules struct {
	Stats   *roomstats.Stats
	Ledger  *queue.Ledger
	Tickets *desk.Tickets
	Teams   *match.Teams
	// Moderation goes on with what moderators decided, and with what nobody did.
	Moderation func(ctx context.Context) error
}

// New returns the table.
func New(r Rules) schedule.Table {
	table := schedule.Table{
		{Name: "fold the counts of rooms", Do: r.Stats.FoldActive},
	}
	if r.Tickets != nil {
		table = append(table, schedule.Task{Name: "go on with tickets left half done", Do: r.Tickets.Sweep})
	}
	if r.Teams != nil {
		table = append(table, schedule.Task{Name: "look at teams", Do: r.Teams.Sweep})
	}
	if r.Moderation != nil {
		table = append(table, schedule.Task{Name: "go on with reviews and strikes", Do: r.Moderation})
	}
	if r.Ledger != nil {
		table = append(table, schedule.Task{Name: "push overdue jobs", Do: func(ctx context.Context) error {
			_, err := r.Ledger.Sweep(ctx)
			return err
		}})
	}
	return table
}
