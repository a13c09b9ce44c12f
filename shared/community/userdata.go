package community

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "community"

// Note records that a user is about to have an item of the user's own among the items
// of a community, so that [UserData] finds it.
func Note(ctx context.Context, store kv.Store, partition, key, userID string) error {
	return userdata.Note(ctx, store, userID, feature, userdata.Noted{Partition: partition, Key: key})
}

// Forget removes a user from an item that names several users, and reports whether the
// user was in it. ok is false for an item of another kind.
type Forget func(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (was, ok bool, err error)

// UserData lists the records that the rules of communities keep of a user. seat
// returns the partition of the user's voice seat, and forget handles the items of
// companions that name several users.
func UserData(seat func(userID string) string, forget ...Forget) userdata.Source {
	return userdata.Source{
		Feature: feature,
		Of: func(userID string) userdata.Holding {
			return userdata.Holding{
				Places:    []userdata.Place{{Partition: seat(userID)}},
				Elsewhere: "a community names its owner, and a restriction or an invitation whoever gave it, as long as they stand: give the communities to somebody else first. Messages are IM's",
			}
		},
		Erase: func(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (bool, error) {
			for _, f := range forget {
				if was, ok, err := f(ctx, store, userID, n); ok || err != nil {
					return was, err
				}
			}
			if strings.HasPrefix(n.Partition, "community-members/") {
				return eraseMember(ctx, store, userID, n)
			}
			return userdata.EraseItems(ctx, store, n.Partition, n.Key)
		},
	}
}

// eraseMember deletes a member with the role in the index.
func eraseMember(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (bool, error) {
	keys := []string{n.Key, handPrefix + userID}
	item, err := store.Get(ctx, n.Partition, n.Key)
	if err == nil {
		var m memberRecord
		if err := json.Unmarshal(item.Value, &m); err == nil && m.Role != "" {
			keys = append(keys, rolePrefix+m.Role+"/"+userID)
		}
	}
	return userdata.EraseItems(ctx, store, n.Partition, keys...)
}
