package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "liveroom"

// UserData lists the records that the rules of live rooms keep of a user.
var UserData = userdata.Source{
	Feature: feature,
	Of: func(userID string) userdata.Holding {
		return userdata.Holding{
			Places: []userdata.Place{
				{Partition: wallet.Partition(userID), Keep: "wallets, gift orders and statements are books of account: their sums hold with every line alone"},
			},
			Elsewhere: "a room names its owner and moderators until 30 days after it is closed; who is muted or kicked stays so; entries of a lottery prove its draw, for 400 days; what rooms were told is remembered for 7 days",
		}
	},
	Erase: eraseUser,
}

// note notes that a user is about to have a record of his own among those of a room.
func note(ctx context.Context, store kv.Store, partition, key, userID string) error {
	return userdata.Note(ctx, store, userID, feature, userdata.Noted{Partition: partition, Key: key})
}

func eraseUser(ctx context.Context, store kv.Store, userID string, n userdata.Noted) (bool, error) {
	switch {
	case strings.HasPrefix(n.Partition, fansPrefix):
		return eraseFan(ctx, store, n)
	case strings.HasPrefix(n.Key, authorPrefix):
		return eraseMessages(ctx, store, userID, n.Partition)
	}
	return userdata.EraseItems(ctx, store, n.Partition, n.Key)
}

// eraseFan ends a user's subscriptions to the rooms of an owner, and counts them down.
func eraseFan(ctx context.Context, store kv.Store, n userdata.Noted) (bool, error) {
	item, err := store.Get(ctx, n.Partition, n.Key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var rooms map[string]bool
	if err := json.Unmarshal(item.Value, &rooms); err != nil {
		return false, fmt.Errorf("liveroom: a subscription does not decode: %w", err)
	}
	less := []kv.Delta{{Counter: fansCounter, By: -1}}
	writes := []kv.Write{kv.Delete{Key: n.Key, If: kv.Rev(item.Rev)}}
	for room := range rooms {
		writes = append(writes, kv.Add{Key: fanRoomPrefix + room, Deltas: less})
	}
	if len(rooms) > 0 {
		writes = append(writes, kv.Add{Key: fansItem, Deltas: less})
	}
	return true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), writes...)
}

// authorPrefix begins the key under which the author of archived messages is noted,
// with the archive's partition.
const authorPrefix = "from/"

// eraseMessages takes what a user wrote out of the archive of a room. A message keeps
// its number, so that its callback does not bring it back.
func eraseMessages(ctx context.Context, store kv.Store, userID, partition string) (was bool, err error) {
	for r := (kv.Range{Limit: kv.MaxPage}); ; {
		page, err := store.List(ctx, partition, r)
		if err != nil {
			return was, err
		}
		for _, item := range page.Items {
			var m archived
			if err := json.Unmarshal(item.Value, &m); err != nil {
				return was, fmt.Errorf("liveroom: an archived message does not decode: %w", err)
			}
			if m.From != userID {
				continue
			}
			m = m.gone()
			m.From = ""
			value, err := encode(m)
			if err != nil {
				return was, fmt.Errorf("liveroom: %w", err)
			}
			err = store.Commit(ctx, partition, kv.NewOp("erase"), kv.Put{Key: item.Key, Value: []byte(value), Expires: item.Expires, If: kv.Rev(item.Rev)})
			if err != nil {
				return was, err
			}
			was = true
		}
		if r.After = page.Next; page.Next == "" {
			return was, nil
		}
	}
}
