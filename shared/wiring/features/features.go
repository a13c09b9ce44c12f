// Package features lists the features of the product.
package features

import (
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/bot"
	"github.com/backchannel-im/backchannel/shared/wiring/community"
	"github.com/backchannel-im/backchannel/shared/wiring/credential"
	"github.com/backchannel-im/backchannel/shared/wiring/desk"
	"github.com/backchannel-im/backchannel/shared/wiring/liveroom"
	"github.com/backchannel-im/backchannel/shared/wiring/mail"
	"github.com/backchannel-im/backchannel/shared/wiring/match"
	"github.com/backchannel-im/backchannel/shared/wiring/minute"
	"github.com/backchannel-im/backchannel/shared/wiring/moderation"
	"github.com/backchannel-im/backchannel/shared/wiring/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
	"github.com/backchannel-im/backchannel/shared/wiring/virgil"
)

// Each feature stands in one of the three lists. They are functions so that a
// program links the features of the list it calls for and no others.

// Hearing are the features with rules for IM's callbacks, in the order in which their
// before-rules run: the first refusal wins, and a rule sees the message as earlier
// rules rewrote it.
func Hearing() []wiring.Feature {
	return []wiring.Feature{
		moderation.Feature,
		liveroom.Feature,
		community.Feature,
		roomstats.Feature,
		match.Feature,
		bot.Feature,
		desk.Feature,
	}
}

// Working are the features of Hearing and the other features that have jobs.
func Working() []wiring.Feature {
	return append(
		Hearing(),
		credential.Feature,
		mail.Feature,
	)
}

// All are the features of Working and the features that have routes only.
func All() []wiring.Feature {
	return append(
		Working(),
		virgil.Feature,
	)
}

// Bundle is all features behind one URL: what the function of that name deploys, and
// what scripts/dev serves. observe gets every callback; it may be nil.
func Bundle(e wiring.Engines, observe func(callback.Exchange)) wiring.Program {
	return wiring.Bundle(All(), users.Sources, minute.Table, e, observe)
}
