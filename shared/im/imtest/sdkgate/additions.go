package sdkgate

import (
	"slices"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Reactions to messages, extensions of messages, and search: the SDK's commands on
// one side, the emulator's Client on the other.

// messageRequest names messages: of a group by MsgSeq, one-to-one by MsgKey.
type messageRequest struct {
	groupRequest
	From_Account, To_Account string //nolint:revive // IM's spelling
	MsgKey                   string
	MsgSeq                   uint32
	Reaction                 string
	MsgKeyList               []string
	MsgSeqList               []uint32
	Count                    int
	NextSeq                  int
}

// ref names one message, for the page's user.
func (in messageRequest) ref(userID string) imtest.MessageRef {
	if in.GroupId != "" {
		return imtest.MessageRef{GroupID: in.GroupId, TopicID: in.TopicId, Seq: in.MsgSeq}
	}
	peer := in.To_Account
	if peer == userID {
		peer = in.From_Account
	}
	return imtest.MessageRef{UserID: peer, Key: in.MsgKey}
}

// each are the messages of a list.
func (in messageRequest) each() (list []messageRequest) {
	for _, key := range in.MsgKeyList {
		one := in
		one.MsgKey = key
		list = append(list, one)
	}
	for _, seq := range in.MsgSeqList {
		one := in
		one.MsgSeq = seq
		list = append(list, one)
	}
	return list
}

// react makes a command that puts the user's reaction on a message or takes it off.
func react(on bool) func(*request) (fields, error) {
	return func(r *request) (fields, error) {
		var in messageRequest
		if err := r.read(&in); err != nil {
			return nil, err
		}
		return done, r.client.React(in.ref(r.userID), in.Reaction, on)
	}
}

// mostReacted bounds the messages of one request for reactions.
const mostReacted = 100

// reactions lists the reactions to messages. A message that is not there has none.
func reactions(r *request) (fields, error) {
	var in messageRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	wanted := in.each()
	if len(wanted) > mostReacted {
		return nil, &imtest.Error{Code: 60003, Info: "over 100 messages"}
	}
	results := []fields{}
	for _, one := range wanted {
		m, err := r.client.Message(one.ref(r.userID))
		if err != nil {
			continue
		}
		list := make([]fields, len(m.Reactions))
		for i, reaction := range m.Reactions {
			list[i] = r.reactionFields(reaction, in.Count)
		}
		item := fields{"MsgReactionSummary": list}
		if in.GroupId != "" {
			item["MsgSeq"] = one.MsgSeq
		} else {
			item["MsgKey"] = one.MsgKey
		}
		results = append(results, item)
	}
	return ok(fields{"Results": results}), nil
}

// reactionFields writes a reaction with at most a number of its users, 0 for all.
func (s *session) reactionFields(reaction imtest.Reaction, most int) fields {
	users, mine := reaction.Users, 0
	if slices.Contains(users, s.userID) {
		mine = 1
	}
	if most > 0 {
		users = users[:min(most, len(users))]
	}
	out := fields{"Reaction": reaction.ID, "Count": len(reaction.Users), "ReactedByMe": mine}
	if len(reaction.Users) > 0 { // without users the SDK counts 0
		out["Reaction_Account"] = users
	}
	return out
}

// reactionUsers lists who reacted, by pages.
func reactionUsers(r *request) (fields, error) {
	var in messageRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	m, err := r.client.Message(in.ref(r.userID))
	if err != nil {
		return nil, err
	}
	var users []string
	for _, reaction := range m.Reactions {
		if reaction.ID == in.Reaction {
			users = reaction.Users
		}
	}
	from := min(max(in.NextSeq, 0), len(users))
	end, next := len(users), 0
	if in.Count > 0 && from+in.Count < end {
		end, next = from+in.Count, from+in.Count
	}
	return ok(fields{"Reaction_Account": append([]string{}, users[from:end]...), "NextSeq": next}), nil
}

// messageNames is what the SDK makes a message's ID of.
func messageNames(m *imtest.Message) fields {
	return fields{"TinyId": tinyIDOf(m.From), "MsgClientTime": clientTime(m), "MsgRandom": m.Random}
}

func (s *session) tellReaction(t *imtest.Tip) {
	name := "C2CMsgInfo"
	if t.Message.GroupID != "" {
		name = "GroupMsgInfo"
	}
	s.push(fields{"Event": eventReaction, "MsgReactionNotifyList": []fields{{
		name: messageNames(t.Message), "MsgReactionSummary": []fields{s.reactionFields(*t.Reaction, 0)},
	}}})
}

func (s *session) tellExtensions(t *imtest.Tip) {
	name := "ExtensionC2cMsgInfo"
	if t.Message.GroupID != "" {
		name = "ExtensionGroupMsgInfo"
	}
	change := t.Extensions
	s.push(fields{"Event": eventExtension, "MsgExtensionNotify": fields{
		"TinyId": tinyIDOf(t.Message.From), name: messageNames(t.Message), "MsgLastSeq": change.Seq, "MsgOptType": change.Operation,
		[]string{"SetKVInfo", "DeleteKVInfo", "ClearKVInfo"}[change.Operation-1]: []fields{{
			"MsgKeyValue": extensionFields(change.Changed), "ClearMsgSeq": change.Cleared,
		}},
	}})
}

func extensionFields(list []imtest.Extension) []fields {
	out := make([]fields, len(list))
	for i, e := range list {
		out[i] = fields{"Key": e.Key, "Value": e.Value, "Seq": e.Seq}
	}
	return out
}

// searchRequest is what the four searches of the SDK ask for.
type searchRequest struct {
	KeywordList          []string // for messages
	MatchType            string   // of messages: and, or
	PeerAccount, GroupID string
	MsgTypeList          []string
	SendUserIDList       []string
	StartTime, EndTime   int64
	Keywords             []string // for users, groups and members
	KeywordMatchType     int      // 1: all of them
	GroupIdList          []string //nolint:revive // IM's spelling
	Count                int
	Cursor               string
}

func (in searchRequest) all() bool { return in.KeywordMatchType == 1 }

// mostFound bounds what one search answers with.
const mostFound = 100

// pageOf cuts a page out of what was found. The cursor is the number of what came
// before.
func pageOf[T any](in searchRequest, list []T) (page []T, cursor string, err error) {
	from := 0
	if in.Cursor != "" {
		var n numberText
		if err := n.UnmarshalJSON([]byte(in.Cursor)); err != nil {
			return nil, "", &imtest.Error{Code: 60003, Info: "the cursor is not one of this search"}
		}
		from = min(int(n), len(list))
	}
	count := min(max(in.Count, 1), mostFound)
	if from+count < len(list) {
		return list[from : from+count], numberText(from + count).String(), nil
	}
	return list[from:], "", nil
}

// searchMessages looks in the user's own conversations. Without a conversation the
// answer has its number of messages alone, except where it is one, as the SDK
// expects.
func searchMessages(r *request) (fields, error) {
	var in searchRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	found := r.client.Search(imtest.MessageSearch{
		Words: in.KeywordList, All: in.MatchType == "and", Types: in.MsgTypeList, Senders: in.SendUserIDList,
		UserID: in.PeerAccount, GroupID: in.GroupID, From: in.StartTime, Until: in.EndTime,
	})
	out := ok(fields{"TotalCount": 0, "Cursor": "", "ConversationMsgs": []fields{}})
	if in.PeerAccount != "" || in.GroupID != "" {
		if len(found) == 0 {
			return out, nil
		}
		page, cursor, err := pageOf(in, found[0].Messages)
		if err != nil {
			return nil, err
		}
		item := imtest.Found{UserID: found[0].UserID, GroupID: found[0].GroupID, Messages: page}
		return with(out, "TotalCount", len(found[0].Messages), "Cursor", cursor, "ConversationMsgs", []fields{r.foundFields(item)}), nil
	}
	page, cursor, err := pageOf(in, found)
	if err != nil {
		return nil, err
	}
	total, items := 0, make([]fields, len(page))
	for _, f := range found {
		total += len(f.Messages)
	}
	for i, f := range page {
		items[i] = with(r.foundFields(imtest.Found{UserID: f.UserID, GroupID: f.GroupID, Messages: f.Messages[:1]}), "Count", len(f.Messages))
	}
	return with(out, "TotalCount", total, "Cursor", cursor, "ConversationMsgs", items), nil
}

// foundFields writes a conversation with messages, of a user the oldest first and of
// a group the newest first, as histories are.
func (r *request) foundFields(f imtest.Found) fields {
	out := fields{"Count": len(f.Messages)}
	messages := make([]fields, len(f.Messages))
	for i := range f.Messages {
		if f.GroupID != "" {
			messages[i] = r.groupMessage(&f.Messages[i])
		} else {
			messages[len(messages)-1-i] = r.c2cMessage(&f.Messages[i])
		}
	}
	if f.GroupID != "" {
		return with(out, "GroupID", f.GroupID, "MsgList", messages)
	}
	return with(out, "UserID", f.UserID, "MsgList", messages)
}

func searchUsers(r *request) (fields, error) {
	var in searchRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	found := r.client.SearchUsers(in.Keywords, in.all())
	page, cursor, err := pageOf(in, found)
	if err != nil {
		return nil, err
	}
	users := make([]fields, len(page))
	for i, id := range page {
		nick, face := r.client.App().Face(id)
		users[i] = fields{"UserID": id, "ProfileItems": []fields{
			{"Tag": "Tag_Profile_IM_Nick", "StrValue": nick}, {"Tag": "Tag_Profile_IM_Image", "StrValue": face},
		}}
	}
	return ok(fields{"TotalCount": len(found), "Cursor": cursor, "Users": users}), nil
}

func searchGroups(r *request) (fields, error) {
	var in searchRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	found := r.client.SearchGroups(in.Keywords, in.all())
	page, cursor, err := pageOf(in, found)
	if err != nil {
		return nil, err
	}
	groups := make([]fields, len(page))
	for i, id := range page {
		brief := r.client.App().Brief(id)
		groups[i] = fields{"GroupId": id, "GroupName": brief.Name, "GroupType": brief.Type, "GroupMemberNum": brief.Members}
	}
	return ok(fields{"TotalCount": len(found), "Cursor": cursor, "Groups": groups}), nil
}

func searchMembers(r *request) (fields, error) {
	var in searchRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	found := r.client.SearchMembers(in.Keywords, in.all(), in.GroupIdList...)
	page, cursor, err := pageOf(in, found)
	if err != nil {
		return nil, err
	}
	members := make([]fields, len(page))
	for i, m := range page {
		brief := r.client.App().Brief(m.GroupID)
		nick, face := r.client.App().Face(m.UserID)
		members[i] = fields{
			"GroupId": m.GroupID, "GroupName": brief.Name, "GroupType": brief.Type, "GroupMemberUserID": m.UserID, "GroupMemberUserName": nick,
			"GroupMemberNameCard": m.NameCard, "GroupMemberAvatar": face,
		}
	}
	return ok(fields{"TotalCount": len(found), "Cursor": cursor, "GroupMembers": members}), nil
}
