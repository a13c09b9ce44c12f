package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/metric"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Bounds of a job's attempts. Our decision.
const (
	MaxAttempts = 8                // the last one is about two hours after the first
	MaxLater    = 100              // times a handler may say Later
	lease       = 15 * time.Minute // of a worker without a deadline: longer than any function may run
	leaseSlack  = 5 * time.Second  // how much longer than its deadline a worker has a job
	shortWait   = 3 * time.Second  // how long a worker waits for a job's time, where the engine cannot
	kept        = 24 * time.Hour   // a done job is known for so long
	overdue     = 2 * time.Minute  // a job that has not come by then is pushed again
	shards      = 16
	firstPause  = 2 * time.Second
	longestWait = time.Hour
)

// State is the state of a job.
type State string

// The states of a job.
const (
	Waiting State = "waiting" // not yet done; a worker may have it
	Done    State = "done"
	Dead    State = "dead" // its last attempt failed; kept for an operator
)

// Record is the ledger's record of a job.
type Record struct {
	Job      Job       `json:"job"`
	State    State     `json:"state"`
	Attempts int       `json:"attempts"`
	Laters   int       `json:"laters,omitempty"`
	Due      time.Time `json:"due"`             // when the job is due next
	Pushed   time.Time `json:"pushed,omitzero"` // when the engine got it; zero if Due is too far ahead for it
	Leased   time.Time `json:"leased,omitzero"` // a worker has it until then
	Error    string    `json:"error,omitempty"` // of the last attempt

	// Look is when a sweep reads the job, unless the job is done by then; the index is
	// ordered by Look. Zero in records of a release that had no index.
	Look time.Time `json:"look,omitzero"`
	// Listed is the op that wrote the job's item in the index.
	Listed string `json:"listed,omitempty"`
}

// Handler carries out jobs of one kind. It must be safe to repeat. The error's
// text is kept for people to read, so it holds no message texts or secrets.
type Handler func(ctx context.Context, j Job) error

// Ledger enqueues jobs and carries them out, and keeps a record of each job in the
// store.
//
// A record and the job's item in an index change in one Commit, so the index is exact
// however often a job is delivered. The index holds the waiting jobs in the order in
// which a sweep reads them, and separately the dead jobs; a done job is in neither, so
// that done jobs cost a sweep nothing.
//
// The record is written before the engine gets the job: a job that the engine never
// got, or lost, becomes overdue and is pushed again by [Ledger.Sweep]. Only while the
// store is unavailable does the engine get a job without a record; the worker writes
// that record.
type Ledger struct {
	store    kv.Store
	queue    Queue
	handlers map[string]Handler
	renewing map[string]time.Duration // leases of kinds that have short ones
	now      func() time.Time
}

// NewLedger returns a ledger over a store and an engine. now may be nil for
// the wall clock. Register handlers before the first job comes.
func NewLedger(store kv.Store, q Queue, now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	return &Ledger{store: store, queue: q, handlers: make(map[string]Handler), renewing: make(map[string]time.Duration), now: now}
}

// Handle registers the handler of a kind.
func (l *Ledger) Handle(kind string, h Handler) { l.handlers[kind] = h }

// Renew sets the lease of a kind's jobs, and has the lease renewed while the handler
// runs: another worker may take a job of minutes one lease after its worker died. A
// renewal is one commit each third of the lease; a handler whose worker lost the lease
// is cancelled.
func (l *Ledger) Renew(kind string, lease time.Duration) { l.renewing[kind] = lease }

// Elsewhere says that another program carries out the jobs of a kind, so that this
// program may enqueue them. Elsewhere is a no-op where the kind has a handler in this
// program.
func (l *Ledger) Elsewhere(kind string) {
	if l.handlers[kind] == nil {
		l.handlers[kind] = func(context.Context, Job) error {
			return fmt.Errorf("jobs of kind %q are carried out by another program", kind)
		}
	}
}

func partitionOf(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return partition(int(h.Sum32() % shards))
}

func partition(shard int) string { return fmt.Sprintf("jobs/%02d", shard) }

const recordPrefix = "j/"

func (l *Ledger) put(r Record, cond kv.Cond) (kv.Put, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return kv.Put{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p := kv.Put{Key: recordPrefix + r.Job.ID, Value: b, If: cond}
	if r.State == Done {
		p.Expires = l.now().Add(kept)
	}
	return p, nil
}

func (l *Ledger) commit(ctx context.Context, id, op string, writes ...kv.Write) error {
	err := l.store.Commit(ctx, partitionOf(id), op, writes...)
	if errors.Is(err, kv.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func (l *Ledger) get(ctx context.Context, id string) (Record, kv.Cond, error) {
	item, err := l.store.Get(ctx, partitionOf(id), recordPrefix+id)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return Record{}, kv.Cond{}, ErrNotFound
	case errors.Is(err, kv.ErrUnavailable):
		return Record{}, kv.Cond{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return Record{}, kv.Cond{}, err
	}
	var r Record
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return Record{}, kv.Cond{}, fmt.Errorf("queue: the record of a job does not decode: %w", err)
	}
	return r, kv.Rev(item.Rev), nil
}

// Put accepts a job. nil means that it will be carried out, now or because an
// earlier Put with the same id was accepted. If the engine cannot be reached,
// the job waits for the next Sweep; if the store cannot, half of the context's
// time is left for the engine to take it. After ErrUnavailable neither could.
func (l *Ledger) Put(ctx context.Context, j Job) error {
	if _, err := Encode(j); err != nil {
		return err
	}
	if l.handlers[j.Kind] == nil {
		return fmt.Errorf("%w: no handler for kind %q", ErrInvalid, j.Kind)
	}
	recording, cancel := halfOf(ctx)
	r, err := l.record(recording, j)
	cancel()
	switch {
	case err == nil:
		l.push(ctx, r)
		return nil
	case errors.Is(err, kv.ErrConflict):
		return nil // accepted before
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		j.Unrecorded = true
		return l.queue.Enqueue(ctx, j)
	}
	return err
}

// halfOf is a context with half of the time that ctx has left.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, has := ctx.Deadline(); has {
		return context.WithTimeout(ctx, time.Until(deadline)/2)
	}
	return context.WithCancel(ctx)
}

// record writes a new job's record. kv.ErrConflict means that there is one.
func (l *Ledger) record(ctx context.Context, j Job) (Record, error) {
	j.Unrecorded = false
	r := Record{Job: j, State: Waiting}
	l.schedule(&r, retry.Latest(l.now(), j.NotBefore))
	op := kv.NewOp("put")
	listed := l.list(&r, op)
	record, err := l.put(r, kv.Absent())
	if err != nil {
		return r, err
	}
	return r, l.commit(ctx, j.ID, op, record, listed)
}

// schedule sets when a job is due, and whether the engine gets it now: one that
// is too far ahead for the engine waits for a Sweep.
func (l *Ledger) schedule(r *Record, due time.Time) {
	now := l.now()
	r.Due, r.Pushed = due, time.Time{}
	if due.Sub(now) <= l.queue.MaxDelay() {
		r.Pushed = now
	}
}

// push gives the engine a job that is scheduled so. A failure costs time only:
// the job is overdue then, and a Sweep pushes it again.
func (l *Ledger) push(ctx context.Context, r Record) {
	if r.Pushed.IsZero() {
		return
	}
	j := r.Job
	j.NotBefore = retry.Latest(r.Due, r.Leased)
	if err := l.queue.Enqueue(ctx, j); err != nil {
		slog.WarnContext(ctx, "job not pushed to the queue; the clock pushes it", "kind", j.Kind, "error", err.Error())
	}
}

// Perform carries out a job as an engine delivered it. nil means that the engine may
// forget this delivery; an error asks for another. After [ErrInvalid] the message
// holds no job: an engine with a dead-letter queue moves the message there after its
// attempts, an engine without one discards the message.
func (l *Ledger) Perform(ctx context.Context, encoded []byte) error {
	j, err := Decode(encoded)
	if err != nil {
		slog.ErrorContext(ctx, "malformed job: it goes to the dead-letter queue", "error", err.Error())
		return err
	}
	r, cond, err := l.get(ctx, j.ID)
	if errors.Is(err, ErrNotFound) && j.Unrecorded {
		if _, err := l.record(ctx, j); err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
		r, cond, err = l.get(ctx, j.ID)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // done long ago, or dropped
	case err != nil:
		return err
	case r.State != Waiting:
		return nil
	}
	now := l.now()
	if r.Leased.After(now) {
		return nil // in other hands; if those are dead, it is overdue when the lease ends
	}
	if wait := r.Due.Sub(now); wait > 0 && wait <= shortWait && l.queue.MaxDelay() <= shortWait {
		if err := retry.Sleep(ctx, wait); err != nil {
			return err
		}
		now = l.now()
	}
	if r.Due.After(now) {
		// It came before its time: the engine's clock is ahead, or it is a
		// repetition of an earlier delivery. One that is too far ahead for the
		// engine is a sweep's.
		if r.Due.Sub(now) > l.queue.MaxDelay() {
			return nil
		}
		return l.queue.Enqueue(ctx, withNotBefore(r.Job, r.Due))
	}
	if r.Attempts >= MaxAttempts {
		return l.settle(ctx, r, cond, errors.New("the worker died of the last attempt"))
	}
	// The attempt counts before it begins, so that a job which kills its
	// worker is dead too.
	r.Attempts++
	r.Leased = now.Add(l.leaseOf(ctx, j.Kind))
	record, err := l.put(r, cond)
	if err != nil {
		return err
	}
	op := kv.NewOp("take")
	switch err := l.commit(ctx, j.ID, op, record); {
	case errors.Is(err, kv.ErrConflict):
		return nil // another delivery was faster
	case err != nil:
		return err
	}
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := l.renew(working, cancel, r, op)
	result := l.carryOut(working, r.Job)
	metric.Jobs.Add(1, r.Job.Kind, resultOf(result))
	metric.JobTime.Add(float64(l.now().Sub(now))/float64(time.Millisecond), r.Job.Kind)
	return l.settle(ctx, r, kv.Rev(stop()), result)
}

// renew prolongs a worker's lease, where its kind has a short one, until the
// function that it returns is called. That returns the record's revision.
func (l *Ledger) renew(ctx context.Context, cancel context.CancelFunc, r Record, rev string) (stop func() string) {
	lease := l.renewing[r.Job.Kind]
	if lease == 0 {
		return func() string { return rev }
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			r.Leased = l.now().Add(l.leaseOf(ctx, r.Job.Kind))
			op := kv.NewOp("renew")
			record, err := l.put(r, kv.Rev(rev))
			if err == nil {
				err = l.commit(context.WithoutCancel(ctx), r.Job.ID, op, record)
			}
			switch {
			case err == nil:
				rev = op
			case errors.Is(err, kv.ErrConflict):
				cancel() // another worker has the job
				return
			}
		}
	}()
	return func() string {
		close(ended)
		<-done
		return rev
	}
}

// resultOf is an attempt's result in a word, for metrics.
func resultOf(err error) string {
	if _, later := errors.AsType[Later](err); later {
		return "later"
	}
	if err != nil {
		return "failed"
	}
	return "done"
}

func withNotBefore(j Job, t time.Time) Job {
	j.NotBefore = t
	return j
}

// leaseOf is how long a worker with this context keeps a job to itself. If it
// dies, the job is free again then.
func (l *Ledger) leaseOf(ctx context.Context, kind string) time.Duration {
	d := lease
	if deadline, has := ctx.Deadline(); has {
		d = max(time.Until(deadline), 0) + leaseSlack
	}
	if short := l.renewing[kind]; short > 0 {
		return min(d, short)
	}
	return d
}

// carryOut calls the handler and makes an error of a panic.
func (l *Ledger) carryOut(ctx context.Context, j Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "job panicked", "kind", j.Kind, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("the handler panicked")
		}
	}()
	h := l.handlers[j.Kind]
	if h == nil {
		return fmt.Errorf("no handler for kind %q in this program", j.Kind)
	}
	return h(ctx, j)
}

// settle writes down how an attempt ended.
func (l *Ledger) settle(ctx context.Context, r Record, cond kv.Cond, result error) error {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	now := l.now()
	r.Leased = time.Time{}
	op := kv.NewOp("settle")
	writes := make([]kv.Write, 1, 3)
	var wait Later
	switch {
	case result == nil:
		r.State, r.Error = Done, ""
		r.Job.Body = nil // nobody needs it any more
		writes = append(writes, unlist(&r)...)
	case errors.As(result, &wait) && r.Laters < MaxLater:
		r.Laters++
		r.Attempts--
		l.schedule(&r, now.Add(wait.After))
	default:
		r.Error = result.Error()
		if r.Attempts >= MaxAttempts {
			writes = append(writes, unlist(&r)...)
			r.State = Dead
			writes = append(writes, l.list(&r, op))
			metric.DeadJobs.Add(1)
			slog.ErrorContext(ctx, "job is dead", "kind", r.Job.Kind, "attempts", r.Attempts, "error", r.Error)
			break
		}
		l.schedule(&r, now.Add(pause(r.Attempts)))
		slog.WarnContext(ctx, "job failed", "kind", r.Job.Kind, "attempt", r.Attempts, "error", r.Error)
	}
	record, err := l.put(r, cond)
	if err != nil {
		return err
	}
	writes[0] = record
	switch err := l.commit(ctx, r.Job.ID, op, writes...); {
	case errors.Is(err, kv.ErrConflict):
		// The lease ended before the handler did and somebody else has it.
		return nil
	case err != nil:
		return err // the lease ends, and the job is carried out again
	}
	if r.State == Waiting {
		l.push(ctx, r)
	}
	return nil
}

// pause is how long to wait after a failed attempt: twice as long each time, a
// part of it by chance.
func pause(attempts int) time.Duration {
	d := min(firstPause<<(2*min(attempts-1, 8)), longestWait)
	return d/2 + mathrand.N(d/2)
}
