// Package process completes operations of several commits after a crash: a saga, whose
// remaining steps a job retries.
//
//	var Refunds = process.Name{Agenda: "refunds", Job: "refund", Lane: queue.Slow}
//
//	p := process.New(Refunds, store, jobs, nil, goOn)
//	err := p.Guard(ctx, id, now.Add(time.Minute)) // before the commit it guards
//	...                                           // the commit, and what follows from it
//	p.Done(ctx, id)                               // nothing is left to do
//
// An operation whose effects do not fit into one commit is guarded first: the
// operation's id is put on an agenda of package due, at a time by which the effects
// are complete unless the program died or failed. [Process.Done] takes the id off. The
// clock enqueues a job for each id that is still on the agenda at its time
// ([Name.Sweep]), and the job's handler continues from the state in the store. The
// clock needs the process's name only, and nothing that the handler needs.
//
// A handler therefore finds an operation that was never committed, one that is
// half done, or one that is done; two may find the same at once. It may return a
// [queue.Later]; any other error is retried as the queue retries jobs.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// MaxID bounds an id, in bytes, so that it fits into the id of a job.
const MaxID = 120

// Name identifies a process in the store and in the queue. A name never changes, since
// entries and jobs outlive a program.
type Name struct {
	Agenda string // of package due
	Job    string // kind of its jobs
	Lane   queue.Lane

	// Earlier decodes the body of a job of this kind that an earlier release enqueued,
	// and reports whether the body has the earlier form. nil: there is no earlier
	// form.
	Earlier func(body []byte) (id string, ok bool)
}

// id returns what a job's body names.
func (n Name) id(body []byte) (string, bool) {
	var id string
	if json.Unmarshal(body, &id) == nil {
		return id, true
	}
	if n.Earlier == nil {
		return "", false
	}
	return n.Earlier(body)
}

// Process guards operations of one name. It is safe for concurrent use, also by
// several programs.
type Process struct {
	name   Name
	agenda *due.Agenda
	jobs   *queue.Ledger
}

// New returns a process and registers goOn, which continues the operation of an id, as
// the handler of the process's jobs. jobs is nil in a program that never guards
// anything; now may be nil for the wall clock.
func New(n Name, store kv.Store, jobs *queue.Ledger, now func() time.Time, goOn func(ctx context.Context, id string) error) *Process {
	if jobs != nil {
		jobs.Handle(n.Job, func(ctx context.Context, j queue.Job) error {
			id, ok := n.id(j.Body)
			if !ok {
				return errors.New("process: discarded malformed job: its body is not an id")
			}
			return goOn(ctx, id)
		})
	}
	return &Process{n, due.New(store, n.Agenda, now), jobs}
}

// Guard has the operation of an id continued at a time, unless [Process.Done] comes
// first. Guarding an id again moves its time. Call Guard before the commit that it
// guards, with a time by which that commit and its effects are complete or never will
// be.
//
// Errors are those of [due.Agenda.Put]. A [kv.ErrConflict] means that several callers
// guarded the id at once; the id is guarded, at the time that one of them gave.
func (p *Process) Guard(ctx context.Context, id string, at time.Time) error {
	if len(id) > MaxID {
		return fmt.Errorf("%w: the id of a process has at most %d bytes", due.ErrInvalid, MaxID)
	}
	return p.agenda.Put(ctx, id, at, nil)
}

// Done takes an operation off the agenda when nothing is left to do. Done returns no
// error: if it fails, the job later finds nothing to do. Do not call it where
// operations share an id: it would take off the guard of another.
func (p *Process) Done(ctx context.Context, id string) {
	if err := p.agenda.Remove(ctx, id); err != nil {
		slog.WarnContext(ctx, "process finished, but still on the agenda; its next job is a no-op",
			"process", p.name.Agenda, "error", err.Error())
	}
}

// Start enqueues the job now instead of at the guard's time. version tells apart jobs
// for the same id: another call with the same version is a no-op. Start goes on for a
// moment when ctx has ended. Errors are those of [queue.Ledger.Put]; the guard stands
// after them.
func (p *Process) Start(ctx context.Context, id, version string) error {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	return p.name.Start(ctx, p.jobs, id, version)
}

// Start is [Process.Start] for a program that has only the process's name; Start ends
// with ctx.
func (n Name) Start(ctx context.Context, jobs *queue.Ledger, id, version string) error {
	body, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return jobs.Put(ctx, queue.Job{ID: n.Job + "/" + id + "/" + version, Kind: n.Job, Lane: n.Lane, Body: body})
}

// Sweep returns a task of the clock, which enqueues jobs for the operations whose time
// has come. Sweeps may overlap. now may be nil for the wall clock.
func (n Name) Sweep(store kv.Store, jobs *queue.Ledger, now func() time.Time) func(ctx context.Context) error {
	agenda := due.New(store, n.Agenda, now)
	jobs.Elsewhere(n.Job)
	return func(ctx context.Context) error {
		_, err := agenda.Sweep(ctx, func(ctx context.Context, e due.Entry) error {
			return n.Start(ctx, jobs, e.ID, fmt.Sprintf("due-%d", e.At.UnixMilli()))
		})
		return err
	}
}
