// Package moderation decides what may be said. Its Filter gives a verdict on
// every message before it is delivered, by a word list first and a checker
// elsewhere second, and looks after the names of groups and people.
//
// What the rule needs of others stands here: which list is in force (package
// lists), where messages wait for a person (package review), who else has an
// opinion (package tms), and whether two people are friends.
package moderation

import (
	"context"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// Lists says which word list judges a conversation.
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

// Holder keeps messages that wait for a person.
type Holder interface {
	// Hold keeps a message for a moderator. Holding the same ID twice is a no-op.
	// Anybody who saw a callback's URL can replay it for a minute with another
	// body, so nothing but a moderator's decision may follow from a held message.
	Hold(ctx context.Context, h Held) error
}

// Held is a message that waits for a person.
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

// Reason is why a message is judged as it is.
type Reason struct {
	Category string `json:"category"` // of the rule, or the checker's label
	Severity int    `json:"severity"` // 1 to 5; of a checker's opinion 0
	Rule     string `json:"rule"`     // the word as the rule set has it; "" for a checker's opinion
}

// Explanation tells the callbacks' observer why the filter decided. It holds words
// of the rule set and nothing that was written.
type Explanation struct {
	Action  wordlist.Action `json:"action"` // of the severest rule, in the message's scope
	Reasons []Reason        `json:"reasons"`
	List    string          `json:"list"` // version of the rule set
}

// Opinion is a checker's verdict on a text, in order of severity.
type Opinion int

// The opinions.
const (
	NoOpinion Opinion = iota // it does not know, or not yet
	Pass                     // nothing against it
	Suspect                  // a person should look
	Block                    // it may not be shown
)

// Checker judges texts elsewhere.
type Checker interface {
	// Check returns an opinion on a text and a label for the reason. It returns
	// NoOpinion for a text it cannot judge, such as one in an unknown language. It
	// is called once for each message and must return when ctx ends.
	Check(ctx context.Context, t Text) (o Opinion, label string, err error)
}

// Text is what a checker is asked about.
type Text struct {
	ID      string // of the message, 32 hexadecimal digits
	From    string // UserID
	GroupID string // "" in a one-to-one chat
	Text    string // all texts of the message, a line each
}

// Striker gives senders of refused messages strikes without a moderator.
type Striker interface {
	// Strike records an offence, deduplicated by its MessageID. Anybody who saw a
	// callback's URL can replay it for a minute with another body; therefore an
	// operator switches strikes on by a setting, and a moderator can forgive them.
	Strike(ctx context.Context, o Offence) error
}

// Offence is a message that was refused or dropped.
type Offence struct {
	MessageID string // 32 hexadecimal digits
	UserID    string // of the sender
	Severity  int    // of the severest rule that the message hit, 1 to 5
	Category  string // of that rule
}

// Friends knows who is whose friend.
type Friends interface {
	// AreFriends reports whether each of two users has the other as a friend.
	AreFriends(ctx context.Context, a, b string) (bool, error)
}
