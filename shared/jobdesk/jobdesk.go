// Package jobdesk has the HTTP routes by which an operator looks after jobs: how many
// wait, which are dead, and redriving or dropping a dead job. imctl calls these
// routes, whichever engine carries the jobs.
//
// A job's body is not shown, since it may hold message texts.
package jobdesk

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// MaxListed is how many dead jobs one answer lists.
const MaxListed = 100

// Job is a job as the routes answer it.
type Job struct {
	ID       string      `json:"id"`
	Kind     string      `json:"kind"`
	Lane     queue.Lane  `json:"lane"`
	State    queue.State `json:"state"`
	Attempts int         `json:"attempts"`
	Due      time.Time   `json:"due"`                  // when the job is due next, or was due last
	Leased   time.Time   `json:"leasedUntil,omitzero"` // a worker has it until then
	Error    string      `json:"error,omitempty"`      // of the last attempt
	Bytes    int         `json:"bytes"`                // of its body
}

// Overview is what GET /jobs answers.
type Overview struct {
	Waiting int64 `json:"waiting"`
	Dead    int64 `json:"dead"`
	Jobs    []Job `json:"deadJobs"` // at most MaxListed
}

func view(r queue.Record) Job {
	return Job{
		ID: r.Job.ID, Kind: r.Job.Kind, Lane: r.Job.Lane, State: r.State, Attempts: r.Attempts,
		Due: r.Due, Leased: r.Leased, Error: r.Error, Bytes: len(r.Job.Body),
	}
}

// Routes adds GET /jobs, GET and DELETE /jobs/{id} and POST /jobs/{id}/redrive,
// for servers alone. Redriving and dropping may be repeated.
func Routes(mux *http.ServeMux, gate *api.Gate, ledger *queue.Ledger) {
	mux.Handle("GET /jobs", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		count, err := ledger.Overview(r.Context())
		if err != nil {
			return missing(err)
		}
		dead, err := ledger.DeadJobs(r.Context(), MaxListed)
		if err != nil {
			return missing(err)
		}
		o := Overview{Waiting: count.Waiting, Dead: count.Dead, Jobs: []Job{}}
		for _, d := range dead {
			o.Jobs = append(o.Jobs, view(d))
		}
		api.Reply(w, http.StatusOK, o)
		return nil
	}))
	mux.Handle("GET /jobs/{id}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		return show(w, r, ledger)
	}))
	mux.Handle("POST /jobs/{id}/redrive", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		if err := ledger.Redrive(r.Context(), r.PathValue("id")); err != nil {
			return missing(err)
		}
		return show(w, r, ledger)
	}))
	mux.Handle("DELETE /jobs/{id}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		record, err := ledger.Show(r.Context(), r.PathValue("id"))
		if err == nil && record.State != queue.Dead {
			return fault.New(fault.Conflict, "only a dead job can be dropped; this one is %s", record.State)
		}
		if err == nil {
			err = ledger.Drop(r.Context(), r.PathValue("id"))
		}
		if err != nil {
			return missing(err)
		}
		api.Reply(w, http.StatusOK, view(record))
		return nil
	}))
}

func show(w http.ResponseWriter, r *http.Request, ledger *queue.Ledger) error {
	record, err := ledger.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		return missing(err)
	}
	api.Reply(w, http.StatusOK, view(record))
	return nil
}

// missing turns the error of an id that no job can have into that of an id that
// no job has.
func missing(err error) error {
	if errors.Is(err, kv.ErrInvalid) {
		return fmt.Errorf("%w: %w", queue.ErrNotFound, err)
	}
	return err
}
