package desk

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserRecords is what the rule keeps of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: userPartition(userID)}},
		Elsewhere: "tickets are the desk's: delete the user there",
	}
}
