// Package queue is the job port: work after the reply becomes a [Job], and an engine
// behind [Queue] (boltqueue, sqsqueue, scfqueue) delivers the job to a worker.
//
// # What engines promise
//
// Little, so that all three engines can keep the promise: a job whose Enqueue returned
// nil is delivered at least once, not before its time, in any order, perhaps twice at
// once. A handler therefore carries out an idempotent command, with the commit's own
// op or event id as its identity.
//
// # What the ledger adds
//
// Programs do not put jobs into an engine themselves but into a [Ledger], which keeps
// a record of each in the state store: a job with a known id is deduplicated, a job
// that the engine lost is pushed again by [Ledger.Sweep], a job is carried out by one
// worker at a time, retried with backoff, and after the last attempt kept as dead, for
// an operator. So the same commands show and redrive jobs on every engine. While the
// store is away the engine alone keeps new jobs, and while the engine is away the
// store does: a job is lost to the caller only if both are.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Lane separates jobs that take long from jobs that must not wait.
type Lane string

// The lanes.
const (
	Fast Lane = "fast" // milliseconds: notices, gift messages, deferred callbacks
	Slow Lane = "slow" // seconds: models, fan-outs
)

// Job is one piece of work.
type Job struct {
	// ID is the job's identity: putting the same id again is the same job.
	// Derive it from the event or request that the work belongs to.
	ID   string `json:"id"`
	Kind string `json:"kind"` // which handler
	Lane Lane   `json:"lane"`
	// NotBefore is the earliest time; zero is now.
	NotBefore time.Time       `json:"notBefore,omitzero"`
	Body      json.RawMessage `json:"body,omitempty"`
	// Unrecorded is set by the ledger alone: the worker writes the record first.
	Unrecorded bool `json:"unrecorded,omitempty"`
}

// Limits, the same on all engines; the narrowest is an asynchronous invocation
// on Tencent, of 128 KB.
const (
	MaxID   = 200       // bytes of a job's id
	MaxKind = 64        // bytes of a kind
	MaxJob  = 100 << 10 // bytes of an encoded job
)

// The errors of a Queue and a Ledger. Test with errors.Is.
var (
	// ErrInvalid: the job breaks a limit of this package, or its kind is unknown. The
	// call changed nothing.
	ErrInvalid = errors.New("queue: invalid job")
	// ErrUnavailable: the engine or the store could not be reached. The job may be
	// delivered all the same.
	ErrUnavailable = fault.Sentinel("queue: unavailable", fault.Unavailable, 5*time.Second, "this cannot be done at the moment; send the same request again")
	// ErrNotFound: there is no job with this id, or no longer.
	ErrNotFound = fault.Sentinel("queue: no such job", fault.NotFound, 0, "there is no job with this id, or no longer")
)

// Queue is an engine. It is safe for concurrent use.
type Queue interface {
	// Enqueue hands jobs to the engine. nil means that each job will be delivered;
	// after an error some may be. Its errors are ErrInvalid, ErrUnavailable and the
	// context's own.
	Enqueue(ctx context.Context, jobs ...Job) error
	// MaxDelay is how far ahead NotBefore may be; the ledger keeps a later job back
	// until then.
	MaxDelay() time.Duration
	// Close releases the engine. Calls after it fail with ErrUnavailable.
	Close() error
}

// Engine opens queues whose URL it recognises.
type Engine struct {
	// Name says in an error which URLs the engine takes.
	Name string
	// Takes reports whether a URL is the engine's.
	Takes func(url string) bool
	Open  func(ctx context.Context, url string) (Queue, error)
}

// Encode checks a job and returns the form in which engines carry it.
func Encode(j Job) ([]byte, error) {
	switch {
	case j.ID == "" || len(j.ID) > MaxID || !utf8.ValidString(j.ID) || strings.ContainsRune(j.ID, 0):
		return nil, fmt.Errorf("%w: an id is 1 to %d bytes of text", ErrInvalid, MaxID)
	case j.Kind == "" || len(j.Kind) > MaxKind:
		return nil, fmt.Errorf("%w: a kind has 1 to %d bytes", ErrInvalid, MaxKind)
	case j.Lane != Fast && j.Lane != Slow:
		return nil, fmt.Errorf("%w: the lane must be fast or slow", ErrInvalid)
	case !j.NotBefore.IsZero() && (j.NotBefore.Year() < 2000 || j.NotBefore.Year() > 2999):
		// Seconds taken for milliseconds, or the other way round.
		return nil, fmt.Errorf("%w: its time is in the year %d", ErrInvalid, j.NotBefore.Year())
	}
	b, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("%w: the body is not JSON", ErrInvalid)
	}
	if len(b) > MaxJob {
		return nil, fmt.Errorf("%w: %d bytes, %d allowed", ErrInvalid, len(b), MaxJob)
	}
	return b, nil
}

// Decode reads a job as an engine delivered it.
func Decode(b []byte) (Job, error) {
	var j Job
	if len(b) > MaxJob {
		return j, fmt.Errorf("%w: %d bytes, %d allowed", ErrInvalid, len(b), MaxJob)
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return j, fmt.Errorf("%w: it does not decode", ErrInvalid)
	}
	_, err := Encode(j)
	return j, err
}

// Later is the error of a handler that found nothing to do yet, or another worker at
// the same work: the job is retried after the pause, and the attempt does not count,
// up to [MaxLater] times.
type Later struct{ After time.Duration }

func (l Later) Error() string { return fmt.Sprintf("queue: again in %v", l.After) }
