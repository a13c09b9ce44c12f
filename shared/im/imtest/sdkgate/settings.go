package sdkgate

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// What users set for themselves, status, receipts, pinned messages, topics and
// applications: the SDK's commands on one side, the emulator's Client on the other.

// contactItem names a conversation in a request: a user's, or a group's by either
// spelling.
type contactItem struct {
	Type       int
	To_Account string //nolint:revive // IM's spelling
	ToGroupId  string //nolint:revive // IM's spelling
	ToGroupid  string
	GroupId    string //nolint:revive // IM's spelling
}

const groupContact = 2

// names returns the user or the group of the conversation.
func (c contactItem) names() (userID, groupID string) {
	if c.Type != groupContact {
		return c.To_Account, ""
	}
	for _, id := range []string{c.ToGroupId, c.ToGroupid, c.GroupId, c.To_Account} {
		if id != "" {
			return "", id
		}
	}
	return "", ""
}

func (c contactItem) fields() fields {
	userID, groupID := c.names()
	if groupID != "" {
		return fields{"Type": groupContact, "ToGroupId": groupID, "GroupId": groupID}
	}
	return fields{"Type": 1, "To_Account": userID}
}

const unpin = 2 // RecentContactItem's OperationType; 1 pins

// pinConversations keeps conversations at the top of the list, or no longer.
func pinConversations(r *request) (fields, error) {
	var in struct {
		OperationType     int
		RecentContactItem []contactItem
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	now := r.gate.emulator.Clock().Now()
	for _, item := range in.RecentContactItem {
		userID, groupID := item.names()
		if err := r.client.Set(userID, groupID, func(s *imtest.ConversationSetting) {
			s.Pinned = now
			if in.OperationType == unpin {
				s.Pinned = time.Time{}
			}
		}); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// Kinds of MarkItem.OptType.
const (
	optMarks  = 1
	optCustom = 2
	optBoth   = 3
)

// markConversations sets standard marks and custom data.
func markConversations(r *request) (fields, error) {
	var in struct {
		MarkItem []struct {
			OptType            int
			ContactItem        contactItem
			SetMark, ClearMark []int
			CustomMark         string
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	results := []fields{}
	for _, item := range in.MarkItem {
		userID, groupID := item.ContactItem.names()
		err := r.client.Set(userID, groupID, func(s *imtest.ConversationSetting) {
			if item.OptType == optMarks || item.OptType == optBoth {
				s.Marks = append(slices.DeleteFunc(s.Marks, func(m int) bool { return slices.Contains(item.ClearMark, m) }), item.SetMark...)
			}
			if item.OptType == optCustom || item.OptType == optBoth {
				s.Custom = item.CustomMark
			}
		})
		results = append(results, fields{"ResultCode": imtest.Code(err), "ResultInfo": infoOf(err), "ContactItem": item.ContactItem.fields()})
	}
	return ok(fields{"ResultItem": results}), nil
}

// Conversation groups.

// markBits writes standard marks as the SDK reads them: binary digits, mark 0 last.
func markBits(marks []int) string {
	if len(marks) == 0 {
		return ""
	}
	bits := bytes.Repeat([]byte("0"), slices.Max(marks)+1)
	for _, m := range marks {
		bits[len(bits)-1-m] = '1'
	}
	return string(bits)
}

// groupItem writes a conversation group.
func groupItem(g imtest.ConversationGroup) fields {
	return fields{"GroupId": strconv.Itoa(g.ID), "GroupName": g.Name}
}

// contactFields writes what the user set for a conversation.
func (r *request) contactFields(userID, groupID string, s imtest.ConversationSetting) fields {
	ids := []string{}
	for _, g := range r.client.ConversationGroups() {
		if slices.Contains(s.Groups, g.Name) {
			ids = append(ids, strconv.Itoa(g.ID))
		}
	}
	item := fields{"Type": 1, "To_Account": userID}
	if groupID != "" {
		item = fields{"Type": groupContact, "ToGroupId": groupID}
	}
	return with(item, "StandardMark", markBits(s.Marks), "CustomMark", s.Custom, "ContactGroupId", ids)
}

// contactGroups lists conversation groups, and what is in them or marked.
func contactGroups(r *request) (fields, error) {
	items, groups := []fields{}, []fields{}
	r.client.Settings(func(userID, groupID string, s imtest.ConversationSetting) {
		items = append(items, r.contactFields(userID, groupID, s))
	})
	for _, g := range r.client.ConversationGroups() {
		groups = append(groups, groupItem(g))
	}
	return ok(fields{"CompleteFlag": 1, "NextStartIndex": 0, "ContactItem": items, "GroupItem": groups}), nil
}

// someContactGroups is contactGroups for the conversations that the page names.
func someContactGroups(r *request) (fields, error) {
	var in struct{ ContactItem []contactItem }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	items := []fields{}
	for _, c := range in.ContactItem {
		userID, groupID := c.names()
		items = append(items, r.contactFields(userID, groupID, r.client.Setting(userID, groupID)))
	}
	groups := []fields{}
	for _, g := range r.client.ConversationGroups() {
		groups = append(groups, groupItem(g))
	}
	return ok(fields{"ContactItem": items, "GroupItem": groups}), nil
}

// regroup puts a conversation into a conversation group, or takes it out.
func (r *request) regroup(c contactItem, name string, in bool) fields {
	userID, groupID := c.names()
	err := r.client.Set(userID, groupID, func(s *imtest.ConversationSetting) {
		s.Groups = slices.DeleteFunc(s.Groups, func(x string) bool { return x == name })
		if in {
			s.Groups = append(s.Groups, name)
		}
	})
	return fields{"ContactItem": c.fields(), "ResultCode": imtest.Code(err), "ResultInfo": infoOf(err)}
}

func createContactGroups(r *request) (fields, error) {
	var in struct {
		GroupContactItem []struct {
			GroupName   string
			ContactItem []contactItem
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	results := []fields{}
	for _, item := range in.GroupContactItem {
		g, err := r.client.NameConversationGroup("", item.GroupName)
		if err != nil {
			return nil, err
		}
		contacts := make([]fields, len(item.ContactItem))
		for i, c := range item.ContactItem {
			contacts[i] = r.regroup(c, g.Name, true)
		}
		results = append(results, fields{"GroupItem": groupItem(g), "ResultItem": contacts})
	}
	return ok(fields{"GroupResultItem": results}), nil
}

func deleteContactGroups(r *request) (fields, error) {
	var in struct{ GroupName []string }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	groups := []fields{}
	for _, name := range in.GroupName {
		if name == "" {
			continue
		}
		g, err := r.client.NameConversationGroup(name, "")
		if err != nil {
			return nil, err
		}
		groups = append(groups, groupItem(g))
	}
	return ok(fields{"GroupItem": groups}), nil
}

// Kinds of UpdateGroup.UpdateGroupType and of ContactOptType.
const (
	renameGroup = 1
	intoGroup   = 1
)

// updateContactGroup gives a conversation group another name, or changes what is in
// it.
func updateContactGroup(r *request) (fields, error) {
	var in struct {
		UpdateGroup struct {
			UpdateGroupType            int
			OldGroupName, NewGroupName string
			ContactUpdateItem          []struct {
				ContactOptType int
				ContactItem    contactItem
			}
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	u := in.UpdateGroup
	if u.UpdateGroupType == renameGroup {
		if u.OldGroupName == "" || u.NewGroupName == "" {
			return nil, &imtest.Error{Code: 50001, Info: "a conversation group has a name"}
		}
		g, err := r.client.NameConversationGroup(u.OldGroupName, u.NewGroupName)
		return ok(fields{"UpdateGroupResult": groupItem(g)}), err
	}
	results := make([]fields, len(u.ContactUpdateItem))
	for i, item := range u.ContactUpdateItem {
		results[i] = r.regroup(item.ContactItem, u.OldGroupName, item.ContactOptType == intoGroup)
	}
	return ok(fields{"UpdateGroupResult": fields{"ContactResultItem": results}}), nil
}

// reminders are the flags of ConversationSetting by the SDK's numbers.
var reminders = []string{"AcceptAndNotify", "Discard", "AcceptNotNotify"}

// remindC2C sets how the user is told of one-to-one messages.
func remindC2C(r *request) (fields, error) {
	var in struct {
		Peer_Account       []string //nolint:revive // IM's spelling
		Mute_Notifications int      //nolint:revive // IM's spelling
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if in.Mute_Notifications < 0 || in.Mute_Notifications >= len(reminders) {
		return nil, &imtest.Error{Code: 90001, Info: "Mute_Notifications is 0 to 2"}
	}
	failed := []fields{}
	for _, id := range in.Peer_Account {
		if err := r.client.Set(id, "", func(s *imtest.ConversationSetting) {
			s.Flag = reminders[in.Mute_Notifications]
			if in.Mute_Notifications == 0 {
				s.Flag = ""
			}
		}); err != nil {
			failed = append(failed, fields{"To_Account": id, "ErrorCode": imtest.Code(err), "ErrorInfo": infoOf(err)})
		}
	}
	return ok(fields{"errorList": failed}), nil
}

// remindersC2C tells the page what remindC2C kept.
func remindersC2C(r *request) (fields, error) {
	var in struct {
		Peer_Account []string //nolint:revive // IM's spelling
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	list := []fields{}
	for _, id := range in.Peer_Account {
		if n := slices.Index(reminders, r.client.Setting(id, "").Flag); n > 0 {
			list = append(list, fields{"Peer_Account": id, "MuteNotifications": n})
		}
	}
	if len(in.Peer_Account) == 0 { // tim-js-sdk asks once, for all
		r.client.Settings(func(userID, _ string, s imtest.ConversationSetting) {
			if n := slices.Index(reminders, s.Flag); userID != "" && n > 0 {
				list = append(list, fields{"Peer_Account": userID, "MuteNotifications": n})
			}
		})
	}
	return ok(fields{"MuteNotificationsList": list}), nil
}

// clearMessages takes everything off the user's own history of a conversation.
func clearMessages(r *request) (fields, error) {
	var in contactItem
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return done, r.client.Clear(in.names())
}

// hideC2C and hideGroup take messages off the user's own history.
func hideC2C(r *request) (fields, error) {
	var in struct {
		To_Account string //nolint:revive // IM's spelling
		MsgKeyList []string
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return done, r.client.HideFrom(in.To_Account, in.MsgKeyList...)
}

func hideGroup(r *request) (fields, error) {
	var in struct {
		groupRequest
		Seqs []numberText
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	seqs := make([]uint32, len(in.Seqs))
	for i, n := range in.Seqs {
		seqs[i] = uint32(n)
	}
	return done, r.client.Hide(in.GroupId, in.TopicId, seqs...)
}

// setStatus sets the user's own text.
func setStatus(r *request) (fields, error) {
	var in struct{ CustomStatus string }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return done, r.client.SetStatus(in.CustomStatus)
}

type toAccounts struct {
	To_Account []string //nolint:revive // IM's spelling
}

// noSuchUser is the code of a user whose status nobody knows.
const noSuchUser = 70107

func userStatus(r *request) (fields, error) {
	var in toAccounts
	if err := r.read(&in); err != nil {
		return nil, err
	}
	found, unknown := []fields{}, []fields{}
	for _, id := range in.To_Account {
		if status, is := r.client.StatusOf(id); is {
			found = append(found, statusFields(id, status))
		} else {
			unknown = append(unknown, fields{"To_Account": id, "ErrorCode": noSuchUser, "ErrorInfo": "the user is not imported"})
		}
	}
	return ok(fields{"successUserList": found, "failureUserList": unknown}), nil
}

// statusFields writes a status: the SDK reads the user's own text as base64.
func statusFields(id string, s imtest.Status) fields {
	return fields{"To_Account": id, "StatusType": s.Type, "CustomStatus": base64.StdEncoding.EncodeToString([]byte(s.Custom))}
}

func watch(r *request) (fields, error) {
	var in toAccounts
	if err := r.read(&in); err != nil {
		return nil, err
	}
	unknown := []fields{}
	known := slices.DeleteFunc(slices.Clone(in.To_Account), func(id string) bool {
		_, is := r.client.StatusOf(id)
		if !is {
			unknown = append(unknown, fields{"To_Account": id, "ErrorCode": noSuchUser, "ErrorInfo": "the user is not imported"})
		}
		return !is
	})
	if err := r.client.Watch(known...); err != nil {
		return nil, err
	}
	return ok(fields{"failureUserList": unknown}), nil
}

func unwatch(r *request) (fields, error) {
	var in toAccounts
	if err := r.read(&in); err != nil {
		return nil, err
	}
	r.client.Unwatch(in.To_Account...)
	return ok(fields{"failureUserList": []fields{}}), nil
}

// doNotDisturb keeps when the user wants no notifications.
func doNotDisturb(r *request) (fields, error) {
	var in struct{ StartTime, EndTime, IsRepeated, Level int }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return done, r.client.SetQuiet(imtest.QuietTime{Start: in.StartTime, End: in.EndTime, Repeated: in.IsRepeated, Level: in.Level})
}

// quietTime tells the page what doNotDisturb kept.
func quietTime(r *request) (fields, error) {
	q := r.client.Quiet()
	if q == (imtest.QuietTime{}) {
		return done, nil
	}
	return ok(fields{"StartTime": q.Start, "EndTime": q.End, "IsRepeated": q.Repeated, "Level": q.Level}), nil
}

// Receipts.

func groupReceipts(r *request) (fields, error) {
	var in struct {
		groupRequest
		MsgSeqList []struct{ MsgSeq uint32 }
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	seqs := make([]uint32, len(in.MsgSeqList))
	for i, m := range in.MsgSeqList {
		seqs[i] = m.MsgSeq
	}
	return done, r.client.SendReceipts(in.GroupId, in.TopicId, seqs...)
}

func c2cReceipts(r *request) (fields, error) {
	var in struct {
		Peer_Account string //nolint:revive // IM's spelling
		C2CMsgInfo   []struct {
			MsgSeq, MsgRandom uint32
			MsgTime           int64
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	keys := make([]string, len(in.C2CMsgInfo))
	for i, m := range in.C2CMsgInfo {
		keys[i] = fmt.Sprintf("%d_%d_%d", m.MsgSeq, m.MsgRandom, m.MsgTime)
	}
	return done, r.client.SendReceiptsTo(in.Peer_Account, keys...)
}

func receiptMembers(r *request) (fields, error) {
	out, err := r.do("group_open_http_svc/get_group_msg_receipt_detail", r.body)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"ReadList", "UnreadList"} {
		if out[name] == nil {
			out[name] = []fields{}
		}
	}
	return with(out, "isCompleted", out["IsFinish"]), nil
}

// tellReceipts tells the sender of messages who has read them.
func (s *session) tellReceipts(groupID string, t *imtest.Tip) {
	items := make([]fields, len(t.Receipts))
	for i, r := range t.Receipts {
		m := r.Message
		items[i] = fields{
			"GroupId": groupID, "MsgSeq": m.Seq, "MsgRandom": m.Random, "TinyId": tinyIDOf(m.From), "MsgTimeStamp": m.Time.Unix(),
			"MsgClientTime": clientTime(&m), "ReadNum": r.Read, "UnreadNum": r.Unread,
		}
	}
	if groupID == "" {
		s.push(fields{"Event": eventC2CReceipts, "C2cMsgInfo": fields{"Peer_Account": t.Operator, "readReceiptList": items, "PeerReadTime": s.now()}})
		return
	}
	s.pushNotice(groupID, noticeReceipts, t.Operator, fields{"readReceiptList": items})
}

// Pinned messages.

// pinMessage makes a command that puts a message to the top of a group or takes it
// away.
func pinMessage(on bool) func(*request) (fields, error) {
	return func(r *request) (fields, error) {
		var in struct {
			groupRequest
			MsgSeq uint32
		}
		if err := r.read(&in); err != nil {
			return nil, err
		}
		return done, r.client.PinMessage(in.GroupId, in.MsgSeq, on)
	}
}

func pinnedMessages(r *request) (fields, error) {
	var in groupRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	pinned, err := r.client.PinnedMessages(in.GroupId)
	if err != nil {
		return nil, err
	}
	messages := make([]fields, len(pinned))
	for i, p := range pinned {
		messages[i] = with(r.groupMessage(&p.Message), "Pinner_Account", p.By)
	}
	return ok(fields{"pinnedMessageList": messages}), nil
}

// Topics.

func topics(r *request) (fields, error) {
	var in struct {
		groupRequest
		TopicIdList []string //nolint:revive // IM's spelling
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	out, err := r.do("million_group_open_http_svc/get_topic", fields{"GroupId": in.GroupId, "TopicIdList": in.TopicIdList, "From_Account": r.userID})
	if err != nil {
		return nil, err
	}
	list := list(out, "TopicAndSelfInfo")
	for _, t := range list {
		if info, is := t["TopicInfo"].(fields); is {
			info["ShutUpAllFlag"] = 0
			if info["MuteAllMember"] == "On" {
				info["ShutUpAllFlag"] = 1
			}
			id, _ := info["TopicId"].(string)
			page, _ := r.client.History(in.GroupId, id, 0, keptUnread)
			if len(page) > 0 {
				// In this answer MsgSeq is what the user has read.
				info["LastMsg"] = with(r.groupMessage(&page[0]), "LastMsgSeq", page[0].Seq)
			}
			if self, is := t["SelfInfo"].(fields); is {
				read, uncounted := r.client.ReadSeq(in.GroupId, id), []uint32{}
				for _, m := range page {
					if m.Recalled && m.Seq > read {
						uncounted = append(uncounted, m.Seq)
					}
				}
				with(self, "MsgFlag", "AcceptAndNotify", "MsgSeq", read, "NoUnreadSeqList", uncounted)
			}
		}
	}
	return ok(fields{"TopicAndSelfInfo": list}), nil
}

// modifyTopic changes a topic; the SDK calls MuteAllMember by its older name.
func modifyTopic(r *request) (fields, error) {
	var in fields
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if mute, has := in["ShutUpAllMember"]; has {
		delete(in, "ShutUpAllMember")
		in["MuteAllMember"] = mute
	}
	return r.do("million_group_open_http_svc/modify_topic", in)
}

func destroyTopics(r *request) (fields, error) {
	out, err := r.do("million_group_open_http_svc/destroy_topic", r.body)
	if err != nil {
		return nil, err
	}
	return with(out, "resultList", out["DestroyResultItem"]), nil
}

// applications lists who waits for the user's consent.
func applications(r *request) (fields, error) {
	items := []fields{}
	for _, a := range r.client.Applications() {
		items = append(items, fields{
			"GroupId": a.GroupID, "GroupName": a.GroupName, "Applicant_Account": a.UserID, "From_Account": a.UserID, "ApplyInviteMsg": "",
			"Authentication": a.UserID, "HandleResult": 0, "Handled": 0, "AddTime": r.now(),
		})
	}
	return ok(fields{"pendencyList": items, "nextStartTime": 0}), nil
}
