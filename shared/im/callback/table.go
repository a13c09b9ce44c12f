package callback

import "unicode/utf8"

// kind is when a callback comes: before something, to be allowed, or after it.
type kind int

const (
	after kind = iota
	before
)

type entry struct {
	kind kind
	make func() Event
	// nameless bodies carry no CallbackCommand; the query alone names them.
	nameless bool
}

func entryOf[T any, P interface {
	*T
	Event
}](k kind,
) entry {
	return entry{kind: k, make: func() Event { return P(new(T)) }}
}

// table is every callback of the manual's list (1047/34355, 269/1523) by its
// wire name. Everything else about commands is derived from it.
var table = map[string]entry{
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
	"Group.CallbackOnDailyGroupQuotaAlarm":  entryOf[Unknown](after),
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

	"Push.OfflinePush":                 {kind: after, make: func() Event { return new(OfflinePush) }, nameless: true},
	"Push.AllMemberPush":               {kind: after, make: func() Event { return new(Unknown) }, nameless: true},
	"Alert.RequestOverLimit":           entryOf[Unknown](after),
	"ContentCallback.ResultNotify":     entryOf[Unknown](after),
	"Chatbot.OnC2CSignalMessage":       entryOf[Unknown](after),
	"Follow.CallbackAfterFollowAdd":    entryOf[Unknown](after),
	"Follow.CallbackAfterFollowDelete": entryOf[Unknown](after),
}

func newEvent(command string) Event {
	if t, known := table[command]; known {
		return t.make()
	}
	return new(Unknown)
}

// shown is a command as it may appear in a log: those of the table as they are,
// anything else only as far as it is short and plain.
func shown(command string) string {
	if _, known := table[command]; known {
		return command
	}
	if len(command) > 64 || !utf8.ValidString(command) {
		return "(unknown)"
	}
	for _, r := range command {
		if r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "(unknown)"
		}
	}
	return command
}
