// Package bundle puts everything behind one URL: what the function of that name
// deploys, and what scripts/dev serves.
package bundle

import (
	"context"
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/jobdesk"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/credentials"
	"github.com/backchannel-im/backchannel/shared/wiring/desks"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
	"github.com/backchannel-im/backchannel/shared/wiring/rules"
	"github.com/backchannel-im/backchannel/shared/wiring/secrets"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
	"github.com/backchannel-im/backchannel/shared/wiring/timetable"
)

// Options are what the program decides and no setting does.
type Options struct {
	States  []kv.Engine             // where state may be kept
	Queues  []queue.Engine          // where work for later may be put
	Observe func(callback.Exchange) // sees every callback; nil for nobody
}

// Bundle is everything, opened. Its fields mean what they mean in an App of
// package faas.
type Bundle struct {
	HTTP  http.Handler
	Job   func(ctx context.Context, body []byte) error // nil without QUEUE_URL
	Tick  func(ctx context.Context) error
	Run   func(ctx context.Context) error // nil unless jobs are carried out in this process
	Close func() error
}

// Open reads all settings and opens what they name.
func Open(ctx context.Context, set *config.Reader, o Options) (*Bundle, error) {
	if err := secrets.Load(ctx, set); err != nil {
		return nil, err
	}
	entrance := door.Read(set)
	gate := access.Gate(set)
	newIssuer := access.Issuer(set)
	jwts := credentials.OptionalIssuer(set, gate)
	support := desks.Optional(set)
	all := rules.Read(set)
	open := jobs.Read(set, state.Read(set, o.States...), o.Queues...)
	if err := set.Err(); err != nil {
		return nil, err
	}

	work, err := open(ctx)
	if err != nil {
		return nil, err
	}
	heard, err := all.Open(ctx, work)
	if err != nil {
		return nil, errors.Join(err, work.Close())
	}
	routes := http.NewServeMux()
	heard.Routes(routes, gate)
	issuer, err := newIssuer(work.Store)
	if err != nil {
		return nil, errors.Join(err, work.Close())
	}
	issuer.Routes(routes)
	if jwts != nil {
		jwts.Routes(routes)
	}
	tickets, err := support.Open(work)
	if err != nil {
		return nil, errors.Join(err, work.Close())
	}
	if tickets != nil {
		tickets.Routes(routes, support.Doors(gate))
	}
	entrance.Observe, entrance.Jobs = o.Observe, work.Ledger
	if err := entrance.Mount(routes, heard.Parts()...); err != nil {
		return nil, errors.Join(err, work.Close())
	}
	table := timetable.New(timetable.Rules{Stats: heard.Stats, Ledger: work.Ledger, Tickets: tickets, Teams: heard.Teams.Teams, Moderation: heard.Words.Sweep})
	b := &Bundle{HTTP: api.Routes(routes), Tick: table.Tick, Close: work.Close}
	if work.Ledger != nil {
		jobdesk.Routes(routes, gate, work.Ledger)
		b.Job = work.Ledger.Perform
	}
	if work.Local() {
		b.Run = work.Run
	}
	return b, nil
}
