package mail

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserRecords is what the rule keeps of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: inboxPartition(userID)}},
		Elsewhere: "campaigns name whom they were sent to, and trades both sides, until they expire",
	}
}
