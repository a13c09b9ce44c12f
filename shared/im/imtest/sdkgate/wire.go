package sdkgate

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// with returns an object with more fields: names and values in turn.
func with(o fields, namesAndValues ...any) fields {
	for i := 0; i < len(namesAndValues); i += 2 {
		o[namesAndValues[i].(string)] = namesAndValues[i+1]
	}
	return o
}

// uniqueNumber is the MsgSeq or MsgRandom of a tip, which IM does not store here.
func uniqueNumber() uint32 { return rand.Uint32()>>1 + 1 }

// clientTime is MsgClientTime, by which the two ends of a message name it.
func clientTime(m *imtest.Message) int64 {
	if m.ClientTime > 0 {
		return m.ClientTime
	}
	return m.Time.Unix()
}

// c2cMessage writes a one-to-one message.
func (s *session) c2cMessage(m *imtest.Message) fields {
	nick, face := s.client.App().Face(m.From)
	out := fields{
		"From_Account": m.From, "To_Account": m.To, "MsgSeq": m.Seq, "MsgRandom": m.Random, "MsgTimeStamp": m.Time.Unix(),
		"MsgClientTime": clientTime(m), "MsgKey": m.Key, "MsgBody": m.Body, "CloudCustomData": m.Custom, "TinyId": tinyIDOf(m.From),
		"From_AccountNick": nick, "From_AccountHeadurl": face, "IsPeerRead": 0, "MsgFlagBits": 0,
	}
	if m.From == s.userID && m.PeerRead || m.From == s.userID && !s.client.PeerReadTime(m.To).Before(m.Time) {
		out["IsPeerRead"] = 1
	}
	if m.Recalled {
		out["MsgFlagBits"] = 8
	}
	if m.NeedReceipt {
		out["IsNeedReadReceipt"] = 1
	}
	if m.Extensible {
		out["SupportMessageExtension"] = 1
	}
	return modified(out, m)
}

func modified(out fields, m *imtest.Message) fields {
	if m.Version > 0 {
		out["IsModified"], out["MsgVersion"] = 1, m.Version
	}
	return out
}

// groupMessage writes a message of a group.
func (s *session) groupMessage(m *imtest.Message) fields {
	place := 0
	switch {
	case m.Recalled:
		place = 2
	case m.Deleted:
		place = 1
	}
	out := fields{
		"From_Account": m.From, "GroupId": m.GroupID, "ToGroupId": m.GroupID, "MsgSeq": m.Seq, "MsgRandom": m.Random,
		"MsgTimeStamp": m.Time.Unix(), "MsgClientTime": clientTime(m), "MsgBody": m.Body, "MsgPriority": priorities[m.Priority],
		"ClientSeq": m.Seq, "CloudCustomData": m.Custom, "IsPlaceMsg": place, "TinyId": tinyIDOf(m.From),
		"GroupInfo": s.groupInfo(m.GroupID, m.From),
	}
	if m.TopicID != "" {
		out["ToGroupId"] = m.TopicID
		with(out["GroupInfo"].(fields), "TopicId", m.TopicID, "MillionGroupFlag", withTopics)
	}
	if m.NeedReceipt {
		out["NeedReadReceipt"] = 1
	}
	if m.Extensible {
		out["SupportMessageExtension"] = 1
	}
	if len(m.Mentions) > 0 {
		list := make([]fields, len(m.Mentions))
		for i, id := range m.Mentions {
			if id == "@all" {
				list[i] = fields{"GroupAtAllFlag": 1}
			} else {
				list[i] = fields{"GroupAtAllFlag": 0, "GroupAt_Account": id}
			}
		}
		out["GroupAtInfo"] = list
	}
	return modified(out, m)
}

// withTopics is the MillionGroupFlag of a community that has topics: without it the SDK
// takes a topic for a group that it does not know.
const withTopics = 2

// priorities are the numbers of MsgPriority.
var priorities = map[imtest.Priority]int{imtest.High: 1, imtest.Normal: 2, imtest.Low: 3, imtest.Lowest: 4}

// groupInfo is what messages, tips and notices say of their group.
func (s *session) groupInfo(groupID, from string) fields {
	brief := s.client.App().Brief(groupID)
	nick, face := s.client.App().Face(from)
	return fields{
		"GroupId": groupID, "GroupType": brief.Type, "GroupName": brief.Name, "From_Account": from, "From_AccountNick": nick,
		"From_AccountHeadurl": face, "From_AccountNameCard": "",
	}
}

// faces are the names and pictures of users.
func (s *session) faces(ids []string) []fields {
	list := make([]fields, len(ids))
	for i, id := range ids {
		nick, face := s.client.App().Face(id)
		list[i] = fields{"UserId": id, "NickName": nick, "ImageUrl": face}
	}
	return list
}

// do performs a command of the emulator's REST API as the user, and decodes the
// answer into an object.
func (r *request) do(command string, body any) (fields, error) {
	raw, isRaw := body.(json.RawMessage)
	if !isRaw {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	answer, err := r.client.Do(command, raw)
	if err != nil {
		return nil, err
	}
	var out fields
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// numberText is a number that the SDK may write as a text.
type numberText uint32

func (n *numberText) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 32)
	*n = numberText(v)
	return err
}

func (n numberText) String() string { return strconv.FormatUint(uint64(n), 10) }

// list returns an array of objects in an answer.
func list(o fields, name string) []fields {
	items, _ := o[name].([]any)
	out := make([]fields, 0, len(items))
	for _, item := range items {
		if f, ok := item.(fields); ok {
			out = append(out, f)
		}
	}
	return out
}
