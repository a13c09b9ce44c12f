package liveroom

import (
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// UserRecords is what the rules of live rooms keep of a user.
func UserRecords(userID string) userdata.Holding {
	return userdata.Holding{
		Places: []userdata.Place{
			{Partition: wallet.Partition(userID), Keep: "wallets and their statements are books of account"},
		},
		Elsewhere: "messages in the archives of rooms, restrictions, subscriptions and entries of lotteries stand in the rooms' records and go with the rooms",
	}
}
