package sdkgate

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// sdkGroup writes a group as the SDK reads it.
func (r *request) sdkGroup(g fields) fields {
	g["ShutUpAllMember"] = g["MuteAllMember"]
	id, _ := g["GroupId"].(string)
	brief := r.client.App().Brief(id)
	self := fields{"Role": "NotMember", "JoinTime": 0, "MsgFlag": "AcceptAndNotify", "NameCard": ""}
	if brief.Type == "AVChatRoom" {
		self["Role"] = "Member"
		if g["Owner_Account"] == r.userID {
			self["Role"] = "Owner"
		}
	} else if out, err := r.do("group_open_http_svc/get_specified_group_member_info", fields{"GroupId": id, "Member_List_Account": []string{r.userID}}); err == nil {
		for _, m := range list(out, "MemberList") {
			self = m
			self["ShutUpUntil"] = m["MuteUntil"]
			if self["MsgFlag"] == "" {
				self["MsgFlag"] = "AcceptAndNotify"
			}
		}
	}
	return with(g, "SelfInfo", self, "InfoSeq", 1, "MemberList", []fields{self}) // older SDKs read their own flag off the list
}

// groupsAtOnce is how many groups a command of the emulator takes.
const groupsAtOnce = 50

func (r *request) groups(ids []string) ([]fields, error) {
	groups := []fields{}
	for some := range slices.Chunk(ids, groupsAtOnce) {
		out, err := r.do("group_open_http_svc/get_group_info", fields{"GroupIdList": some})
		if err != nil {
			return nil, err
		}
		for _, g := range list(out, "GroupInfo") {
			if g["ErrorCode"] == 0.0 {
				g = r.sdkGroup(g)
			}
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// joined are the groups that the user is in: communities, or all others.
func (r *request) joined(communities bool) (ids []string, err error) {
	for offset := 0; ; offset += groupsAtOnce {
		out, err := r.do("group_open_http_svc/get_joined_group_list", fields{
			"Member_Account": r.userID, "WithNoActiveGroups": 1, "Limit": groupsAtOnce, "Offset": offset,
		})
		if err != nil {
			return nil, err
		}
		page := list(out, "GroupIdList")
		for _, item := range page {
			if (item["Type"] == "Community") == communities {
				ids = append(ids, item["GroupId"].(string))
			}
		}
		if len(page) < groupsAtOnce {
			return ids, nil
		}
	}
}

// joinedGroups makes a command that lists groups by pages.
func joinedGroups(communities bool) func(*request) (fields, error) {
	return func(r *request) (fields, error) {
		var in struct{ Limit, Offset int }
		if err := r.read(&in); err != nil {
			return nil, err
		}
		ids, err := r.joined(communities)
		if err != nil {
			return nil, err
		}
		total, from := len(ids), min(max(in.Offset, 0), len(ids))
		groups, err := r.groups(ids[from:min(from+max(in.Limit, 1), total)])
		if err != nil {
			return nil, err
		}
		return ok(fields{"TotalCount": total, "GroupIdList": groups}), nil
	}
}

type groupIDs struct{ GroupIdList []string } //nolint:revive // IM's spelling

func selfGroups(r *request) (fields, error) {
	var in groupIDs
	if err := r.read(&in); err != nil {
		return nil, err
	}
	groups, err := r.groups(in.GroupIdList)
	for i, g := range groups {
		if self, is := g["SelfInfo"].(fields); is && self["Role"] == "NotMember" { // or the SDK takes itself for one
			groups[i] = fields{"GroupId": g["GroupId"], "ErrorCode": 10007, "ErrorInfo": "not in the group"}
		}
	}
	return ok(fields{"GroupIdList": groups}), err
}

func publicGroups(r *request) (fields, error) {
	var in groupIDs
	if err := r.read(&in); err != nil {
		return nil, err
	}
	groups, err := r.groups(in.GroupIdList)
	return ok(fields{"GroupInfo": groups}), err
}

// sdkMembers writes members as the SDK reads them.
func (r *request) sdkMembers(members []fields) []fields {
	for _, m := range members {
		id, _ := m["Member_Account"].(string)
		nick, face := r.client.App().Face(id)
		with(m, "Nick", nick, "FaceUrl", face, "ShutUpUntil", m["MuteUntil"])
	}
	return members
}

func members(r *request) (fields, error) {
	out, err := r.do("group_open_http_svc/get_group_member_info", r.body)
	if err != nil {
		return nil, err
	}
	return with(out, "MemberList", r.sdkMembers(list(out, "MemberList"))), nil
}

func someMembers(r *request) (fields, error) {
	out, err := r.do("group_open_http_svc/get_specified_group_member_info", r.body)
	if err != nil {
		return nil, err
	}
	found := r.sdkMembers(list(out, "MemberList"))
	return with(out, "MemberList", found, "members", found), nil
}

type groupRequest struct {
	GroupId, TopicId string //nolint:revive // IM's spelling
}

// join enters a group. In an AVChatRoom the page then polls.
func join(r *request) (fields, error) {
	var in groupRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	room := r.client.App().Brief(in.GroupId).Type == "AVChatRoom"
	if room { // before the join, whose own tip is for the poll
		r.mu.Lock()
		if r.rooms[in.GroupId] == nil {
			r.rooms[in.GroupId] = newPoll()
		}
		r.mu.Unlock()
	}
	err := r.client.Join(in.GroupId)
	switch {
	case errors.Is(err, imtest.ErrAwaitsConsent):
		return ok(fields{"JoinedStatus": "WaitAdminApproval"}), nil
	case err != nil:
		r.leaveRoom(in.GroupId)
		return nil, err
	}
	out := ok(fields{"JoinedStatus": "JoinedSuccess"})
	if p := r.room(in.GroupId); p != nil {
		with(out, "LongPollingKey", p.key, "StartSeq", 1, "AVChatRoom_Flag", 1, "AVChatRoomKey", p.key, "RspMsgList", []fields{})
	}
	return out, nil
}

// leaveRoom forgets the poll of an AVChatRoom.
func (s *session) leaveRoom(groupID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, groupID)
}

func quit(r *request) (fields, error) {
	var in groupRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	err := r.client.Quit(in.GroupId)
	// Older SDKs leave a room that the page lost by joining another one.
	if lost := imtest.Code(err) == 10007 && r.client.App().Brief(in.GroupId).Type == "AVChatRoom"; err != nil && !lost {
		return nil, err
	}
	r.leaveRoom(in.GroupId)
	return done, nil
}

func invite(r *request) (fields, error) {
	var in struct {
		groupRequest
		MemberList []struct {
			Member_Account string //nolint:revive // IM's spelling
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	ids := make([]string, len(in.MemberList))
	for i, m := range in.MemberList {
		ids[i] = m.Member_Account
	}
	results, err := r.client.Invite(in.GroupId, ids...)
	if err != nil {
		return nil, err
	}
	members := make([]fields, len(ids))
	for i, id := range ids {
		members[i] = fields{"Member_Account": id, "Result": results[id]}
	}
	return ok(fields{"MemberList": members}), nil
}

// admit lets an applicant in.
func admit(r *request) (fields, error) {
	var in struct {
		groupRequest
		Applicant_Account, HandleMsg string //nolint:revive // IM's spelling
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if in.HandleMsg != "Agree" {
		return done, r.client.Refuse(in.GroupId, in.Applicant_Account)
	}
	return done, r.client.Admit(in.GroupId, in.Applicant_Account)
}

type groupMsgRequest struct {
	groupRequest
	Random          uint32
	MsgPriority     json.RawMessage
	MsgBody         json.RawMessage
	CloudCustomData string
	OnlineOnlyFlag  int
	NeedReadReceipt int
	MsgClientTime   int64
	// SupportMessageExtension is 1 where others may put extensions on the message.
	SupportMessageExtension int
	GroupAtInfo             []struct {
		GroupAtAllFlag  int
		GroupAt_Account string //nolint:revive // IM's spelling
	}
}

// priority reads MsgPriority, which is a name or a number.
func (in groupMsgRequest) priority() imtest.Priority {
	var number int
	if json.Unmarshal(in.MsgPriority, &number) == nil {
		for p, n := range priorities {
			if n == number {
				return p
			}
		}
	}
	var name string
	var p imtest.Priority
	if json.Unmarshal(in.MsgPriority, &name) == nil && p.UnmarshalText([]byte(name)) == nil {
		return p
	}
	return imtest.Normal
}

func sendGroup(r *request) (fields, error) {
	var in groupMsgRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	d := imtest.Draft{
		Body: r.plainMedia(in.MsgBody), Random: in.Random, Custom: in.CloudCustomData, Priority: in.priority(), OnlineOnly: in.OnlineOnlyFlag == 1,
		TopicID: in.TopicId, ClientTime: in.MsgClientTime, NeedReceipt: in.NeedReadReceipt == 1,
		Extensible: in.SupportMessageExtension == 1,
	}
	for _, at := range in.GroupAtInfo {
		if at.GroupAtAllFlag == 1 {
			d.Mentions = append(d.Mentions, "@all")
		} else {
			d.Mentions = append(d.Mentions, at.GroupAt_Account)
		}
	}
	r.sending(in.Random)
	sent, err := r.client.Send(in.GroupId, d)
	if err != nil {
		return nil, err
	}
	return ok(fields{"MsgTime": sent.At.Unix(), "MsgSeq": sent.Seq}), nil
}

// groupHistory pages through a group's messages, the newest first.
func groupHistory(r *request) (fields, error) {
	var in struct {
		groupRequest
		ReqMsgNumber int
		ReqMsgSeq    uint32
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	in.ReqMsgNumber = min(max(in.ReqMsgNumber, 1), 99)
	before := in.ReqMsgSeq
	if before > 0 {
		before++
	}
	page, err := r.client.History(in.GroupId, in.TopicId, before, in.ReqMsgNumber+1)
	if err != nil {
		return nil, err
	}
	next := uint32(0)
	if len(page) > in.ReqMsgNumber {
		next, page = page[in.ReqMsgNumber].Seq, page[:in.ReqMsgNumber]
	}
	messages := make([]fields, len(page))
	for i := range page {
		messages[i] = r.groupMessage(&page[i])
	}
	return ok(fields{"GroupId": in.GroupId, "RspMsgList": messages, "NextSequence": next, "IsFinished": 1}), nil
}

func readGroup(r *request) (fields, error) {
	var in struct {
		groupRequest
		MsgReadedSeq uint32
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return done, r.client.Read(in.GroupId, in.TopicId, in.MsgReadedSeq)
}

func recallGroup(r *request) (fields, error) {
	var in struct {
		groupRequest
		MsgSeqList []struct{ MsgSeq uint32 }
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	results := []fields{}
	for _, item := range in.MsgSeqList {
		err := r.client.Recall(in.GroupId, in.TopicId, item.MsgSeq)
		if err != nil && len(in.MsgSeqList) == 1 {
			return nil, err
		}
		results = append(results, fields{"MsgSeq": item.MsgSeq, "RetCode": imtest.Code(err)})
	}
	return ok(fields{"RecallRetList": results}), nil
}

// attributes makes a command that writes attributes, and answers with all of them.
func attributes(verb string) func(*request) (fields, error) {
	return func(r *request) (fields, error) {
		if _, err := r.do("group_open_http_svc/"+verb, r.body); err != nil {
			return nil, err
		}
		return allAttributes(r)
	}
}

func allAttributes(r *request) (fields, error) {
	var in groupRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	out, err := r.do("group_open_attr_http_svc/get_group_attr", fields{"GroupId": in.GroupId})
	if err != nil {
		return nil, err
	}
	seq := r.client.App().Brief(in.GroupId).AttributeSeq
	attrs := list(out, "GroupAttrAry")
	for _, a := range attrs {
		a["seq"] = seq
	}
	return ok(fields{"AttrMainSeq": seq, "GroupAttr": attrs}), nil
}

func onlineNum(r *request) (fields, error) {
	out, err := r.do("group_open_http_svc/get_online_member_num", r.body)
	if err != nil {
		return nil, err
	}
	return with(out, "ExpireTime", 10, "expireTime", 10), nil
}

// longPoll waits for what happens in an AVChatRoom.
func longPoll(r *request) (fields, error) {
	var in struct {
		Key                         string
		StartSeq, StartBroadcastSeq int
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	p := r.pollOf(in.Key)
	if p == nil {
		return nil, &imtest.Error{Code: 10010, Info: "the page is not in this room"}
	}
	ctx, cancel := context.WithTimeout(r.ctx, pollHold)
	defer cancel()
	for {
		entries, broadcasts, next, nextB, wake := p.since(in.StartSeq, in.StartBroadcastSeq)
		if len(entries) == 0 && len(broadcasts) == 0 && ctx.Err() == nil {
			select {
			case <-wake:
				time.Sleep(pollGather) // what comes together is answered together
				continue
			case <-ctx.Done():
			}
		}
		return ok(fields{"Key": in.Key, "NextSeq": next, "RspMsgList": entries, "NextBroadcastSeq": nextB, "RspBroadcastMsgList": broadcasts}), nil
	}
}

// pollGather is how long an answer waits for more events of the same moment.
const pollGather = 20 * time.Millisecond

func (s *session) pollOf(key string) *poll {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.rooms {
		if p.key == key {
			return p
		}
	}
	return nil
}
