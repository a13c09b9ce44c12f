package liveroom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Streams reports whether a stream is being pushed; package css implements it.
type Streams interface {
	Active(ctx context.Context, name string) (bool, error)
}

// CSS repeats an event for about twelve minutes, and signs it once: what comes after
// the signature has expired is refused, since anybody could have kept it, and after
// a longer outage nothing comes. Both leave a room live whose show is over. So the
// state of the stream is asked for: after an event that came too late, and every
// watchEvery while a room shows a stream.
const (
	// watchKind is the kind of the jobs that ask. Its body is a doubt.
	watchKind  = "liveroom.stream"
	watchEvery = 10 * time.Minute
	// maxStreamID bounds the name of a stream, in bytes.
	maxStreamID = 256
)

// doubt is what a job asks about: an event that may be true.
type doubt struct {
	StreamID  string `json:"stream"`
	EventType int    `json:"type"`
	EventTime int64  `json:"at"` // Unix seconds; 0: the time of the question
	Sequence  string `json:"sequence"`
	// Round counts the questions about a stream that goes on; 0: there is one.
	Round int `json:"round,omitempty"`
}

// event returns the event as CSS would have told it.
func (d doubt) event(now time.Time) (e cssEvent) {
	e.StreamID, e.EventType, e.EventTime = d.StreamID, &d.EventType, d.EventTime
	if e.EventTime == 0 {
		e.EventTime = now.Unix()
	}
	e.Sequence, _ = json.Marshal(d.Sequence) // text marshals
	return e
}

// ask enqueues a question. Asking the same again is a no-op.
func (r *Rooms) ask(ctx context.Context, d doubt, at time.Time) error {
	if r.conf.Streams == nil || r.conf.Jobs == nil {
		return nil
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("liveroom: %w", err)
	}
	sum := sha256.Sum256(body)
	return r.conf.Jobs.Put(ctx, queue.Job{ID: watchKind + "/" + hex.EncodeToString(sum[:]), Kind: watchKind, Lane: queue.Slow, NotBefore: at, Body: body})
}

// tooLate has the state of a stream asked for of which an event came late.
func (r *Rooms) tooLate(ctx context.Context, e cssEvent) {
	if e.EventType == nil || *e.EventType != streamEnded && *e.EventType != streamStarted || len(e.Sequence) > maxSequence || len(e.StreamID) > maxStreamID {
		return
	}
	d := doubt{StreamID: e.StreamID, EventType: *e.EventType, EventTime: e.EventTime, Sequence: sequenceOf(e)}
	if err := r.ask(ctx, d, time.Time{}); err != nil {
		slog.WarnContext(ctx, "the state of a stream is not asked for, of which an event came late", "error", err.Error())
	}
}

// watchJob asks CSS, and takes in the event if the stream is as it says. A job that
// comes twice finds that the event says nothing new.
func (r *Rooms) watchJob(ctx context.Context, j queue.Job) error {
	var d doubt
	if err := json.Unmarshal(j.Body, &d); err != nil {
		return errors.New("liveroom: discarded malformed job: no question about a stream")
	}
	if r.conf.Streams == nil {
		return errors.New("liveroom: this program asks CSS nothing")
	}
	roomID, generation, aliased := roomOf(d.StreamID)
	if !aliased {
		roomID = d.StreamID
	}
	s, err := r.find(ctx, roomID)
	switch {
	case is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case s.Room.Closed, !s.Room.Open(), aliased && s.Room.Generation != generation:
		return nil
	case d.Round > 0 && (s.Status != Live || s.Stream.Sequence != d.Sequence || s.Stream.Ended != 0):
		return nil // it has ended, or another push took its place
	}
	active, err := r.conf.Streams.Active(ctx, alias(s.Room))
	if err != nil {
		return err
	}
	if active == (d.EventType == streamStarted) {
		slog.InfoContext(ctx, "CSS confirms what its callback did not tell in time", "room", roomID, "active", active)
		return r.OnStream(ctx, d.event(r.now()))
	}
	if d.Round > 0 {
		d.Round++
		return r.ask(ctx, d, r.now().Add(watchEvery))
	}
	return nil
}
