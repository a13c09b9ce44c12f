// Package minute lists what happens every minute. All of it needs the store and
// the queue alone, so that the clock deploys without the settings of features.
package minute

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/schedule"
)

// Table returns what happens every minute. Without a queue, jobs is nil and what
// needs it is left out.
func Table(store kv.Store, jobs *queue.Ledger) schedule.Table {
	table := schedule.Table{
		{Name: "fold the counts of rooms", Do: func(ctx context.Context) error { return roomstats.Schedule(ctx, store, jobs) }},
	}
	if jobs == nil {
		return table
	}
	tickets := desk.New(desk.Config{Store: store, Jobs: jobs})
	teams := match.New(match.Config{Store: store, Jobs: jobs})
	reviews := review.New(review.Config{Store: store, Jobs: jobs})
	given := strikes.New(strikes.Config{Store: store, Jobs: jobs})
	return append(
		table,
		schedule.Task{Name: "go on with tickets left half done", Do: tickets.Sweep},
		schedule.Task{Name: "look at teams", Do: teams.Sweep},
		schedule.Task{Name: "go on with reviews", Do: reviews.Sweep},
		schedule.Task{Name: "go on with strikes", Do: given.Sweep},
		schedule.Task{Name: "push overdue jobs", Do: func(ctx context.Context) error {
			_, err := jobs.Sweep(ctx)
			return err
		}},
	)
}
