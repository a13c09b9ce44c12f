// Package minute lists the clock's tasks of every minute. The tasks need only the
// store and the queue, so that the clock deploys without the settings of features.
package minute

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/doctor"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/schedule"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Processes are the processes whose operations the clock continues every minute.
var Processes = []process.Name{
	credential.CopyProcess,
	community.Looks,
	community.Members,
	community.Mutes,
	community.Invites,
	community.Reviews,
	mark.Checks,
	thread.Copies,
	thread.Follows,
	desk.Requests,
	desk.Closings,
	liveroom.Looks,
	liveroom.Times,
	liveroom.Broadcasts,
	mail.Campaigns,
	mail.Claims,
	mail.Trades,
	match.Looks,
	review.Decisions,
	strikes.Sanctions,
	userdata.Process,
}

// Table returns the tasks of every minute. Without a queue, jobs is nil and the tasks
// that need a queue are left out.
func Table(store kv.Store, jobs *queue.Ledger) schedule.Table {
	table := schedule.Table{
		{Name: "note that the clock ticks", Do: doctor.Tick(store, nil)},
		{Name: "fold the counts of rooms", Do: roomstats.Schedule(store, jobs)},
	}
	if jobs == nil {
		return table
	}
	for _, name := range Processes {
		table = append(table, schedule.Task{Name: "continue " + name.Agenda, Do: name.Sweep(store, jobs, nil)})
	}
	return append(
		table,
		schedule.Task{Name: "tell places in the queue of tickets", Do: desk.Places(store, jobs, nil)},
		schedule.Task{Name: "expire held messages", Do: review.Expire(store, jobs, nil)},
		schedule.Task{Name: "push overdue jobs", Do: func(ctx context.Context) error {
			_, err := jobs.Sweep(ctx)
			return err
		}},
	)
}
