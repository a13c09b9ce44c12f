package callback

// Callbacks whose bodies IM has not published: name and raw body.

// Unknown is a callback of a command that is not in the table. It is
// acknowledged and counted; no rule can want it.
type Unknown struct{ Base }

func (*Unknown) happened() {}

// GroupOnDailyQuotaAlarm warns that the day's quota of groups runs out.
// Group.CallbackOnDailyGroupQuotaAlarm (1047/57455).
type GroupOnDailyQuotaAlarm struct{ Base }

func (*GroupOnDailyQuotaAlarm) happened() {}

// AlertRequestOverLimit warns that requests exceed a limit.
// Alert.RequestOverLimit (269/1523).
type AlertRequestOverLimit struct{ Base }

func (*AlertRequestOverLimit) happened() {}

// ContentResultNotify brings a result of IM's own moderation.
// ContentCallback.ResultNotify (269/1523).
type ContentResultNotify struct{ Base }

func (*ContentResultNotify) happened() {}

// ChatbotOnC2CSignalMessage tells of a signal that a user sent to a robot.
// Chatbot.OnC2CSignalMessage (269/1523).
type ChatbotOnC2CSignalMessage struct{ Base }

func (*ChatbotOnC2CSignalMessage) happened() {}

// FollowAfterAdd tells that a user follows another.
// Follow.CallbackAfterFollowAdd (1047/70355).
type FollowAfterAdd struct{ Base }

func (*FollowAfterAdd) happened() {}

// FollowAfterDelete tells that a user follows another no longer.
// Follow.CallbackAfterFollowDelete (1047/70356).
type FollowAfterDelete struct{ Base }

func (*FollowAfterDelete) happened() {}

// AllMemberPush reports the result of a push to all members. Like
// [OfflinePush], its body need not name the command. Push.AllMemberPush.
type AllMemberPush struct{ Base }

func (*AllMemberPush) happened() {}
