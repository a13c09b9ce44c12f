// Package moderation judges messages. Its [Filter] gives a verdict on every message
// before delivery, first by a word list, then by an external checker, and [Names]
// masks the names of groups and users.
//
// This file has the rule's ports: the list in force (package lists), the queue of
// messages for review (package review), an external checker (package tms), and IM's
// friend check.
package moderation

import (
	"context"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// Lists returns the word list that judges a conversation.
type Lists interface {
	// For returns the list for a group, or for a one-to-one message where
	// groupID is "". It is never nil, does not fail, and answers from memory or
	// within a fraction of the callback's time.
	For(ctx context.Context, groupID string) *wordlist.List
}

// Fixed is one list for all conversations.
func Fixed(list *wordlist.List) Lists { return fixed{list} }

type fixed struct{ list *wordlist.List }

func (f fixed) For(context.Context, string) *wordlist.List { return f.list }

// Holder keeps messages for review.
type Holder interface {
	// Hold keeps a message for a moderator. Holding the same ID twice is a no-op.
	// Anybody who saw a callback's URL can replay it for a minute with another body,
	// so a held message must have no effect but a moderator's decision.
	Hold(ctx context.Context, h Held) error
}

// Held is a message held for review.
type Held struct {
	ID string // of this message alone, 32 hexadecimal digits
	At time.Time

	From      string
	To        string // one-to-one
	GroupID   string
	GroupType im.GroupType
	TopicID   string

	MsgBody         im.MsgBody
	CloudCustomData string
	MsgPriority     string // of a group message
	OnlineOnly      bool

	Reasons []Reason
}

// Reason is a reason for a verdict.
type Reason struct {
	Category string `json:"category"` // of the rule, or the checker's label
	Severity int    `json:"severity"` // 1 to 5; of a checker's opinion 0
	Rule     string `json:"rule"`     // the word as the rule set has it; "" for a checker's opinion
}

// Explanation tells the callbacks' observer the reasons for a verdict. It has words of
// the rule set and no text of the message.
type Explanation struct {
	Action  wordlist.Action `json:"action"` // of the severest rule, in the message's scope
	Reasons []Reason        `json:"reasons"`
	List    string          `json:"list"` // version of the rule set
}

// Opinion is a checker's verdict on a text, in order of severity.
type Opinion int

// The opinions.
const (
	NoOpinion Opinion = iota // the checker cannot judge, or not yet
	Pass                     // no objection
	Suspect                  // a person should look
	Block                    // the text may not be shown
)

// Checker is an external service that judges texts.
type Checker interface {
	// Check returns an opinion on a text and a label for the reason. It returns
	// NoOpinion for a text it cannot judge, such as one in an unknown language. It
	// is called once for each message and must return when ctx ends.
	Check(ctx context.Context, t Text) (o Opinion, label string, err error)
}

// Text is a text for a checker.
type Text struct {
	ID      string // of the message, 32 hexadecimal digits
	From    string // UserID
	GroupID string // "" in a one-to-one chat
	Text    string // all texts of the message, a line each
}

// Striker gives senders of refused messages strikes without a moderator.
type Striker interface {
	// Strike records an offence, deduplicated by its MessageID. Anybody who saw a
	// callback's URL can replay it for a minute with another body; therefore these
	// strikes are off by default, and a moderator can forgive them.
	Strike(ctx context.Context, o Offence) error
}

// Offence is a message that was refused or dropped.
type Offence struct {
	MessageID string // 32 hexadecimal digits
	UserID    string // of the sender
	Severity  int    // of the severest rule that the message hit, 1 to 5
	Category  string // of that rule
}

// Friends returns whether two users are friends.
type Friends interface {
	// AreFriends reports whether each of two users has the other as a friend.
	AreFriends(ctx context.Context, a, b string) (bool, error)
}
