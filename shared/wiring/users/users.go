// Package users lists where each feature keeps records of a user, so that they can
// be exported and erased. A feature that is not in the list fails a test.
package users

import (
	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/roomstats"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Sources are what the features hold of a user, by the name of the feature.
var Sources = []userdata.Source{
	strikes.UserData,
	liveroom.UserData,
	community.UserData(voice.SeatOf, mark.Forget, thread.Forget),
	roomstats.UserData,
	elsewhere("match", "a team names its members until 7 days after its end"),
	bot.UserData,
	desk.UserData,
	credential.UserData,
	mail.UserData,
	elsewhere("virgil", ""),
}

// elsewhere is a feature that has no records of a user's own.
func elsewhere(feature, what string) userdata.Source {
	return userdata.Source{Feature: feature, Of: func(string) userdata.Holding { return userdata.Holding{Elsewhere: what} }}
}
