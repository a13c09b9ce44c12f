package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

const feature = "mail"

// UserData lists the records that the rule keeps of a user.
//
// No item of the game is made or lost by an erasure: the game knows grants, holds and
// moves by keys that are made of the mail or the trade, and answers a key alike for
// ever. What the game is being asked for is waited for.
var UserData = userdata.Source{
	Feature: feature,
	Forms: []userdata.Form{
		{
			Types: []string{"mail:box"}, Partition: "mail/inbox/", Holds: "inbox, with what was read and claimed", Does: userdata.Erases,
			Why: "attachments that the game was asked for are waited for",
		},
		{
			Types: []string{"mail:trade"}, Partition: "mail/trade/", Holds: "trades, with both players and the words of the one who offered", Does: userdata.TakesOut,
			Why: "a trade that is open is waited for: it ends by itself after `MAIL_TRADE_TIME`; the other player sees it for 30 days more",
		},
		{
			Types: []string{"mail:[]string", "mail:progress"}, Partition: "mail/campaign/", Holds: "recipients of a mail that is not sent to them yet, and the first 100 whom IM does not know", Does: userdata.TakesOut,
			Why: "a campaign forgets each recipient when it has sent the mail; one that is under way names those that are left",
		},
	},
	Places: func(userID string) []userdata.Place {
		return []userdata.Place{{Partition: inboxPartition(userID), Prefix: "m/", Erase: eraseBox}}
	},
	Erase: eraseTrade,
}

// note notes that two players are about to have a trade.
func (m *Mails) note(ctx context.Context, t *trade) error {
	for _, user := range []string{t.From, t.With} {
		if err := userdata.Note(ctx, m.store, user, feature, userdata.Noted{Partition: tradePartition(t.ID), Key: tradeItem}); err != nil {
			return err
		}
	}
	return nil
}

// eraseTrade takes a player out of a trade that is over, and deletes one that has lost
// both.
func eraseTrade(ctx context.Context, store kv.Store, userID string, n userdata.Noted, _ time.Time) (bool, error) {
	var t trade
	cond, err := load(ctx, store, n.Partition, n.Key, &t)
	switch {
	case err != nil:
		return false, err
	case cond.WantsAbsent() || !t.has(userID):
		return false, nil
	case !t.over():
		return false, userdata.Waits("trade " + t.ID + " is " + t.Stage)
	}
	t.takeOut(userID)
	write := kv.Write(kv.Delete{Key: n.Key, If: cond})
	if t.From != "" || t.With != "" {
		value, err := encode(t)
		if err != nil {
			return false, err
		}
		write = kv.Put{Key: n.Key, Value: value, Expires: t.Until.Add(tradeKept), If: cond}
	}
	return true, store.Commit(ctx, n.Partition, kv.NewOp("erase"), write)
}

// takeOut removes a player who is erased, with the player's words.
func (t *trade) takeOut(userID string) {
	if t.From == userID {
		t.From, t.Message = "", ""
	}
	if t.With == userID {
		t.With = ""
	}
}

// parted reports whether a player of the trade was erased.
func (t *trade) parted() bool { return t.From == "" || t.With == "" }

// eraseBox deletes a mail of an inbox, and takes its player off the campaign that
// brought it.
func eraseBox(ctx context.Context, store kv.Store, userID string, item kv.Item, _ time.Time) (bool, error) {
	var b box
	if err := json.Unmarshal(item.Value, &b); err != nil {
		return false, fmt.Errorf("mail: an item of the store does not decode: %w", err)
	}
	id := strings.TrimPrefix(item.Key, boxKey(""))
	if b.asking() {
		return false, userdata.Waits("the game is asked for the attachments of mail " + id)
	}
	if b.Chunk != ofAll {
		if err := forgetFailed(ctx, store, userID, id); err != nil {
			return false, err
		}
	}
	return true, store.Commit(ctx, inboxPartition(userID), kv.NewOp("erase"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
}

// forgetFailed takes a user out of those whom IM did not know or take a mail for.
func forgetFailed(ctx context.Context, store kv.Store, userID, id string) error {
	item, err := store.Get(ctx, campaignPartition(id), progressItem)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var p progress
	if err := json.Unmarshal(item.Value, &p); err != nil {
		return fmt.Errorf("mail: an item of the store does not decode: %w", err)
	}
	switch a := p.Attempt; {
	case a != nil && (slices.Contains(a.Rest, userID) || slices.Contains(a.Failed, userID)):
		return userdata.Waits("mail " + id + " is being sent")
	case !slices.Contains(p.Unknown, userID):
		return nil
	}
	p.Unknown = slices.DeleteFunc(p.Unknown, func(is string) bool { return is == userID })
	value, err := encode(p)
	if err != nil {
		return err
	}
	return store.Commit(ctx, campaignPartition(id), kv.NewOp("erase"), kv.Put{Key: progressItem, Value: value, Expires: item.Expires, If: kv.Rev(item.Rev)})
}
