package community

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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
		Forms: []userdata.Form{
			{
				Types: []string{"community:memberRecord"}, Partition: "community-members/", Key: memberPrefix, Holds: "mutes and the kick of a member, and who gave them", Does: userdata.Keeps,
				Why: "while they hold, otherwise an erasure would end them",
			},
			{Partition: "community-members/", Holds: "membership and role", Does: userdata.Erases},
			{Types: []string{"community:invited"}, Partition: "community-channel/", Key: invitedPrefix, Holds: "invitations", Does: userdata.Erases, Why: "whoever gave one is named by it as long as it stands"},
			{Partition: "community-channel/", Key: readPrefix, Holds: "what the user has read", Does: userdata.Erases},
			{Partition: "community-channel/", Key: slowPrefix, Holds: "when the user wrote last, in slow mode", Does: userdata.Expires, Within: day, Why: "the pause and a minute"},
			{Types: []string{"community/mark:record", "community/mark:string"}, Partition: "community-channel/", Key: "msg/", Holds: "edited messages and reactions", Does: userdata.TakesOut, Why: "reactions of others stay"},
			{Types: []string{"community/thread:record"}, Partition: "community-threads/", Holds: "who made a sub-channel, and of whose message", Does: userdata.TakesOut},
			{Types: []string{"community/voice:seat"}, Partition: seat(""), Holds: "the voice channel that the user is in", Does: userdata.Erases},
			{
				Types: []string{"community:record"}, Partition: "community/", Holds: "the owner, and who muted everyone", Does: userdata.Keeps,
				Why: "as long as the community stands, and 30 days: give it to somebody else first",
			},
		},
		Places: func(userID string) []userdata.Place { return []userdata.Place{{Partition: seat(userID)}} },
		Erase: func(ctx context.Context, store kv.Store, userID string, n userdata.Noted, now time.Time) (bool, error) {
			for _, f := range forget {
				if was, ok, err := f(ctx, store, userID, n); ok || err != nil {
					return was, err
				}
			}
			if strings.HasPrefix(n.Partition, "community-members/") {
				return eraseMember(ctx, store, userID, n, now)
			}
			return userdata.EraseItems(ctx, store, n.Partition, n.Key)
		},
	}
}

const day = 24 * time.Hour

// eraseMember deletes a member with the role in the index. A member who is muted or
// kicked stays so, without the role.
func eraseMember(ctx context.Context, store kv.Store, userID string, n userdata.Noted, now time.Time) (bool, error) {
	item, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m memberRecord
	if err := json.Unmarshal(item.Value, &m); err != nil {
		return false, fmt.Errorf("community: a member does not decode: %w", err)
	}
	keys := []string{handPrefix + userID}
	if m.Role != "" {
		keys = append(keys, rolePrefix+m.Role+"/"+userID)
	}
	if len(m.at(now)) == 0 {
		return userdata.EraseItems(ctx, store, n.Partition, append(keys, n.Key)...)
	}
	was, err := userdata.EraseItems(ctx, store, n.Partition, keys...)
	if err != nil || m.Role == "" {
		return was, err
	}
	return userdata.EditItem(ctx, store, n, func(m *memberRecord) bool {
		m.Role = ""
		return true
	})
}
