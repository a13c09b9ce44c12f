package sdkgate

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// ordered are the commands that one page sends one after the other.
var ordered = map[string]bool{"openim.sendmsg": true, "group_open_http_svc.send_group_msg": true}

// commands are what the SDK asks for, by its own names; those of im_open_status and
// heartbeats are in gate.go.
var commands = map[string]func(*request) (fields, error){
	"im_open_status.wslogout":                       logout,
	"openim.authkey":                                answers(fields{"AuthKey": "emulator"}),
	"im_sdk_config_mgr.fetch_config":                answers(fields{"Version": 1, "CloudControlConfig": "{}", "ExpiredTime": 86400}),
	"im_sdk_config_mgr.fetch_imsdk_purchase_bitsv2": purchases,
	"recentcontact.get_contact_group":               contactGroups,
	"recentcontact.search_contact_group":            someContactGroups,
	"recentcontact.create_contact_group":            createContactGroups,
	"recentcontact.del_contact_group":               deleteContactGroups,
	"recentcontact.update_contact_group":            updateContactGroup,
	"openim.getmsg":                                 answers(fields{"SyncFlag": 2, "Cookie": "", "MsgList": []fields{}, "EventArray": []fields{}}),
	"sns.pendency_get":                              answers(fields{"PendencyItem": []fields{}, "StartTime": 0, "CurrentSequence": 0, "UnreadPendencyCount": 0}),
	"group_open_http_svc.batch_get_group_notify":    answers(fields{"NotifyRspList": []fields{}}), // the gate pushes again what was missed
	"group_open_http_svc.get_group_notify":          answers(fields{"NotifyRspList": []fields{}}),
	"im_open_status.ws_stat_background":             answers(nil), // the emulator's pages have no push to a phone
	"im_open_status.ws_stat_foreground":             answers(nil),

	"million_group_open_http_svc.get_joined_group_list": joinedGroups(true),
	"million_group_open_http_svc.create_topic":          passed("million_group_open_http_svc/create_topic"),
	"million_group_open_http_svc.modify_topic":          modifyTopic,
	"million_group_open_http_svc.destroy_topic":         destroyTopics,
	"million_group_open_http_svc.get_topic":             topics,

	"openim.get_c2c_peer_mute_notifications": remindersC2C,
	"openim.set_c2c_peer_mute_notifications": remindC2C,
	"openim.c2c_msg_read_receipt":            c2cReceipts,
	"recentcontact.top":                      pinConversations,
	"recentcontact.mark_contact":             markConversations,
	"recentcontact.clear_msg":                clearMessages,
	"openim.delete_c2c_msg_ramble":           hideC2C,
	"im_msg_db_logic.ws_set_do_not_disturb":  doNotDisturb,
	"im_msg_db_logic.ws_get_do_not_disturb":  quietTime,
	"im_open_status.ws_set_custom_status":    setStatus,
	"im_open_status.ws_get_user_status":      userStatus,
	"im_open_status.ws_status_subscribe":     watch,
	"im_open_status.ws_status_unsubscribe":   unwatch,

	"openim_msg_ext_http_svc.reaction_add":              react(true),
	"openim_msg_ext_http_svc.reaction_del":              react(false),
	"openim_msg_ext_http_svc.reaction_multi_stat":       reactions,
	"openim_msg_ext_http_svc.reaction_iterate":          reactionUsers,
	"openim_msg_ext_http_svc.group_reaction_add":        react(true),
	"openim_msg_ext_http_svc.group_reaction_del":        react(false),
	"openim_msg_ext_http_svc.group_reaction_multi_stat": reactions,
	"openim_msg_ext_http_svc.group_reaction_iterate":    reactionUsers,
	"openim_msg_ext_http_svc.set_key_values":            passed("openim_msg_ext_http_svc/set_key_values"),
	"openim_msg_ext_http_svc.get_key_values":            passed("openim_msg_ext_http_svc/get_key_values"),
	"openim_msg_ext_http_svc.group_set_key_values":      passed("openim_msg_ext_http_svc/group_set_key_values"),
	"openim_msg_ext_http_svc.group_get_key_values":      passed("openim_msg_ext_http_svc/group_get_key_values"),
	"message_search.query":                              searchMessages,
	"user_search.query":                                 searchUsers,
	"group_search.query":                                searchGroups,
	"group_member_search.query":                         searchMembers,

	"profile.portrait_get_all": profiles,
	"profile.portrait_set":     setProfile,

	"sns.black_list_get":       passed("sns/black_list_get"),
	"sns.black_list_add":       passed("sns/black_list_add"),
	"sns.black_list_delete":    passed("sns/black_list_delete"),
	"sns.friend_get":           friends,
	"sns.friend_get_specified": friendProfiles,
	"sns.friend_add":           passed("sns/friend_add"),
	"sns.friend_delete":        passed("sns/friend_delete"),
	"sns.friend_update":        passed("sns/friend_update"),
	"sns.friend_check":         passed("sns/friend_check"),
	"sns.group_get":            passed("sns/group_get"),
	"sns.group_add":            passed("sns/group_add"),
	"sns.group_delete":         passed("sns/group_delete"),

	"im_cos_msg.pre_sig":       preSig,
	"im_cos_msg.simple_sig":    simpleSig,
	"im_cos_msg.video_cover":   snapshot,
	"im_cos_msg.get_imageinfo": answers(nil), // the SDK measures the pictures itself

	"recentcontact.page_get":          conversations,
	"recentcontact.batch_delete":      deleteConversations,
	"openim.sendmsg":                  sendC2C,
	"openim.getroammsg":               history,
	"openim.msgreaded":                readC2C,
	"openim.get_peer_read_time":       peerReadTimes,
	"openim.msgwithdraw":              recallC2C,
	"openim.read_all_unread_msg":      readAll,
	"openim.deletemsg":                answers(nil), // notices that the page has dealt with; the emulator keeps none
	"openim.modify_group_msg":         modifyGroup,
	"im_long_msg.save_relay_json_msg": keepMerged,
	"im_long_msg.get_relay_json_msg":  mergedMessages,
	"openim.modify_c2c_msg":           modifyC2C,

	"group_open_http_svc.create_group":                    passed("group_open_http_svc/create_group"),
	"group_open_http_svc.destroy_group":                   passed("group_open_http_svc/destroy_group"),
	"group_open_http_svc.change_group_owner":              passed("group_open_http_svc/change_group_owner"),
	"group_open_http_svc.get_joined_group_list":           joinedGroups(false),
	"group_open_http_svc.get_group_self_member_info":      selfGroups,
	"group_open_http_svc.get_group_public_info":           publicGroups,
	"group_open_http_svc.get_group_member_info":           members,
	"group_open_http_svc.get_specified_group_member_info": someMembers,
	"group_open_http_svc.apply_join_group":                join,
	"group_open_http_svc.quit_group":                      quit,
	"group_open_http_svc.add_group_member":                invite,
	"group_open_http_svc.delete_group_member":             passed("group_open_http_svc/delete_group_member"),
	"group_open_http_svc.modify_group_member_info":        passed("group_open_http_svc/modify_group_member_info"),
	"group_open_http_svc.modify_group_base_info":          passed("group_open_http_svc/modify_group_base_info"),
	"group_open_http_svc.handle_apply_join_group":         admit,
	"group_open_http_svc.ban_group_member":                passed("group_open_http_svc/ban_group_member"),
	"group_open_http_svc.get_group_msg_receipt":           passed("group_open_http_svc/get_group_msg_receipt"),
	"group_open_http_svc.get_group_msg_receipt_detail":    receiptMembers,
	"group_open_http_svc.group_msg_receipt":               groupReceipts,
	"group_open_http_svc.pin_message":                     pinMessage(true),
	"group_open_http_svc.unpin_message":                   pinMessage(false),
	"group_open_http_svc.get_pinned_messages":             pinnedMessages,
	"group_open_http_svc.delete_group_ramble_msg_by_seq":  hideGroup,
	"group_open_http_svc.get_pendency":                    applications,
	"group_open_avchatroom_http_svc.modify_user_info":     passed("group_open_avchatroom_http_svc/modify_user_info"),
	"group_open_http_svc.send_group_msg":                  sendGroup,
	"group_open_http_svc.group_msg_get":                   groupHistory,
	"group_open_http_svc.msg_read_report":                 readGroup,
	"group_open_http_svc.group_msg_recall":                recallGroup,
	"group_open_http_svc.set_group_attr":                  attributes("set_group_attr"),
	"group_open_http_svc.modify_group_attr":               attributes("modify_group_attr"),
	"group_open_http_svc.delete_group_attr":               attributes("delete_group_attr"),
	"group_open_http_svc.clear_group_attr":                attributes("clear_group_attr"),
	"group_open_attr_http_svc.get_group_attr":             allAttributes,
	"group_open_http_svc.update_group_counter":            passed("group_open_http_svc/update_group_counter"),
	"group_open_http_svc.get_group_counter":               passed("group_open_http_svc/get_group_counter"),
	"group_open_http_svc.get_online_member_num":           onlineNum,
	"group_open_avchatroom_http_svc.get_members":          passed("group_open_avchatroom_http_svc/get_members"),
	"group_open_long_polling_http_svc.get_msg":            longPoll,
}

// answers makes a command that always answers the same.
func answers(more fields) func(*request) (fields, error) {
	out := ok(more)
	return func(*request) (fields, error) { return out, nil }
}

// passed makes a command that is the emulator's own, as the user.
func passed(command string) func(*request) (fields, error) {
	return func(r *request) (fields, error) { return r.do(command, r.body) }
}

func logout(r *request) (fields, error) {
	r.finish()
	r.client.Logout()
	return done, nil
}

func purchases(r *request) (fields, error) {
	return ok(fields{"PurchaseBits": r.gate.o.Features, "ExpiredTime": 86400}), nil
}

// profileTags are the tags of a profile that the SDK shows.
var profileTags = []string{
	"Tag_Profile_IM_Nick", "Tag_Profile_IM_Gender", "Tag_Profile_IM_BirthDay", "Tag_Profile_IM_Location", "Tag_Profile_IM_SelfSignature",
	"Tag_Profile_IM_AllowType", "Tag_Profile_IM_Language", "Tag_Profile_IM_Image", "Tag_Profile_IM_MsgSettings",
	"Tag_Profile_IM_AdminForbidType", "Tag_Profile_IM_Level", "Tag_Profile_IM_Role",
}

func profiles(r *request) (fields, error) {
	var in struct {
		UserItem []struct {
			To_Account string //nolint:revive // IM's spelling
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	ids := make([]string, len(in.UserItem))
	for i, item := range in.UserItem {
		ids[i] = item.To_Account
	}
	return r.do("profile/portrait_get", fields{"To_Account": ids, "TagList": profileTags})
}

func setProfile(r *request) (fields, error) {
	var in fields
	if err := r.read(&in); err != nil {
		return nil, err
	}
	in["From_Account"] = r.userID
	return r.do("profile/portrait_set", in)
}

func friends(r *request) (fields, error) {
	var in struct{ StartIndex int }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return r.do("sns/friend_get", fields{"From_Account": r.userID, "StartIndex": in.StartIndex})
}

// friendTags are the tags of a friend that the SDK shows.
var friendTags = append([]string{"Tag_SNS_IM_Remark", "Tag_SNS_IM_AddSource", "Tag_SNS_IM_AddTime", "Tag_SNS_IM_Group"}, profileTags...)

func friendProfiles(r *request) (fields, error) {
	var in toAccounts
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return r.do("sns/friend_get_list", fields{"From_Account": r.userID, "To_Account": in.To_Account, "TagList": friendTags})
}

// conversations lists all conversations at once.
func conversations(r *request) (fields, error) {
	items := []fields{}
	for _, c := range r.client.Conversations() {
		item := fields{
			"MsgTime": c.Last.Time.Unix(), "MsgSeq": c.Last.Seq, "LastMsg": fields{"MsgBody": c.Last.Body}, "UnreadMsgCount": c.Unread, "TopFlags": 0,
			"MsgRandom": c.Last.Random, "LastMsgFlags": 0,
		}
		setting := r.client.Setting(c.UserID, c.GroupID)
		if !setting.Pinned.IsZero() {
			item["TopFlags"] = 1
		}
		with(item, "StandardMark", markBits(setting.Marks), "CustomMark", setting.Custom, "MsgRecvOption", max(0, slices.Index(reminders, setting.Flag)))
		if c.Last.Recalled {
			item["LastMsgFlags"] = 8
		}
		if c.GroupID == "" {
			nick, face := r.client.App().Face(c.UserID)
			with(item, "Type", 1, "To_Account", c.UserID, "C2cNick", nick, "C2cImage", face, "LastC2CMsgFrom_Account", c.Last.From)
		} else {
			brief := r.client.App().Brief(c.GroupID)
			nick, _ := r.client.App().Face(c.Last.From)
			with(item, "Type", 2, "ToAccount", c.GroupID, "GroupNick", brief.Name, "GroupType", brief.Type, "MsgGroupFrom_Account", c.Last.From,
				"MsgGroupFromNickName", nick, "MsgGroupReadedSeq", c.ReadSeq, "GroupNextMsgSeq", c.NextSeq)
		}
		items = append(items, item)
	}
	return ok(fields{"SessionItem": items, "CompleteFlag": 1, "TimeStamp": 0, "StartIndex": 0, "TopTimeStamp": 0, "TopStartIndex": 0}), nil
}

func deleteConversations(r *request) (fields, error) {
	var in struct {
		ContactItem []struct {
			Type                  int
			To_Account, ToGroupid string //nolint:revive // IM's spelling
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	results := []fields{}
	for _, item := range in.ContactItem {
		_, err := r.do("recentcontact/delete", fields{
			"From_Account": r.userID, "Type": item.Type, "To_Account": item.To_Account, "ToGroupid": item.ToGroupid,
		})
		results = append(results, fields{"Type": item.Type, "To_Account": item.To_Account, "ToGroupid": item.ToGroupid, "ResultCode": imtest.Code(err)})
	}
	return ok(fields{"ResultList": results}), nil
}

// c2cMessage is a one-to-one message that a page sends.
type c2cRequest struct {
	To_Account      string //nolint:revive // IM's spelling
	MsgSeq          uint32
	MsgRandom       uint32
	MsgBody         json.RawMessage
	CloudCustomData string
	MsgClientTime   int64
	MsgLifeTime     *int64
	// IsNeedReadReceipt is 1 where the sender wants a receipt.
	IsNeedReadReceipt int
	// SupportMessageExtension is 1 where others may put extensions on the message.
	SupportMessageExtension int
}

func sendC2C(r *request) (fields, error) {
	var in c2cRequest
	if err := r.read(&in); err != nil {
		return nil, err
	}
	r.sending(in.MsgRandom)
	sent, err := r.client.SendTo(in.To_Account, imtest.Draft{
		Body: r.plainMedia(in.MsgBody), Random: in.MsgRandom, Seq: in.MsgSeq, Custom: in.CloudCustomData, ClientTime: in.MsgClientTime,
		OnlineOnly: in.MsgLifeTime != nil && *in.MsgLifeTime == 0, NeedReceipt: in.IsNeedReadReceipt == 1,
		Extensible: in.SupportMessageExtension == 1,
	})
	if err != nil {
		return nil, err
	}
	return ok(fields{"MsgTime": sent.At.Unix(), "MsgKey": sent.Key, "MsgId": sent.ID}), nil
}

// history pages through a conversation: a page has its oldest message first.
func history(r *request) (fields, error) {
	var in struct {
		Peer_Account string //nolint:revive // IM's spelling
		MaxCnt       int
		MsgKey       string
		LastMsgTime  int64
		GetDirection int
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	in.MaxCnt = min(max(in.MaxCnt, 1), 99)
	if in.GetDirection == newerMessages {
		return r.historySince(in.Peer_Account, time.Unix(in.LastMsgTime, 0), in.MaxCnt)
	}
	page, err := r.client.HistoryWith(in.Peer_Account, in.MsgKey, in.MaxCnt+1)
	if err != nil {
		return nil, err
	}
	complete := 1
	if len(page) > in.MaxCnt {
		complete, page = 0, page[:in.MaxCnt]
	}
	messages := make([]fields, len(page))
	for i := range page {
		messages[len(page)-1-i] = r.c2cMessage(&page[i])
	}
	out := ok(fields{"MsgList": messages, "Complete": complete, "LastMsgTime": 0, "MsgKey": "", "MsgCnt": len(page)})
	if len(page) > 0 {
		oldest := page[len(page)-1]
		with(out, "LastMsgTime", oldest.Time.Unix(), "MsgKey", oldest.Key)
	}
	return out, nil
}

// newerMessages is the GetDirection of a page that looks for what it missed.
const newerMessages = 1

// historySince pages through a conversation from a time on, at least a second of it
// at once: the SDK goes on from the time of a page's last message.
func (r *request) historySince(peer string, since time.Time, most int) (fields, error) {
	var newer []imtest.Message // the newest first
	for before := ""; ; {
		page, err := r.client.HistoryWith(peer, before, 100)
		if err != nil {
			return nil, err
		}
		older := slices.IndexFunc(page, func(m imtest.Message) bool { return m.Time.Before(since) })
		if older >= 0 {
			page = page[:older]
		}
		newer = append(newer, page...)
		if older >= 0 || len(page) == 0 {
			break
		}
		before = page[len(page)-1].Key
	}
	slices.Reverse(newer)
	n := min(most, len(newer))
	for n < len(newer) && newer[n].Time.Truncate(time.Second).Equal(newer[0].Time.Truncate(time.Second)) {
		n++
	}
	out := ok(fields{"Complete": 0, "MsgCnt": n})
	if n == len(newer) {
		out["Complete"] = 1
	}
	if n == 0 {
		return out, nil // the SDK reads the last one of a list, if there is a list
	}
	messages := make([]fields, n)
	for i := range messages {
		messages[i] = r.c2cMessage(&newer[i])
	}
	return with(out, "MsgList", messages, "LastMsgTime", newer[n-1].Time.Unix(), "MsgKey", newer[n-1].Key), nil
}

func readC2C(r *request) (fields, error) {
	var in struct {
		C2CMsgReaded struct {
			C2CMsgReadedItem []struct {
				To_Account    string //nolint:revive // IM's spelling
				LastedMsgTime int64
			}
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	for _, item := range in.C2CMsgReaded.C2CMsgReadedItem {
		if err := r.client.ReadFrom(item.To_Account, time.Unix(item.LastedMsgTime, 0)); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// readAll marks all one-to-one messages as read, or those of groups up to a MsgSeq.
func readAll(r *request) (fields, error) {
	var in struct {
		C2CReadAllMsg int
		GroupReadInfo []struct {
			groupRequest
			MsgSeq uint32
		}
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if in.C2CReadAllMsg == 1 {
		for _, c := range r.client.Conversations() {
			if c.UserID == "" || c.Unread == 0 {
				continue
			}
			if err := r.client.ReadFrom(c.UserID, c.Last.Time); err != nil {
				return nil, err
			}
		}
	}
	groups := []fields{}
	for _, g := range in.GroupReadInfo {
		err := r.client.Read(g.GroupId, g.TopicId, g.MsgSeq)
		groups = append(groups, fields{"GroupId": g.GroupId, "MsgSeq": g.MsgSeq, "RetCode": imtest.Code(err)})
	}
	return ok(fields{"C2CReadAllMsg": in.C2CReadAllMsg, "GroupReadInfoArray": groups}), nil
}

func peerReadTimes(r *request) (fields, error) {
	var in struct {
		To_Account []string //nolint:revive // IM's spelling
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	times := make([]int64, len(in.To_Account))
	for i, id := range in.To_Account {
		times[i] = max(0, r.client.PeerReadTime(id).Unix())
	}
	return ok(fields{"ReadTime": times}), nil
}

func recallC2C(r *request) (fields, error) {
	var in struct{ MsgInfo wireKey }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	key, err := r.keyOf(in.MsgInfo.To_Account, in.MsgInfo.MsgSeq, in.MsgInfo.MsgRandom)
	if err != nil {
		return nil, err
	}
	return done, r.client.RecallFrom(in.MsgInfo.To_Account, key)
}

// wireKey names a one-to-one message.
type wireKey struct {
	From_Account, To_Account string //nolint:revive // IM's spelling
	MsgSeq, MsgRandom        uint32
}

// keyOf finds the MsgKey of a message that the user sent: the SDK does not say it.
func (r *request) keyOf(peer string, seq, random uint32) (string, error) {
	for before := ""; ; {
		page, err := r.client.HistoryWith(peer, before, 100)
		if err != nil {
			return "", err
		}
		for _, m := range page {
			if m.From == r.userID && m.Seq == seq && m.Random == random {
				return m.Key, nil
			}
		}
		if len(page) == 0 {
			return "", &imtest.Error{Code: 20022, Info: "there is no such message"}
		}
		before = page[len(page)-1].Key
	}
}

func modifyC2C(r *request) (fields, error) {
	var in struct {
		wireKey
		MsgVersion      int
		MsgBody         json.RawMessage
		CloudCustomData string
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	key, err := r.keyOf(in.To_Account, in.MsgSeq, in.MsgRandom)
	if err != nil {
		return nil, err
	}
	if _, err := r.do("openim/modify_c2c_msg", fields{
		"From_Account": r.userID, "To_Account": in.To_Account, "MsgKey": key, "MsgBody": in.MsgBody, "CloudCustomData": in.CloudCustomData,
	}); err != nil {
		return nil, err
	}
	return ok(fields{"MsgBody": in.MsgBody, "MsgVersion": in.MsgVersion + 1, "CloudCustomData": in.CloudCustomData}), nil
}

// modifyGroup changes a message of a group, which its sender and the group's leaders
// may.
func modifyGroup(r *request) (fields, error) {
	var in struct {
		groupRequest
		MsgSeq          uint32
		MsgVersion      int
		MsgBody         json.RawMessage
		CloudCustomData string
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if _, err := r.do("openim/modify_group_msg", fields{
		"GroupId": in.GroupId, "TopicId": in.TopicId, "MsgSeq": in.MsgSeq, "MsgBody": in.MsgBody, "CloudCustomData": in.CloudCustomData,
	}); err != nil {
		return nil, err
	}
	return ok(fields{"MsgBody": in.MsgBody, "MsgVersion": in.MsgVersion + 1, "CloudCustomData": in.CloudCustomData}), nil
}

// mostMerged bounds the long merged messages that are kept, the oldest go first.
const mostMerged = 100

// keepMerged keeps the messages inside a merged one that is too long to be sent
// whole. Its key is the right to read it.
func keepMerged(r *request) (fields, error) {
	var in struct{ MsgList json.RawMessage }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	key := token()
	g := r.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.merged[key] = in.MsgList
	if g.mergedKeys = append(g.mergedKeys, key); len(g.mergedKeys) > mostMerged {
		delete(g.merged, g.mergedKeys[0])
		g.mergedKeys = g.mergedKeys[1:]
	}
	return ok(fields{"JsonMsgKey": key, "PbMsgKey": key}), nil
}

func mergedMessages(r *request) (fields, error) {
	var in struct{ JsonMsgKey string }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	g := r.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	list, has := g.merged[in.JsonMsgKey]
	if !has {
		return nil, &imtest.Error{Code: 20022, Info: "there is no such merged message"}
	}
	return ok(fields{"MsgList": list}), nil
}
