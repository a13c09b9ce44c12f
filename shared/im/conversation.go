package im

import (
	"cmp"
	"context"
)

// Conversations (1047/43087, 269/62119).

var (
	recentContactList   = method{path: "recentcontact/get_list", repeat: harmless}
	recentContactDelete = method{path: "recentcontact/delete", repeat: harmless}
)

// Conversation is an entry of a user's list of conversations, with a user or a
// group.
type Conversation struct {
	UserID  string `json:"To_Account"` // or else
	GroupID string `json:"GroupId"`
	MsgTime int64  `json:"MsgTime"` // Unix seconds
	TopFlag int    `json:"TopFlag"` // 1: kept at the top
}

// ConversationsCursor is a place in a user's list; the zero value is its start.
type ConversationsCursor struct{ timeStamp, startIndex, topTimeStamp, topStartIndex int64 }

// Conversations returns a page of a user's list, and the cursor of the next page;
// nil means no further page (1047/43087).
func (c *Client) Conversations(ctx context.Context, userID string, from ConversationsCursor) (list []Conversation, next *ConversationsCursor, err error) {
	if err := neededUser("From_Account", userID); err != nil {
		return nil, nil, err
	}
	const withTopPages = 1<<0 | 1<<2 // those kept at the top too, in pages
	in := struct {
		UserID        string `json:"From_Account"`
		TimeStamp     int64
		StartIndex    int64
		TopTimeStamp  int64
		TopStartIndex int64
		AssistFlags   int
	}{userID, from.timeStamp, from.startIndex, from.topTimeStamp, from.topStartIndex, withTopPages}
	var out struct {
		envelope
		SessionItem   []Conversation
		CompleteFlag  int
		TimeStamp     int64
		StartIndex    int64
		TopTimeStamp  int64
		TopStartIndex int64
	}
	if err := c.call(ctx, recentContactList, in, &out); err != nil {
		return nil, nil, err
	}
	if out.CompleteFlag == 0 {
		next = &ConversationsCursor{out.TimeStamp, out.StartIndex, out.TopTimeStamp, out.TopStartIndex}
	}
	return out.SessionItem, next, nil
}

// The types of a conversation.
const (
	conversationC2C   = 1
	conversationGroup = 2
)

// DeleteConversation takes a conversation with a user off somebody's list, and
// its messages out of that side's history if clear is set (269/62119).
func (c *Client) DeleteConversation(ctx context.Context, userID, peer string, clear bool) error {
	return c.deleteConversation(ctx, conversationEntry{UserID: userID, Type: conversationC2C, Peer: peer, ClearRamble: flag(clear)})
}

// DeleteGroupConversation takes a conversation with a group off somebody's list,
// as DeleteConversation does.
func (c *Client) DeleteGroupConversation(ctx context.Context, userID, groupID string, clear bool) error {
	return c.deleteConversation(ctx, conversationEntry{UserID: userID, Type: conversationGroup, GroupID: groupID, ClearRamble: flag(clear)})
}

// conversationEntry is how IM reads one.
type conversationEntry struct {
	UserID      string `json:"From_Account"`
	Type        int    `json:"Type"`
	Peer        string `json:"To_Account,omitempty"`
	GroupID     string `json:"ToGroupid,omitempty"` // IM's spelling
	ClearRamble int    `json:"ClearRamble,omitempty"`
}

func (c *Client) deleteConversation(ctx context.Context, e conversationEntry) error {
	err := neededUser("From_Account", e.UserID)
	if e.Type == conversationC2C {
		err = cmp.Or(err, neededUser("To_Account", e.Peer))
	} else {
		err = cmp.Or(err, needed("ToGroupid", e.GroupID, MaxGroupID))
	}
	if err != nil {
		return err
	}
	return c.call(ctx, recentContactDelete, e, nil)
}
