package match

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/retry"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// answer is what the hook said.
type answer int

const (
	unknown answer = iota
	accepted
	refused
	notNow
)

func answerOf(err error) answer {
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, ErrRefused):
		return refused
	case errors.Is(err, ErrNotNow):
		return notNow
	}
	return unknown
}

// start looks at a team and calls the hook if it is time to. A [queue.Later] says
// when to call again.
func (t *Teams) start(ctx context.Context, o order) error {
	s, err := t.look(ctx, o)
	if err != nil {
		return err
	}
	doubt, now := s.Status == Calling, s.now()
	if s.Status != Starting && !doubt || s.Start.Next.After(now) {
		return nil // nothing to start, or somebody has it in hand
	}
	s.Status, s.Start.Next = Calling, now.Add(hookTime+leaseSlack)
	switch err := s.save(ctx); {
	case errors.Is(err, kv.ErrConflict):
		return queue.Later{After: shortestPause} // somebody was faster, or the team has changed
	case err != nil:
		return err
	}
	err = t.conf.Hook.Start(ctx, s.Start.Start)
	if err != nil {
		slog.WarnContext(ctx, "start hook failed", "error", err.Error())
	}
	if s, err = t.note(ctx, s, answerOf(err), hook.RetryAfter(err), doubt); err != nil || s == nil {
		return err
	}
	if err := s.settle(ctx); err != nil && !errors.Is(err, kv.ErrConflict) {
		return err
	}
	if s.Status == Starting || s.Status == Calling {
		return queue.Later{After: max(s.Start.Next.Sub(s.now()), shortestPause)}
	}
	return nil
}

// note writes down what the hook answered to a call, whatever has become of the
// team meanwhile. It returns nil if that is no matter any more.
func (t *Teams) note(ctx context.Context, called *loadedTeam, a answer, after time.Duration, doubt bool) (*loadedTeam, error) {
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	for range tries {
		s, err := t.load(ctx, called.groupID)
		if err != nil {
			return nil, err
		}
		if s.Status != Calling || s.Start.ID != called.Start.ID {
			return nil, nil
		}
		// Where the lease has ended, another call may have been taken meanwhile.
		s.answered(a, after, doubt || !s.Start.Next.Equal(called.Start.Next), s.now(), s.conf)
		s.tell(s.groupID)
		if err := s.save(ctx); !errors.Is(err, kv.ErrConflict) {
			return s, err
		}
	}
	return nil, errBusy
}

func (t *Teams) lookOnly(ctx context.Context, o order) error {
	_, err := t.look(ctx, o)
	return err
}

// lookDue is the job of [Looks]. What fails is guarded again: it would not do to
// lay a team aside because IM was away for some hours.
func (t *Teams) lookDue(ctx context.Context, groupID string) error {
	if err := t.check(); err != nil {
		return err
	}
	err := t.start(ctx, order{GroupID: groupID})
	if _, is := errors.AsType[queue.Later](err); is || err == nil {
		return err
	}
	slog.WarnContext(ctx, "team not updated; the agenda retries", "error", err.Error())
	ctx, cancel := retry.Settle(ctx)
	defer cancel()
	return t.process.Guard(ctx, groupID, t.now().Add(lookEvery))
}
