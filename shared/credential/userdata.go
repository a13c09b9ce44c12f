package credential

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{Feature: "credential", Of: func(userID string) userdata.Holding {
	return userdata.Holding{
		Places: []userdata.Place{
			{Partition: guestPartition(userID)},
			{Partition: profilePartition(userID)},
			{Partition: revokedPartition(userID), Keep: "a revocation stays: lift it first"},
		},
		Elsewhere: "a guest who became a customer is named in the trail of copies for a year",
	}
}}
