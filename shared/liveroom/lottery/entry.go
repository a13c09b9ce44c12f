package lottery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// entry is a user in a lottery.
type entry struct {
	At int64 `json:"at"` // Unix seconds of the first message with the keyword
}

// Register adds the rule that enters users.
func (l *Lotteries) Register(m *callback.Mux) { callback.After(m, "lottery", l.hear) }

// hear enters the sender of a message into the lotteries whose keyword it says. A
// repeated callback finds the user entered.
func (l *Lotteries) hear(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	if e.Type != im.AVRoom && e.Type != im.Live || usersig.CheckUserID(e.From) != nil || e.From == im.NotFoundSender {
		return nil
	}
	text, is := textOf(e.MsgBody)
	if !is {
		return nil
	}
	list, _, err := l.open(ctx, e.GroupID)
	if err != nil {
		return err
	}
	for _, o := range list {
		if at := int64(e.MsgTime); at < o.From || at > o.Until || !strings.EqualFold(text, o.Keyword) {
			continue
		}
		if err := l.enter(ctx, e.GroupID, o.ID, e.From, entry{At: int64(e.MsgTime)}); err != nil {
			return err
		}
	}
	return nil
}

// textOf returns the trimmed text of a message that could say a keyword.
func textOf(body im.MsgBody) (text string, is bool) {
	var b strings.Builder
	for _, element := range body {
		if element.MsgType != im.TextElem {
			continue
		}
		var content struct{ Text string }
		if json.Unmarshal(element.MsgContent, &content) != nil {
			return "", false
		}
		b.WriteString(content.Text)
	}
	text = strings.TrimSpace(b.String())
	// Folding case changes the length of a letter by two bytes at most.
	return text, text != "" && len(text) <= 3*MaxKeyword
}

// enter stores an entry, unless the entries are frozen. Of several messages of a user
// the earliest counts, in whatever order their callbacks come.
func (l *Lotteries) enter(ctx context.Context, roomID, id, userID string, is entry) error {
	value, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	put := kv.Put{Key: entryPrefix + userID, Value: value, Expires: l.now().Add(kept), If: kv.Absent()}
	for range tries {
		err := l.store.Commit(ctx, entries(roomID, id), newOp(), put, kv.Check{Key: frozenKey, If: kv.Absent()})
		conflict, refused := errors.AsType[*kv.ConflictError](err)
		switch {
		case !refused:
			return err
		case conflict.Key == frozenKey:
			return nil // too late
		}
		item, err := l.store.Get(ctx, entries(roomID, id), put.Key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var was entry
		if err := json.Unmarshal(item.Value, &was); err != nil {
			return fmt.Errorf("lottery: an entry does not decode: %w", err)
		}
		if was.At <= is.At {
			return nil // entered before
		}
		put.If = kv.Rev(item.Rev)
	}
	return fmt.Errorf("lottery: others keep changing an entry: %w", kv.ErrConflict)
}

// entered returns who entered until a second, in the order of their UserIDs.
func (l *Lotteries) entered(ctx context.Context, roomID, id string, until int64) (users []string, err error) {
	for r := (kv.Range{Prefix: entryPrefix, Limit: kv.MaxPage}); ; {
		page, err := l.store.List(ctx, entries(roomID, id), r)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var e entry
			if err := json.Unmarshal(item.Value, &e); err != nil {
				return nil, fmt.Errorf("lottery: an entry does not decode: %w", err)
			}
			if e.At <= until {
				users = append(users, strings.TrimPrefix(item.Key, entryPrefix))
			}
		}
		if page.Next == "" {
			return users, nil
		}
		r.After = page.Next
	}
}
