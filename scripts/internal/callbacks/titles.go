package callbacks

// titles are what the callbacks are called in IM's documentation and console
// (1047/34355).
var titles = map[string]string{
	"State.StateChange": "Status change: a user logs in, logs out or loses the connection",

	"C2C.CallbackBeforeSendMsg":        "Before sending a one-to-one message",
	"C2C.CallbackAfterSendMsg":         "After sending a one-to-one message",
	"C2C.CallbackAfterMsgReport":       "After a one-to-one message is read",
	"C2C.CallbackAfterMsgWithDraw":     "After recalling a one-to-one message",
	"C2C.CallbackAfterC2CMsgExtension": "After a one-to-one message's extension changes",

	"Group.CallbackBeforeCreateGroup":       "Before creating a group",
	"Group.CallbackAfterCreateGroup":        "After creating a group",
	"Group.CallbackBeforeApplyJoinGroup":    "Before applying to join a group",
	"Group.CallbackBeforeInviteJoinGroup":   "Before inviting others to a group",
	"Group.CallbackAfterNewMemberJoin":      "After users join a group",
	"Group.CallbackAfterMemberExit":         "After users leave a group",
	"Group.CallbackBeforeSendMsg":           "Before sending a group message",
	"Group.CallbackAfterSendMsg":            "After sending a group message",
	"Group.CallbackSendMsgException":        "Failure to send a group message",
	"Group.CallbackAfterRecallMsg":          "After recalling a group message",
	"Group.CallbackAfterGroupFull":          "After a group is full",
	"Group.CallbackAfterGroupDestroyed":     "After deleting a group",
	"Group.CallbackAfterGroupInfoChanged":   "After group information changes",
	"Group.CallbackOnMemberStateChange":     "Status change of live room members",
	"Group.CallbackAfterMemberFieldChanged": "After a group member's custom fields change",
	"Group.CallbackAfterGroupAttrChanged":   "After group attributes change",
	"Group.CallbackAfterReadReceipt":        "After a group message's read receipt",
	"Group.CallbackAfterChangeGroupOwner":   "After the group owner changes",
	"Group.CallbackAfterGroupMsgExtension":  "After a group message's extension changes",
	"Group.CallbackOnDailyGroupQuotaAlarm":  "Alarm of the daily quota of groups",
	"Group.CallbackBeforeCreateTopic":       "Before creating a topic",
	"Group.CallbackAfterCreateTopic":        "After creating a topic",
	"Group.CallbackAfterTopicDestroyed":     "After deleting a topic",
	"Group.CallbackAfterTopicInfoChanged":   "After topic information changes",

	"Sns.CallbackPrevFriendAdd":      "Before adding friends",
	"Sns.CallbackPrevFriendResponse": "Before responding to a friend request",
	"Sns.CallbackFriendAdd":          "After adding friends",
	"Sns.CallbackFriendDelete":       "After deleting friends",
	"Sns.CallbackBlackListAdd":       "After adding users to a blocklist",
	"Sns.CallbackBlackListDelete":    "After removing users from a blocklist",
	"Profile.CallbackPortraitSet":    "After a profile changes",

	"Bot.OnC2CMessage":   "After a one-to-one message to a chatbot",
	"Bot.OnGroupMessage": "After a group message that mentions a chatbot",

	"Push.OfflinePush":                 "Offline push",
	"Push.AllMemberPush":               "Push to all or tagged users",
	"Alert.RequestOverLimit":           "Alarm of calls over a rate limit",
	"ContentCallback.ResultNotify":     "Result of content moderation",
	"Chatbot.OnC2CSignalMessage":       "One-to-one signal of a chatbot",
	"Follow.CallbackAfterFollowAdd":    "After following a user",
	"Follow.CallbackAfterFollowDelete": "After unfollowing a user",
}
