package strikes

import (
	"context"
	"errors"
	"fmt"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// apply is the job that has IM do what a user's strikes lead to now, whatever
// they led to when it was put. Two may overtake each other on the way to IM, so
// each looks again afterwards; one that dies before it could comes again.
func (s *Strikes) apply(ctx context.Context, userID string) error {
	for {
		r, cond, err := load(ctx, s.store, userID)
		if err != nil || cond.WantsAbsent() {
			return err
		}
		if err := s.tell(ctx, &r); err != nil {
			return err
		}
		if err := s.enforce(ctx, userID, r.Sanction); err != nil {
			return err
		}
		if r.Told != r.Sanction.Number {
			if err := s.notify(ctx, userID, r.Sanction); err != nil {
				return err
			}
		}
		r.Applied, r.Told = r.Version, r.Sanction.Number
		if err := s.save(ctx, userID, r, cond); !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
}

// enforce has IM do what a user suffers. All of it may be repeated; what is over
// IM has ended by itself.
func (s *Strikes) enforce(ctx context.Context, userID string, now sanction) error {
	left := now.Until.Sub(s.now())
	if left <= 0 {
		return nil
	}
	if now.Kind == None {
		left = 0
	}
	err := s.conf.IM.SetNoSpeaking(ctx, userID, left, left)
	if err == nil && now.Kind == Banned {
		err = s.conf.IM.Kick(ctx, userID)
	}
	if im.ClassOf(err) == im.ClassAccount {
		s.conf.Log.WarnContext(ctx, "a user with strikes is unknown to IM", "error", err.Error())
		return nil
	}
	return err
}

// notify tells a user what happened.
func (s *Strikes) notify(ctx context.Context, userID string, now sanction) error {
	text := s.conf.Texts[now.Kind]
	if text == "" {
		return nil
	}
	event := fmt.Sprintf("strikes/%s/%d", userID, now.Number)
	_, err := s.conf.Sends.C2C(ctx, event, im.C2CMsg{From: s.conf.Notifier, To: userID, Body: im.Text(text)})
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) {
		s.conf.Log.WarnContext(ctx, "user not notified of strikes", "error", err.Error())
		return nil
	}
	return err
}
