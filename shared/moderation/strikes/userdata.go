package strikes

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserData is what the rule keeps of a user.
var UserData = userdata.Source{Feature: "moderation", Of: func(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: partition(userID), Keep: "strikes and bans stay, or being erased would undo them; they fade by themselves"}},
		Elsewhere: "a message held for review stays until it is decided, and what became of it for 30 days after that; the trail names for a year whom a decision was about",
	}
}}
