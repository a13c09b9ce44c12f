package bot

import (
	"time"

	"github.com/backchannel-im/backchannel/shared/userdata"
)

// userPartition is where everything stands that is kept of a user: one-to-one
// conversations with robots, and what a day cost.
func userPartition(userID string) string { return "bot/user/" + named(userID) }

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{
	Feature: "bot",
	Forms: []userdata.Form{
		{
			Types: []string{"bot:past", "bot:[]Turn", "bot:answer", "bot:message", "bot:hold"}, Partition: "bot/user/", Holds: "one-to-one conversations with robots, and what a day of them cost", Does: userdata.Erases,
			Why: "a question that is not answered yet is in the mailbox or the queue; its answer goes with the second pass",
		},
		{
			Types: []string{"bot:handed", "bot:link"}, Partition: "bot/", Holds: "group conversations with robots, under hashes, and whom a person helps in them", Does: userdata.Expires, Within: handedLife,
			Why: "they are the group's; what was said ends with `BOT_MEMORY_LIFE`",
		},
		{Types: []string{"bot:word"}, Partition: "jobs/", Key: "j/bot", Holds: "what people say while a person helps", Does: userdata.Expires, Within: 25 * time.Hour, Why: "a job"},
	},
	Places: func(userID string) []userdata.Place { return []userdata.Place{{Partition: userPartition(userID)}} },
}
