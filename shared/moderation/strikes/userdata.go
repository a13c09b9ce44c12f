package strikes

import "github.com/backchannel-im/backchannel/shared/userdata"

// UserRecords is what the rule keeps of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{
		Places:    []userdata.Place{{Partition: partition(userID), Keep: "strikes and bans stay, or being erased would undo them; they fade by themselves"}},
		Elsewhere: "messages held for review are decided or expire within days",
	}
}
