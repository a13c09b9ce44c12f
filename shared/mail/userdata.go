package mail

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{Feature: "mail", Of: func(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: inboxPartition(userID)}},
		Elsewhere: "a campaign names whom it was sent to, and a trade both sides, until 30 days after they end",
	}
}}
