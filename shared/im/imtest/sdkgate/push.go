package sdkgate

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Kinds of entries in a push and in a room's long poll.
const (
	eventGroupMessage = 3
	eventTip          = 4
	eventNotice       = 5
	eventProfile      = 6
	eventC2CMessage   = 9
	eventC2CNotice    = 10
	eventMention      = 12
	eventC2CReceipts  = 15
	eventRoomRecall   = 20
	eventReaction     = 25
	eventExtension    = 28 // 26 is of topics
	eventStatus       = 27
)

// Kinds of group tips (MsgBody.OpType).
const (
	tipJoined = 1 + iota
	tipQuit
	tipKicked
	tipAdmin
	tipNotAdmin
	tipProfile
	tipMember
)

// Kinds of system notices (MsgBody.ReportType).
const (
	noticeApplied   = 1
	noticeAccepted  = 2
	noticeRefused   = 3
	noticeKicked    = 4
	noticeDismissed = 5
	noticeInvited   = 7
	noticeRecalled  = 11
	noticeOwnRead   = 15
	noticeBanned    = 21
	noticeReceipts  = 22
	noticeCustom    = 255
)

// Kinds of KickoutMsgNotify.
const (
	kickedByLogin  = 1
	kickedByDevice = 2
	kickedByREST   = 3
)

// tell passes an event of the device on to the page: what concerns an AVChatRoom by
// its long poll, everything else by a push.
func (s *session) tell(e *imtest.Event) {
	switch e.Kind {
	case "message", "modified":
		if e.Kind == "message" && s.own(e.Message) {
			return
		}
		s.tellMessage(e.Message)
	case "broadcast":
		if room := s.room(e.GroupID); room != nil {
			room.broadcast(encoded(with(s.groupMessage(e.Message), "Event", eventGroupMessage)))
		}
	case "recalled":
		s.tellRecalled(e.Message)
	case "notification":
		s.notice(e.GroupID, noticeCustom, "", fields{"UserDefinedField": e.Notice})
	case "kickedOffline":
		s.finish()
		kind := kickedByLogin
		switch e.Reason {
		case "platform":
			kind = kickedByDevice
		case "rest":
			kind = kickedByREST
		}
		s.push(fields{"Event": eventC2CNotice, "C2cNotifyMsgArray": []fields{{
			"From_Account": s.userID, "To_Account": s.userID, "KickoutMsgNotify": fields{"KickType": kind, "NewInstInfo": fields{}},
		}}})
	case "left":
		kind := noticeKicked
		if e.Reason == "banned" {
			kind = noticeBanned
		}
		s.leaveRoom(e.GroupID)
		s.pushNotice(e.GroupID, kind, e.Tip.Operator, nil)
	case "destroyed":
		s.notice(e.GroupID, noticeDismissed, "", nil)
		s.leaveRoom(e.GroupID)
	case "status":
		s.push(fields{"Event": eventStatus, "UserStatusList": []fields{statusFields(e.UserID, *e.Status)}})
	case "tip":
		s.tellTip(e.GroupID, e.Tip)
	}
}

func (s *session) tellMessage(m *imtest.Message) {
	push := s.push
	if m.Online {
		push = s.pushOnce
	}
	switch room := s.room(m.GroupID); {
	case m.GroupID == "":
		push(fields{"Event": eventC2CMessage, "C2cMsgArray": []fields{s.c2cMessage(m)}})
	case room != nil:
		room.add(s.gate.written.of(m, func() fields { return with(s.groupMessage(m), "Event", eventGroupMessage) }))
	default:
		push(fields{"Event": eventGroupMessage, "GroupMsgArray": []fields{s.groupMessage(m)}})
		if flags := s.mentioned(m); flags != nil {
			at := with(fields{"From_Account": m.From, "GroupId": m.GroupID, "MsgSeq": m.Seq, "groupAtType": flags}, topicOf(m)...)
			s.push(fields{"Event": eventMention, "GroupTips": []fields{{"groupAtTips": at, "MsgRandom": m.Random, "ClientSeq": m.Seq}}})
		}
	}
}

// mentioned is how a message mentions the page's user: 1 by name, 2 with everybody;
// nil for not at all.
func (s *session) mentioned(m *imtest.Message) (flags []int) {
	if m.From == s.userID {
		return nil
	}
	if slices.Contains(m.Mentions, s.userID) {
		flags = append(flags, 1)
	}
	if slices.Contains(m.Mentions, "@all") {
		flags = append(flags, 2)
	}
	return flags
}

// topicOf is what names a message's topic.
func topicOf(m *imtest.Message) []any {
	if m.TopicID == "" {
		return nil
	}
	return []any{"TopicId", m.TopicID}
}

func (s *session) tellRecalled(m *imtest.Message) {
	if room := s.room(m.GroupID); room != nil {
		item := fields{
			"GroupId": m.GroupID, "MsgSeq": m.Seq, "MsgRandom": m.Random, "TinyId": tinyIDOf(m.From), "MsgTimeStamp": m.Time.Unix(),
			"MsgClientTime": clientTime(m),
		}
		nick, face := s.client.App().Face(m.From)
		tip := with(s.groupTip(m.GroupID, fields{"RevokeMsgList": []fields{item}}),
			"Event", eventRoomRecall, "From_Account", m.From, "revokerInfo", fields{"UserId": m.From, "NickName": nick, "FaceUrl": face})
		room.add(encoded(tip))
		return
	}
	if m.GroupID != "" {
		s.notice(m.GroupID, noticeRecalled, "", fields{"revokedInfos": []fields{with(fields{"MsgSeq": m.Seq, "GroupId": m.GroupID}, topicOf(m)...)}})
		return
	}
	s.push(fields{"Event": eventC2CNotice, "C2cNotifyMsgArray": []fields{{
		"From_Account": m.From, "To_Account": m.To, "WithdrawC2cMsgNotify": fields{"revokedInfos": []fields{{
			"From_Account": m.From, "To_Account": m.To, "MsgSeq": m.Seq, "MsgRandom": m.Random, "MsgTimeStamp": m.Time.Unix(), "MsgClientTime": clientTime(m),
		}}},
	}}})
}

func (s *session) tellTip(groupID string, t *imtest.Tip) {
	body := fields{"Operator_Account": t.Operator, "List_Account": t.Users, "MemberNum": t.Members, "MsgMemberExtraInfo": s.faces(t.Users)}
	switch t.What {
	case "joined":
		s.tip(groupID, eventTip, with(body, "OpType", tipJoined))
	case "quit":
		s.tip(groupID, eventTip, with(body, "OpType", tipQuit))
	case "kicked":
		s.tip(groupID, eventTip, with(body, "OpType", tipKicked))
	case "admin":
		s.tip(groupID, eventTip, with(body, "OpType", tipAdmin))
	case "notAdmin":
		s.tip(groupID, eventTip, with(body, "OpType", tipNotAdmin))
	case "muted", "unmuted":
		members := make([]fields, len(t.Users))
		for i, id := range t.Users {
			members[i] = fields{"User_Account": id, "UserId": id, "ShutupTime": t.Seconds, "ShutUpTime": t.Seconds}
		}
		s.tip(groupID, eventTip, with(body, "OpType", tipMember, "MsgMemberInfo", members))
	case "profile", "owner":
		s.tip(groupID, eventProfile, with(body, "OpType", tipProfile, "MsgGroupNewInfo", newInfo(t)))
	case "attributes":
		s.tip(groupID, eventProfile, with(body, "OpType", tipProfile, "MsgGroupNewInfo", fields{"GroupAttrOption": fields{}}))
	case "counters":
		s.tellCounters(groupID)
	case "applied":
		s.pushNotice(groupID, noticeApplied, t.Operator, nil)
	case "accepted":
		s.pushNotice(groupID, noticeAccepted, t.Operator, nil)
	case "refused":
		s.pushNotice(groupID, noticeRefused, t.Operator, nil)
	case "receipts":
		s.tellReceipts(groupID, t)
	case "reaction":
		s.tellReaction(t)
	case "extensions":
		s.tellExtensions(t)
	case "invited":
		s.pushNotice(groupID, noticeInvited, t.Operator, nil)
	case "ownRead":
		s.tellOwnRead(groupID, t)
	case "read":
		s.push(fields{"Event": eventC2CNotice, "C2cNotifyMsgArray": []fields{{
			"From_Account": t.Operator, "To_Account": t.Operator, "C2cReadedReceipt": fields{
				"To_Account": t.Operator, "UinPairReadArray": []fields{{"LastReadTime": t.Until.Unix()}},
			},
		}}})
	}
}

// tellOwnRead tells what the user has read on another page.
func (s *session) tellOwnRead(groupID string, t *imtest.Tip) {
	if groupID == "" {
		s.push(fields{"Event": eventC2CNotice, "C2cNotifyMsgArray": []fields{{
			"From_Account": s.userID, "To_Account": s.userID, "ReadC2cMsgNotify": fields{
				"UinPairReadArray": []fields{{"From_Account": t.Users[0], "LastReadTime": t.Until.Unix()}},
			},
		}}})
		return
	}
	read := fields{"GroupId": groupID, "LastReadMsgSeq": t.Seq}
	if t.TopicID != "" {
		read["TopicId"] = t.TopicID
	}
	s.pushNotice(groupID, noticeOwnRead, s.userID, fields{"GroupReadInfoArray": []fields{read}})
}

// tellCounters tells all counters of a group.
func (s *session) tellCounters(groupID string) {
	body, _ := json.Marshal(fields{"GroupId": groupID})
	answer, err := s.client.Do("group_open_http_svc/get_group_counter", body)
	var out struct{ GroupCounter []fields }
	if err != nil || json.Unmarshal(answer, &out) != nil {
		return // the user has left
	}
	s.tip(groupID, eventProfile, fields{"OpType": tipProfile, "MsgGroupNewInfo": fields{}, "groupCounterInfo": []fields{{
		"type": 0, "groupCounterSeq": s.gate.emulator.Clock().Now().UnixMilli(), "GroupCounter": out.GroupCounter,
	}}})
}

// newInfo is what changed of a group, by the SDK's names.
func newInfo(t *imtest.Tip) fields {
	info := fields{}
	for name, value := range t.Changed {
		switch name {
		case "Name":
			info["GroupName"] = value
		case "FaceUrl":
			info["GroupFaceUrl"] = value
		case "Notification":
			info["GroupNotification"] = value
		case "Introduction":
			info["GroupIntroduction"] = value
		case "MuteAllMember":
			info["ShutUpAllMember"] = value
		}
	}
	if t.What == "owner" {
		info["Owner_Account"] = t.Users[0]
	}
	return info
}

// tip tells of a group: in an AVChatRoom by the long poll.
func (s *session) tip(groupID string, event int, body fields) {
	entry := s.groupTip(groupID, body)
	if room := s.room(groupID); room != nil {
		if num := s.client.App().Brief(groupID).Online; num > 0 {
			body["onlineMemberInfo"] = fields{"OnlineMemberNum": num, "ExpireTime": 10}
		}
		room.add(encoded(with(entry, "Event", event)))
		return
	}
	s.push(fields{"Event": event, "GroupTips": []fields{entry}})
}

// notice is a system notice of a group: in an AVChatRoom by the long poll.
func (s *session) notice(groupID string, kind int, operator string, more fields) {
	if room := s.room(groupID); room != nil {
		room.add(encoded(with(s.groupNotice(groupID, kind, operator, more), "Event", eventNotice)))
		return
	}
	s.pushNotice(groupID, kind, operator, more)
}

func (s *session) pushNotice(groupID string, kind int, operator string, more fields) {
	s.push(fields{"Event": eventNotice, "GroupTips": []fields{s.groupNotice(groupID, kind, operator, more)}})
}

func (s *session) groupNotice(groupID string, kind int, operator string, more fields) fields {
	if operator == "" {
		operator = "administrator"
	}
	body := fields{"ReportType": kind, "Operator_Account": operator, "MsgKey": uniqueNumber(), "UserDefinedField": "", "RemarkInfo": ""}
	for name, value := range more {
		body[name] = value
	}
	return with(s.groupTip(groupID, body), "To_Account", s.userID)
}

// groupTip is what tips and notices have in common.
func (s *session) groupTip(groupID string, body fields) fields {
	from, _ := body["Operator_Account"].(string)
	return fields{
		"From_Account": from, "GroupId": groupID, "ToGroupId": groupID, "MsgSeq": uniqueNumber(), "MsgRandom": uniqueNumber(),
		"MsgTimeStamp": s.now(), "GroupInfo": s.groupInfo(groupID, from), "MsgBody": body,
	}
}

func (s *session) now() int64 { return s.gate.emulator.Clock().Now().Truncate(time.Second).Unix() }
