package imtest

import (
	"encoding/json"
	"slices"
	"time"
)

// Group messages (269/1629, 269/1630, 1047/34965, 269/74741, 1047/34958, 269/77402).

type groupMsgRequest struct {
	GroupId, TopicId, From_Account string //nolint:revive // IM's spelling
	Random                         *uint32
	MsgPriority                    string
	OnlineOnlyFlag                 int
	ForbidCallbackControl          []string
	SendMsgControl                 []string
	To_Account                     []string //nolint:revive // IM's spelling
	GroupAtInfo                    []mention
	MsgBody                        json.RawMessage
	CloudCustomData                string
	OfflinePushInfo                json.RawMessage
	NeedReadReceipt                int
	SupportMessageExtension        int
}

func sendGroupMsg(a *App, by caller, in groupMsgRequest) (object, error) {
	priority, known := priorityNames[in.MsgPriority]
	switch {
	case in.Random == nil:
		return nil, fail(10004, "Random is missing")
	case !known:
		return nil, fail(10004, "MsgPriority is unknown")
	case len(in.To_Account) > 0 && a.conf.Edition > ProPlus:
		return nil, fail(10007, "directed messages are not in this edition")
	}
	if err := checkControls(in.ForbidCallbackControl, in.SendMsgControl, groupControls, 10004); err != nil {
		return nil, err
	}
	s := groupSend{
		groupID: in.GroupId, topicID: in.TopicId, sender: in.From_Account, operator: by.id, random: *in.Random, body: in.MsgBody,
		custom: in.CloudCustomData, priority: priority, onlineOnly: in.OnlineOnlyFlag == 1, mentions: in.GroupAtInfo,
		directed:    in.To_Account,
		skipBefore:  slices.Contains(in.ForbidCallbackControl, forbidBefore),
		skipAfter:   slices.Contains(in.ForbidCallbackControl, forbidAfter),
		needReceipt: in.NeedReadReceipt == 1, extensible: in.SupportMessageExtension == 1,
		from: by.from, byREST: true,
	}
	if s.sender == "" {
		s.sender = notFoundSender
	}
	done, err := a.sendGroup(s)
	if err != nil {
		return nil, err
	}
	return ok.with("MsgTime", done.At.Unix(), "MsgSeq", done.Seq), nil
}

type systemNotice struct {
	GroupId, TopicId, Content string   //nolint:revive // IM's spelling
	ToMembers_Account         []string //nolint:revive // IM's spelling
}

// sendSystemNotification reaches only who is online, and leaves no history
// (269/1630).
func sendSystemNotification(a *App, in systemNotice) (object, error) {
	switch {
	case in.Content == "":
		return nil, fail(10004, "Content is missing")
	case len(in.ToMembers_Account) > 50:
		return nil, fail(10005, "over 50 members")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, _, err := lineIn(a.existing, in.GroupId, in.TopicId)
	if err != nil {
		return nil, err
	}
	if g.isAVRoom() && len(in.ToMembers_Account) > 0 {
		return nil, fail(10007, "an AVChatRoom takes no list of members")
	}
	e := &Event{Kind: "notification", GroupID: g.id, Notice: in.Content}
	if len(in.ToMembers_Account) == 0 {
		a.tell(g, e)
	}
	for _, id := range in.ToMembers_Account {
		if g.present(id) {
			a.tellUser(g, id, e)
		}
	}
	return ok, nil
}

type msgSeq struct{ MsgSeq *uint32 }

type recallRequest struct {
	GroupId, TopicId, Reason string //nolint:revive // IM's spelling
	MsgSeqList               []msgSeq
}

// groupMsgRecall recalls messages; the answer has a code for each.
func groupMsgRecall(a *App, by caller, in recallRequest) (object, error) {
	if n := len(in.MsgSeqList); n == 0 || n > 10 || len(in.Reason) > 100 {
		return nil, fail(10004, "1 to 10 messages, and a Reason of at most 100 bytes")
	}
	r := recall{groupID: in.GroupId, topicID: in.TopicId, operator: by.id, from: by.from}
	for _, item := range in.MsgSeqList {
		if item.MsgSeq == nil {
			return nil, fail(10004, "MsgSeq is missing")
		}
		r.seqs = append(r.seqs, *item.MsgSeq)
	}
	done, err := a.recallGroup(r)
	if err != nil {
		return nil, err
	}
	results := []object{}
	for _, item := range done {
		results = append(results, object{"MsgSeq", item.seq, "RetCode", item.code})
	}
	return ok.with("RecallRetList", results), nil
}

type modifyGroupMsgRequest struct {
	GroupId, TopicId string //nolint:revive // IM's spelling
	MsgSeq           *uint32
	MsgBody          json.RawMessage
	CloudCustomData  *string
}

// modifyGroupMsg belongs to the openim service, unlike its siblings.
func modifyGroupMsg(a *App, in modifyGroupMsgRequest) (object, error) {
	if in.MsgSeq == nil {
		return nil, fail(10004, "MsgSeq is missing")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.existing(in.GroupId)
	if err != nil {
		return nil, err
	}
	if g.isAVRoom() {
		return nil, fail(10007, "messages of an AVChatRoom cannot be modified")
	}
	l, err := g.lineOf(in.TopicId)
	if err != nil {
		return nil, err
	}
	m := l.find(*in.MsgSeq)
	if m == nil || m.Deleted || m.Recalled {
		return nil, fail(10030, "there is no such message")
	}
	if err := m.modify(in.MsgBody, in.CloudCustomData, a.strictly(groupBody)); err != nil {
		return nil, err
	}
	a.tell(g, &Event{Kind: "modified", GroupID: g.id, Message: m.copied()})
	return ok, nil
}

type bySenderRequest struct {
	GroupId, TopicId, Sender_Account string //nolint:revive // IM's spelling
}

// deletableMessages is how far back delete_group_msg_by_sender looks.
const deletableMessages = 1000

func deleteGroupMsgBySender(a *App, in bySenderRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, l, err := lineIn(a.existing, in.GroupId, in.TopicId)
	switch {
	case err != nil:
		return nil, err
	case in.Sender_Account == "":
		return nil, fail(10004, "Sender_Account is missing")
	case g.isAVRoom():
		return ok, nil // nothing to delete, and no error (269/2359)
	}
	for _, m := range l.history[max(0, len(l.history)-deletableMessages):] {
		if m.From == in.Sender_Account {
			m.Deleted = true
		}
	}
	return ok, nil
}

type simpleHistory struct {
	GroupId, TopicId string //nolint:revive // IM's spelling
	ReqMsgNumber     int
	ReqMsgSeq        uint32 // 0, as public SDKs send it: from the newest on
	WithRecalledMsg  int
}

// groupMsgGetSimple returns a page of history, the newest message first
// (1047/34958).
func groupMsgGetSimple(a *App, in simpleHistory) (object, error) {
	if in.ReqMsgNumber < 1 || in.ReqMsgNumber > 20 {
		return nil, fail(10004, "ReqMsgNumber is 1 to 20")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, l, err := lineIn(a.existing, in.GroupId, in.TopicId)
	if err != nil {
		return nil, err
	}
	if g.isAVRoom() {
		return nil, fail(10007, "an AVChatRoom has no history")
	}
	top := l.lastSeq
	if in.ReqMsgSeq != 0 {
		top = min(top, in.ReqMsgSeq)
	}
	list := []object{}
	for _, m := range slices.Backward(l.history) {
		if m.Seq > top {
			continue
		}
		if len(list) == in.ReqMsgNumber {
			break
		}
		list = append(list, m.historyItem(in.WithRecalledMsg == 1))
	}
	return ok.with("GroupId", g.id, "IsFinished", 1, "RspMsgList", list), nil
}

// historyItem writes a message of a group's history: recalled and deleted ones
// are placeholders without a body.
func (m *Message) historyItem(withRecalled bool) object {
	place := 0
	switch {
	case m.Deleted:
		place = 1
	case m.Recalled:
		place = 2
	}
	item := object{
		"From_Account", m.From, "IsPlaceMsg", place, "MsgPriority", m.Priority.rank(), "MsgRandom", m.Random, "MsgSeq", m.Seq,
		"MsgTimeStamp", m.Time.Unix(),
	}
	if place == 0 || place == 2 && withRecalled {
		item = item.with("MsgBody", m.Body).withText("CloudCustomData", m.Custom)
	}
	return item
}

type broadcastRequest struct {
	From_Account    string //nolint:revive // IM's spelling
	Random          *uint32
	MsgBody         json.RawMessage
	CloudCustomData string
}

// sendBroadcastMsg reaches everybody in every AVChatRoom of the app. It makes
// no callbacks.
func sendBroadcastMsg(a *App, in broadcastRequest) (object, error) {
	rate := 5
	switch {
	case a.conf.NoBroadcast || a.conf.Edition > Pro:
		return nil, fail(10007, "broadcasts are switched off or not in this edition")
	case a.conf.Edition == Pro:
		rate = 1
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	switch {
	case in.Random == nil:
		return nil, fail(10004, "Random is missing")
	case a.user(in.From_Account) == nil:
		return nil, fail(10019, "From_Account is missing or not imported")
	}
	if err := checkBody(in.MsgBody, in.CloudCustomData, a.strictly(groupBody)); err != nil {
		return nil, err
	}
	s := groupSend{sender: in.From_Account, random: *in.Random, sum: checksum(in.MsgBody, in.CloudCustomData)}
	if first, again := a.broadcasts.repeat(s, now); again {
		return ok.with("MsgSeq", first.Seq), nil
	}
	if !a.broadcastTimes.take(now, time.Second, rate) {
		return nil, fail(60007, "too many broadcasts a second")
	}
	a.broadcasts.lastSeq++
	m := &Message{
		From: in.From_Account, Random: *in.Random, Seq: a.broadcasts.lastSeq, Time: now.Truncate(time.Second),
		ID: "144115" + a.newID(), Body: in.MsgBody, Custom: in.CloudCustomData, Priority: High, ByREST: true,
	}
	a.broadcasts.remember(s, Sent{Seq: m.Seq, At: m.Time, ID: m.ID}, now)
	a.broadcasts.store(m)
	for _, id := range sortedKeys(a.groups) {
		if g := a.groups[id]; g.isAVRoom() {
			a.tell(g, &Event{Kind: "broadcast", GroupID: id, Message: m})
		}
	}
	return ok.with("MsgSeq", m.Seq), nil
}
