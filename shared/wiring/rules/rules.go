// Package rules opens the rules that hear callbacks, for the programs that have
// several of them: the bundle, the callback-router and the job-worker.
package rules

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/bots"
	"github.com/backchannel-im/backchannel/shared/wiring/door"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
	"github.com/backchannel-im/backchannel/shared/wiring/teams"
	"github.com/backchannel-im/backchannel/shared/wiring/words"
)

// Functions are those whose callbacks may go to a deployment of their own.
var Functions = []string{"before-send-filter", "after-send-counter", teams.Function, bots.Function}

// Settings is what the settings say of the rules.
type Settings struct {
	words *words.Words
	teams *teams.Teams
	bots  *bots.Bots
}

// Read reads the settings of all rules.
func Read(set *config.Reader) *Settings {
	return &Settings{words: words.Read(set), teams: teams.Optional(set), bots: bots.Optional(set)}
}

// Rules are the rules, opened.
type Rules struct {
	Words *words.Rules
	Stats *roomstats.Stats
	Teams *teams.Rules
	Bots  *bots.Rules
}

// Open makes the rules, and registers the handlers of their jobs.
func (s *Settings) Open(ctx context.Context, work *jobs.Jobs) (*Rules, error) {
	filter, err := s.words.Open(ctx, work)
	if err != nil {
		return nil, err
	}
	players, err := s.teams.Open(work)
	if err != nil {
		return nil, err
	}
	robots, err := s.bots.Open(work)
	if err != nil {
		return nil, err
	}
	return &Rules{Words: filter, Stats: roomstats.New(work.Store), Teams: players, Bots: robots}, nil
}

// Parts are the callbacks of each function, in the order in which they are asked.
func (r *Rules) Parts() []door.Part {
	return []door.Part{
		{Function: "before-send-filter", Register: r.Words.Register},
		{Function: "after-send-counter", Register: r.Stats.Register},
		{Function: teams.Function, Register: r.Teams.Register},
		{Function: bots.Function, Register: r.Bots.Register},
	}
}

// Redo makes the rules for a program that serves no callbacks itself, and has
// those done again that one of them failed on.
func (s *Settings) Redo(ctx context.Context, work *jobs.Jobs, d *door.Door) error {
	r, err := s.Open(ctx, work)
	if err != nil {
		return err
	}
	d.Jobs = work.Ledger
	return d.Redo(r.Parts()...)
}

// Routes adds the rules' own routes.
func (r *Rules) Routes(mux *http.ServeMux, gate *api.Gate) {
	r.Words.Routes(mux, gate)
	r.Stats.Routes(mux, gate)
	r.Teams.Routes(mux, gate)
}
