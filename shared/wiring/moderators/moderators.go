// Package moderators reads what happens where people decide: about messages that
// wait, and about users who have done wrong.
package moderators

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
)

// Settings is what the settings say.
type Settings struct {
	review  review.Config
	strikes strikes.Config
}

// Read reads the settings.
func Read(set *config.Reader) *Settings {
	s := &Settings{}
	s.review.Notifier, s.strikes.Notifier = access.Admin(set), access.Admin(set)
	s.review.RejectedText = set.Text(config.Setting{
		Name: "MODERATION_REJECTED_TEXT", Meaning: "what the admin account tells the sender of a message that a moderator rejected", Format: "a sentence",
		Default: "A message of yours was not accepted by a moderator.",
	})
	points := func(name, what, def string) int {
		return set.Int(config.Setting{
			Name: name, Meaning: "how many points of strikes get a user " + what + "; 0 for never", Format: "a number", Default: def,
		}, 0, 1000)
	}
	s.strikes.WarnAt = points("STRIKES_WARN_AT", "warned", "1")
	s.strikes.MuteAt = points("STRIKES_MUTE_AT", "muted", "3")
	s.strikes.BanAt = points("STRIKES_BAN_AT", "banned", "6")
	last := 0
	for _, at := range []int{s.strikes.WarnAt, s.strikes.MuteAt, s.strikes.BanAt} {
		if at != 0 && at <= last {
			set.Fault("STRIKES_BAN_AT", "the points for a warning, for being muted and for being banned must rise")
		}
		last = max(last, at)
	}
	const day = 24 * time.Hour
	s.strikes.Fade = set.Duration(config.Setting{
		Name: "STRIKES_FADE", Meaning: "how long a point counts", Format: "a duration, such as 168h", Default: "168h",
	}, time.Hour, 180*day)
	s.strikes.MuteFor = set.Duration(config.Setting{
		Name: "STRIKES_MUTE_FOR", Meaning: "how long who is muted may not write", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 365*day)
	s.strikes.BanFor = set.Duration(config.Setting{
		Name: "STRIKES_BAN_FOR", Meaning: "how long who is banned may neither write nor log in", Format: "a duration, such as 720h", Default: "720h",
	}, time.Minute, 365*day)
	text := func(name, when, def string) string {
		return set.Text(config.Setting{Name: name, Meaning: "what the admin account tells a user " + when, Format: "a sentence", Default: def})
	}
	s.strikes.Texts = map[strikes.Kind]string{
		strikes.Warned: text("STRIKES_WARNED_TEXT", "who is warned", "Please keep to the rules of this chat."),
		strikes.Muted:  text("STRIKES_MUTED_TEXT", "who is muted", "You cannot write for a while, because you broke the rules of this chat."),
		strikes.None:   text("STRIKES_OVER_TEXT", "who may write again sooner than was said", "You can write again."),
	}
	return s
}

// Desk is where moderators decide, opened.
type Desk struct {
	reviews *review.Queue
	strikes *strikes.Strikes
	trail   *trail.Trail
}

// Open makes the desk, over a store and a queue, and registers the handlers of
// its jobs. Without a queue there is none: nil.
func (s *Settings) Open(work *jobs.Jobs, client *im.Client) *Desk {
	if work.Ledger == nil {
		return nil
	}
	punish, keep := s.strikes, s.review
	punish.Store, punish.Jobs, keep.Store, keep.Jobs = work.Store, work.Ledger, work.Store, work.Ledger
	sends := once.New(work.Store, client, nil)
	punish.IM, punish.Sends, keep.Sends = client, sends, sends
	d := &Desk{strikes: strikes.New(punish), trail: trail.New(work.Store)}
	keep.Strike = func(ctx context.Context, r review.Rejection) error {
		return d.strikes.Add(ctx, strikes.Strike{
			UserID: r.UserID, Key: "review/" + r.Review, Weight: r.Weight, By: r.By, Reason: r.Reason, Review: r.Review,
		})
	}
	d.reviews = review.New(keep)
	return d
}

// Holder is who keeps messages for review.
func (d *Desk) Holder() moderation.Holder { return d.reviews }

// Routes adds the moderators' routes.
func (d *Desk) Routes(mux *http.ServeMux, gate *api.Gate) {
	d.reviews.Routes(mux, gate)
	d.strikes.Routes(mux, gate)
	d.trail.Routes(mux, gate)
}

// Sweep is what the clock does for moderators. Nil has nothing.
func (d *Desk) Sweep(ctx context.Context) error {
	if d == nil {
		return nil
	}
	return errors.Join(d.reviews.Sweep(ctx), d.strikes.Sweep(ctx))
}

// ForClock is a desk that can do nothing but sweep.
func ForClock(store kv.Store, ledger *queue.Ledger) *Desk {
	return &Desk{
		reviews: review.New(review.Config{Store: store, Jobs: ledger}), strikes: strikes.New(strikes.Config{Store: store, Jobs: ledger}),
	}
}
