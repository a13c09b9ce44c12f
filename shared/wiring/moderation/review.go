package moderation

import (
	"context"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/review"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// people is where moderators decide: about messages that wait, and about users
// who broke the rules.
type people struct {
	review     review.Config
	strikes    strikes.Config
	strikeFrom int // severity; 0: moderators alone give strikes
}

func readPeople(set *wiring.Settings) (s people) {
	s.review.Notifier, s.strikes.Notifier = set.Admin(), set.Admin()
	s.strikes.Reserved = set.Reserved()
	s.strikeFrom = set.Int(config.Setting{
		Name: "STRIKES_FROM_SEVERITY", Meaning: "least severity of a word, 1 to 5, at which a refused message gives its sender strikes, as many points as the severity; 0 leaves strikes to moderators",
		Format: "a number", Default: "0",
	}, 0, 5)
	s.review.RejectedText = set.Text(config.Setting{
		Name: "MODERATION_REJECTED_TEXT", Meaning: "message that the admin account sends to the sender of a message that a moderator rejected", Format: "a sentence",
		Default: "A message of yours was not accepted by a moderator.",
	})
	points := func(name, what, def string) int {
		return set.Int(config.Setting{
			Name: name, Meaning: "points of strikes at which a user is " + what + "; 0 for never", Format: "a number", Default: def,
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
		Name: "STRIKES_FADE", Meaning: "time for which a point of a strike counts", Format: "a duration, such as 168h", Default: "168h",
	}, time.Hour, 180*day)
	s.strikes.MuteFor = set.Duration(config.Setting{
		Name: "STRIKES_MUTE_FOR", Meaning: "time for which a muted user cannot write", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 365*day)
	s.strikes.BanFor = set.Duration(config.Setting{
		Name: "STRIKES_BAN_FOR", Meaning: "time for which a banned user can neither write nor log in", Format: "a duration, such as 720h", Default: "720h",
	}, time.Minute, 365*day)
	text := func(name, when, def string) string {
		return set.Text(config.Setting{Name: name, Meaning: "message that the admin account sends to a user " + when, Format: "a sentence", Default: def})
	}
	s.strikes.Texts = map[strikes.Kind]string{
		strikes.Warned: text("STRIKES_WARNED_TEXT", "who is warned", "Please keep to the rules of this chat."),
		strikes.Muted:  text("STRIKES_MUTED_TEXT", "who is muted", "You cannot write for a while, because you broke the rules of this chat."),
		strikes.None:   text("STRIKES_OVER_TEXT", "who may write earlier than was announced", "You can write again."),
	}
	return s
}

// open makes reviews, strikes and the audit trail, and has the filter hold messages
// for review and give strikes.
func (s people) open(h *wiring.House, client *im.Client, filter *moderation.Config) {
	sends := once.New(h.Store, client, nil)
	punish, keep := s.strikes, s.review
	punish.Store, punish.Jobs, punish.IM, punish.Sends = h.Store, h.Jobs, client, sends
	keep.Store, keep.Jobs, keep.Sends, keep.MadeAnew = h.Store, h.Jobs, sends, client.MadeAnew
	given := strikes.New(punish)
	keep.Banned = given.Banned
	keep.Strike = func(ctx context.Context, r review.Rejection) error {
		return given.Add(ctx, strikes.Strike{
			UserID: r.UserID, Key: "review/" + r.Review, Weight: r.Weight, By: r.By, Reason: r.Reason, Review: r.Review,
		})
	}
	reviews := review.New(keep)
	h.Routes(reviews.Routes)
	h.Routes(given.Routes)
	h.Routes(trail.New(h.Store).Routes)
	filter.Holder = reviews
	if s.strikeFrom > 0 {
		filter.Striker, filter.StrikeFrom = given, s.strikeFrom
	}
}
