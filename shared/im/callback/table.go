package callback

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// kind is when a callback comes: before something, to be allowed, or after it.
type kind int

const (
	after kind = iota
	before
)

type entry struct {
	kind    kind
	make    func() Event
	readers func() map[string]reader
	// nameless bodies may lack CallbackCommand; the query alone names them.
	nameless bool
}

func entryOf[T any, P interface {
	*T
	Event
}](k kind,
) entry {
	return entry{
		kind:    k,
		make:    func() Event { return P(new(T)) },
		readers: sync.OnceValue(func() map[string]reader { return readersOf(reflect.TypeFor[T]()) }),
	}
}

func (t entry) withoutName() entry {
	t.nameless = true
	return t
}

var (
	tableOnce sync.Once
	tableMade map[string]entry
	unknown   entry
)

// table is every callback of the manual's list (1047/34355, 269/1523) by its
// wire name. Everything else about commands is derived from it.
//
// It is made when it is first asked for: as a variable of the package it would be
// linked, and made at the start, by functions that hear no callbacks.
func table() map[string]entry {
	tableOnce.Do(func() { tableMade, unknown = makeTable(), entryOf[Unknown](after) })
	return tableMade
}

func makeTable() map[string]entry {
	return map[string]entry{
		"State.StateChange": entryOf[StateChange](after),

		"C2C.CallbackBeforeSendMsg":        entryOf[C2CBeforeSendMsg](before),
		"C2C.CallbackAfterSendMsg":         entryOf[C2CAfterSendMsg](after),
		"C2C.CallbackAfterMsgReport":       entryOf[C2CAfterMsgReport](after),
		"C2C.CallbackAfterMsgWithDraw":     entryOf[C2CAfterMsgWithDraw](after),
		"C2C.CallbackAfterC2CMsgExtension": entryOf[C2CAfterMsgExtension](after),

		"Group.CallbackBeforeCreateGroup":       entryOf[GroupBeforeCreate](before),
		"Group.CallbackAfterCreateGroup":        entryOf[GroupAfterCreate](after),
		"Group.CallbackBeforeApplyJoinGroup":    entryOf[GroupBeforeApplyJoin](before),
		"Group.CallbackBeforeInviteJoinGroup":   entryOf[GroupBeforeInviteJoin](before),
		"Group.CallbackAfterNewMemberJoin":      entryOf[GroupAfterNewMemberJoin](after),
		"Group.CallbackAfterMemberExit":         entryOf[GroupAfterMemberExit](after),
		"Group.CallbackBeforeSendMsg":           entryOf[GroupBeforeSendMsg](before),
		"Group.CallbackAfterSendMsg":            entryOf[GroupAfterSendMsg](after),
		"Group.CallbackSendMsgException":        entryOf[GroupSendMsgException](after),
		"Group.CallbackAfterRecallMsg":          entryOf[GroupAfterRecallMsg](after),
		"Group.CallbackAfterGroupFull":          entryOf[GroupAfterFull](after),
		"Group.CallbackAfterGroupDestroyed":     entryOf[GroupAfterDestroyed](after),
		"Group.CallbackAfterGroupInfoChanged":   entryOf[GroupAfterInfoChanged](after),
		"Group.CallbackOnMemberStateChange":     entryOf[GroupOnMemberStateChange](after),
		"Group.CallbackAfterMemberFieldChanged": entryOf[GroupAfterMemberFieldChanged](after),
		"Group.CallbackAfterGroupAttrChanged":   entryOf[GroupAfterAttrChanged](after),
		"Group.CallbackAfterReadReceipt":        entryOf[GroupAfterReadReceipt](after),
		"Group.CallbackAfterChangeGroupOwner":   entryOf[GroupAfterChangeOwner](after),
		"Group.CallbackAfterGroupMsgExtension":  entryOf[GroupAfterMsgExtension](after),
		"Group.CallbackOnDailyGroupQuotaAlarm":  entryOf[GroupOnDailyQuotaAlarm](after),
		"Group.CallbackBeforeCreateTopic":       entryOf[TopicBeforeCreate](before),
		"Group.CallbackAfterCreateTopic":        entryOf[TopicAfterCreate](after),
		"Group.CallbackAfterTopicDestroyed":     entryOf[TopicAfterDestroyed](after),
		"Group.CallbackAfterTopicInfoChanged":   entryOf[TopicAfterInfoChanged](after),

		"Sns.CallbackPrevFriendAdd":      entryOf[SnsPrevFriendAdd](before),
		"Sns.CallbackPrevFriendResponse": entryOf[SnsPrevFriendResponse](before),
		"Sns.CallbackFriendAdd":          entryOf[SnsFriendAdd](after),
		"Sns.CallbackFriendDelete":       entryOf[SnsFriendDelete](after),
		"Sns.CallbackBlackListAdd":       entryOf[SnsBlackListAdd](after),
		"Sns.CallbackBlackListDelete":    entryOf[SnsBlackListDelete](after),
		"Profile.CallbackPortraitSet":    entryOf[ProfilePortraitSet](after),

		"Bot.OnC2CMessage":   entryOf[BotOnC2CMessage](after),
		"Bot.OnGroupMessage": entryOf[BotOnGroupMessage](after),

		"Push.OfflinePush":                 entryOf[OfflinePush](after).withoutName(),
		"Push.AllMemberPush":               entryOf[AllMemberPush](after).withoutName(),
		"Alert.RequestOverLimit":           entryOf[AlertRequestOverLimit](after),
		"ContentCallback.ResultNotify":     entryOf[ContentResultNotify](after),
		"Chatbot.OnC2CSignalMessage":       entryOf[ChatbotOnC2CSignalMessage](after),
		"Follow.CallbackAfterFollowAdd":    entryOf[FollowAfterAdd](after),
		"Follow.CallbackAfterFollowDelete": entryOf[FollowAfterDelete](after),
	}
}

func lookUp(command string) entry {
	if t, known := table()[command]; known {
		return t
	}
	return unknown
}

// commandOf returns the wire name of an event type. It panics for a type that
// is not exactly one command's, such as an interface: a mistake of the program,
// found at its start.
func commandOf[E Event]() string {
	var names []string
	for name, t := range table() {
		if _, is := t.make().(E); is {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		panic(fmt.Sprintf("callback: events of type %s belong to %d commands, not one", reflect.TypeFor[E](), len(names)))
	}
	return names[0]
}

// printable is a command that is not ours as it may appear in a log.
func printable(command string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
	if len(command) > 64 || strings.Trim(command, letters) != "" {
		return "(not printable)"
	}
	return command
}
