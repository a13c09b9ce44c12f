package bot

import "github.com/backchannel-im/backchannel/shared/userdata"

// userPartition is where everything stands that is kept of a user: one-to-one
// conversations with robots, and what a day cost.
func userPartition(userID string) string { return "bot/user/" + named(userID) }

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{Feature: "bot", Of: func(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: userPartition(userID)}},
		Elsewhere: "what the user asked robots in groups stands in the groups' conversations, under a hash, and ends with BOT_MEMORY_LIFE; a question that is not answered yet waits in the queue, and its answer is kept anew",
	}
}}
