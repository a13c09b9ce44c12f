package credential

import (
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// UserData lists the records that the rule keeps of a user.
var UserData = userdata.Source{
	Feature: "credential",
	Forms: []userdata.Form{
		{Types: []string{"credential:copyRecord"}, Partition: "guest/", Holds: "which customer a guest became", Does: userdata.Erases},
		{Types: []string{"credential:toldProfile"}, Partition: "account/", Holds: "name, e-mail address and picture as the shop told them", Does: userdata.Erases},
		{
			Types: []string{"credential:Revocation"}, Partition: "revoked/", Holds: "a revocation, with its reason", Does: userdata.Keeps, Placed: true,
			Why: "otherwise an erasure would let the user in: lift it first. It expires when no credential from before it is valid",
		},
		{Partition: copyTrail, Holds: "which guest became which customer", Does: userdata.Expires, Within: copyLife, Why: "it tells whose messages were copied"},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{
			{Partition: guestPartition(userID)},
			{Partition: profilePartition(userID)},
			{Partition: revokedPartition(userID), Keep: func([]kv.Item, time.Time) (string, error) {
				return "a revocation stays: lift it first", nil
			}},
		}
	},
}
