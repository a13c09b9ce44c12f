package credential

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserRecords is what the rule keeps of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{Places: []userdata.Place{{Partition: guestPartition(userID)}}}
}
