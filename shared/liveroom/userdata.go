package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "liveroom"

const day = 24 * time.Hour

// UserData lists the records that the rules of live rooms keep of a user.
var UserData = userdata.Source{
	Feature: feature,
	Forms: []userdata.Form{
		{
			Types:     []string{"liveroom/wallet:account", "liveroom/wallet:record", "liveroom/wallet:Line", "liveroom/gift:combo", "liveroom/wallet/merchant:record", "liveroom/wallet/merchant:wallet.Move"},
			Partition: "wallet/", Holds: "wallet, gift orders and statement", Does: userdata.Keeps, Placed: true,
			Why: "books of account, for as long as your law asks: their sums hold with every line alone, and a repeated top-up is known by its line, which another name would not find. They hold amounts and ids, no words of the user. Pay out a balance first: the answer names it",
		},
		{Types: []string{"liveroom:map[string]bool"}, Partition: fansPrefix, Key: fanPrefix, Holds: "subscriptions", Does: userdata.Erases},
		{Types: []string{"liveroom:Membership"}, Partition: "liveroom/", Key: "/" + membershipPrefix, Holds: "memberships", Does: userdata.Erases},
		{Types: []string{"liveroom:archived"}, Partition: "liveroom/", Holds: "archived messages", Does: userdata.TakesOut, Why: "the number of a message stays"},
		{
			Types: []string{"liveroom:record"}, Partition: "liveroom/", Key: roomItem, Holds: "owner and moderators of a room", Does: userdata.Keeps,
			Why: "until 30 days after the room is closed: give it to somebody else first",
		},
		{
			Types: []string{"liveroom:restricted"}, Partition: "liveroom/", Key: "/" + restrictionPrefix, Holds: "mutes and kicks of a room, and who gave them", Does: userdata.Keeps,
			Why: "while they hold, otherwise an erasure would end them; until 30 days after the room is closed at most",
		},
		{Partition: "liveroom/", Key: "/" + timedPrefix, Holds: "when a mute ends", Does: userdata.Keeps, Why: "with the mute"},
		{Types: []string{"liveroom:task"}, Partition: "liveroom/", Key: "/" + orderPrefix, Holds: "mutes and kicks about to be carried out", Does: userdata.Expires, Within: day, Why: "IM has them within seconds"},
		{
			Types: []string{"liveroom/lottery:record", "liveroom/lottery:entry"}, Partition: "room/", Holds: "entries and winners of a lottery", Does: userdata.Expires, Within: 400 * day,
			Why: "a draw can be proved to those who lost",
		},
		{
			Types: []string{"liveroom/outbox:record"}, Partition: "room/", Key: "out/", Holds: "what a room is about to be told of the user", Does: userdata.Expires, Within: day, Why: "it is sent within seconds, or dropped",
		},
		{Types: []string{"liveroom/gift:frameOrder", "liveroom/gift:refundOrder"}, Partition: "jobs/", Key: "j/", Holds: "gifts about to be shown or refunded", Does: userdata.Expires, Within: 25 * time.Hour, Why: "a job"},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{{Partition: wallet.Partition(userID), Keep: keepWallet}}
	},
	Erase: eraseUser,
	Search: &userdata.Search{
		In:    func(n userdata.Noted) bool { return strings.HasPrefix(n.Key, authorPrefix) },
		Read:  readMessage,
		Erase: eraseMessage,
	},
}

// keepWallet says why a wallet stays, and what is in it.
func keepWallet(items []kv.Item, _ time.Time) (string, error) {
	const why = "wallet, gift orders and statement are books of account: their sums hold with every line alone"
	balance, err := wallet.BalanceOf(items)
	if err != nil || balance == 0 {
		return why, err
	}
	return fmt.Sprintf("%s. The balance is %d: pay it out, or have the user agree to lose it", why, balance), nil
}

// note notes that a user is about to have a record of his own among those of a room.
func note(ctx context.Context, store kv.Store, partition, key, userID string) error {
	return userdata.Note(ctx, store, userID, feature, userdata.Noted{Partition: partition, Key: key})
}

func eraseUser(ctx context.Context, store kv.Store, _ string, n userdata.Noted, _ time.Time) (bool, error) {
	if strings.HasPrefix(n.Partition, fansPrefix) {
		return eraseFan(ctx, store, n)
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

// ownMessage returns an archived message, false for one of another user.
func ownMessage(userID string, item kv.Item) (m archived, ok bool, err error) {
	if err := json.Unmarshal(item.Value, &m); err != nil {
		return m, false, fmt.Errorf("liveroom: an archived message does not decode: %w", err)
	}
	return m, m.From == userID, nil
}

func readMessage(userID string, item kv.Item) (any, error) {
	m, ok, err := ownMessage(userID, item)
	if err != nil || !ok {
		return nil, err
	}
	return m, nil
}

// eraseMessage removes what a user wrote from the archive of a room. A message keeps
// its number, so that its callback does not bring it back.
func eraseMessage(ctx context.Context, store kv.Store, userID, partition string, item kv.Item) (bool, error) {
	m, ok, err := ownMessage(userID, item)
	if err != nil || !ok {
		return false, err
	}
	m = m.gone()
	m.From = ""
	value, err := encode(m)
	if err != nil {
		return false, fmt.Errorf("liveroom: %w", err)
	}
	return true, store.Commit(ctx, partition, kv.NewOp("erase"), kv.Put{Key: item.Key, Value: []byte(value), Expires: item.Expires, If: kv.Rev(item.Rev)})
}
