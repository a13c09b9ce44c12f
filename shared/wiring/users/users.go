// Package users lists where each feature keeps records of a user, so that they can
// be exported and erased. A feature that is not in the list fails a test.
package users

import (
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
	{Feature: "moderation", Of: strikes.UserRecords},
	{Feature: "liveroom", Of: liveroom.UserRecords},
	{Feature: "community", Of: elsewhere("seats, roles and reactions of members stand in the communities' own records: remove the user from the communities, and those end")},
	{Feature: "roomstats", Of: roomstats.UserRecords},
	{Feature: "match", Of: elsewhere("membership stands in each team's own record and ends with the team; remove the user from open teams")},
	{Feature: "bot", Of: elsewhere("conversations with chatbots are kept under a hash for as long as BOT settings say and expire by themselves")},
	{Feature: "desk", Of: desk.UserRecords},
	{Feature: "credential", Of: credential.UserRecords},
	{Feature: "mail", Of: mail.UserRecords},
	{Feature: "virgil", Of: elsewhere("")},
}

// elsewhere is a feature that has no records of a user's own.
func elsewhere(what string) func(string) userdata.Holding {
	return func(string) userdata.Holding { return userdata.Holding{Elsewhere: what} }
}
