package roomstats

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserRecords is what the rule keeps of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: wherePartition(userID)}},
		Elsewhere: "the counts of a room name the user until the room's figures expire: totals would no longer be right without them",
	}
}
