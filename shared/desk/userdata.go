package desk

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{Feature: "desk", Of: func(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: userPartition(userID)}},
		Elsewhere: "tickets and their texts are the desk's: delete the requester there. Here a ticket names its requester until 90 days after its end",
	}
}}
