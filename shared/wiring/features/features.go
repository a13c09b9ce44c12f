// Package features lists the features of the product.
package features

import (
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/bot"
	"github.com/backchannel-im/backchannel/shared/wiring/credential"
	"github.com/backchannel-im/backchannel/shared/wiring/desk"
	"github.com/backchannel-im/backchannel/shared/wiring/match"
	"github.com/backchannel-im/backchannel/shared/wiring/minute"
	"github.com/backchannel-im/backchannel/shared/wiring/moderation"
	"github.com/backchannel-im/backchannel/shared/wiring/roomstats"
	"github.com/backchannel-im/backchannel/shared/wiring/virgil"
)

// All are the features, in the order in which their before-rules are asked: the
// first refusal wins, and a rule sees what earlier ones rewrote.
var All = []wiring.Feature{
	moderation.Feature,
	roomstats.Feature,
	match.Feature,
	bot.Feature,
	desk.Feature,
	credential.Feature,
	virgil.Feature,
}

// Bundle is all features behind one URL: what the function of that name deploys,
// and what scripts/dev serves. observe sees every callback; nil: nobody does.
func Bundle(e wiring.Engines, observe func(callback.Exchange)) wiring.Program {
	return wiring.Bundle(All, minute.Table, e, observe)
}
