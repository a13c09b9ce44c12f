// Command clock does what happens on a schedule.
package main

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/moderators"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/timetable"
)

func main() { faas.Main("clock", build) }

func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	open := cloud.Require(set)
	if err := set.Err(); err != nil {
		return nil, err
	}
	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	table := timetable.New(timetable.Rules{
		Stats: roomstats.New(work.Store), Ledger: work.Ledger, Tickets: desk.New(desk.Config{Store: work.Store, Jobs: work.Ledger}),
		Teams: match.New(match.Config{Store: work.Store, Jobs: work.Ledger}), Moderation: moderators.ForClock(work.Store, work.Ledger).Sweep,
	})
	return &faas.App{HTTP: http.NotFoundHandler(), Tick: table.Tick, Close: work.Close}, nil
}
