package im

import (
	"cmp"
	"context"
	"errors"
	"strings"
)

// Topics of communities (1047/49471, 1047/49470, 1047/49469, 1047/49468). They
// need an edition and two console switches (11000), and a community made with
// SupportTopic.

// Limits of topics, in bytes; the other texts of a topic have those of a group.
const (
	MaxTopicName    = 30
	MaxCustomString = 3000
)

const topicInfix = "@TOPIC#_"

// TopicIDOf composes the id of a topic of one's own naming.
func TopicIDOf(groupID, name string) string { return groupID + topicInfix + name }

var (
	createTopic  = method{path: "million_group_open_http_svc/create_topic", repeat: harmless}
	getTopic     = method{path: "million_group_open_http_svc/get_topic", repeat: harmless}
	modifyTopic  = method{path: "million_group_open_http_svc/modify_topic", repeat: harmless}
	destroyTopic = method{path: "million_group_open_http_svc/destroy_topic", repeat: harmless}
)

// NewTopic is a topic to make. GroupID and Name are required.
type NewTopic struct {
	GroupID string
	// TopicID of your own, from TopicIDOf, makes the call safe to repeat; "" lets
	// IM choose, and a lost answer is then not repeated.
	TopicID      string
	Name         string // at most 30 bytes
	Creator      string
	Introduction string // at most 240 bytes
	Notification string // at most 300 bytes
	FaceURL      string // at most 100 bytes
	CustomString string // at most 3000 bytes
}

// CreateTopic makes a topic in a community and returns its id. CodeGroupIDTaken:
// there is a topic with this TopicID; since the id is yours, that is an earlier
// call of yours (1047/49471).
func (c *Client) CreateTopic(ctx context.Context, t NewTopic) (topicID string, err error) {
	if t.TopicID != "" && !strings.HasPrefix(t.TopicID, t.GroupID+topicInfix) {
		return "", &FieldError{Field: "TopicId", Problem: "must start with the GroupId and " + topicInfix}
	}
	if err := cmp.Or(
		neededGroup(t.GroupID), needed("TopicName", t.Name, MaxTopicName), atMost("From_Account", t.Creator, MaxUserID),
		checkGroupTexts("", t.Introduction, t.Notification, t.FaceURL), atMost("CustomString", t.CustomString, MaxCustomString),
	); err != nil {
		return "", err
	}
	in := struct {
		GroupID      string `json:"GroupId"`
		TopicID      string `json:"TopicId,omitempty"`
		TopicName    string `json:"TopicName"`
		Creator      string `json:"From_Account,omitempty"`
		Introduction string `json:"Introduction,omitempty"`
		Notification string `json:"Notification,omitempty"`
		FaceURL      string `json:"FaceUrl,omitempty"`
		CustomString string `json:"CustomString,omitempty"`
	}{t.GroupID, t.TopicID, t.Name, t.Creator, t.Introduction, t.Notification, t.FaceURL, t.CustomString}
	m := createTopic
	if t.TopicID == "" {
		m.repeat = never
	}
	var out struct {
		envelope
		TopicID string `json:"TopicId"`
	}
	err = c.call(ctx, m, in, &out)
	if errors.Is(err, CodeGroupIDTaken) && MayHaveWorked(err) {
		return t.TopicID, nil // the try whose answer was lost
	}
	return out.TopicID, err
}

// Topic describes a topic.
type Topic struct {
	TopicID      string
	Code         Code // not 0: IM cannot tell about this one, and why
	Info         string
	Name         string
	Introduction string
	Notification string
	FaceURL      string
	CustomString string
	NextMsgSeq   uint32
	LastMsgTime  int64 // Unix seconds
	MuteAll      bool
}

// Topics describes some topics of a community, or all if none is named, as a
// user sees them (1047/49470).
func (c *Client) Topics(ctx context.Context, groupID, userID string, topicIDs ...string) ([]Topic, error) {
	if err := cmp.Or(neededGroup(groupID), neededUser("From_Account", userID)); err != nil {
		return nil, err
	}
	in := struct {
		GroupID  string   `json:"GroupId"`
		UserID   string   `json:"From_Account"`
		TopicIDs []string `json:"TopicIdList,omitempty"`
	}{groupID, userID, topicIDs}
	var out struct {
		envelope
		TopicAndSelfInfo []struct {
			ErrorCode Code
			ErrorInfo string
			TopicInfo struct {
				TopicID       string `json:"TopicId"`
				TopicName     string
				Introduction  string
				Notification  string
				FaceURL       string `json:"FaceUrl"`
				CustomString  string
				NextMsgSeq    uint32
				LastMsgTime   int64
				MuteAllMember string
				ShutUpAllFlag int // the old name of MuteAllMember
			}
		}
	}
	if err := c.call(ctx, getTopic, in, &out); err != nil {
		return nil, err
	}
	topics := make([]Topic, len(out.TopicAndSelfInfo))
	for i, item := range out.TopicAndSelfInfo {
		t := item.TopicInfo
		topics[i] = Topic{
			t.TopicID, item.ErrorCode, item.ErrorInfo, t.TopicName, t.Introduction, t.Notification, t.FaceURL, t.CustomString,
			t.NextMsgSeq, t.LastMsgTime, t.MuteAllMember == on || t.ShutUpAllFlag == 1,
		}
	}
	return topics, nil
}

// TopicChange is a change of a topic; nil fields do not change.
type TopicChange struct {
	Name         *string // at most 30 bytes
	Introduction *string // at most 240 bytes
	Notification *string // at most 300 bytes
	FaceURL      *string // at most 100 bytes
	CustomString *string // at most 3000 bytes
	MuteAll      *bool
}

// ModifyTopic changes a topic (1047/49469).
func (c *Client) ModifyTopic(ctx context.Context, groupID, topicID string, t TopicChange) error {
	err := cmp.Or(neededGroup(groupID), needed("TopicId", topicID, len(topicID)))
	for _, text := range []struct {
		field string
		to    *string
		limit int
	}{
		{"TopicName", t.Name, MaxTopicName},
		{"Introduction", t.Introduction, MaxIntroduction},
		{"Notification", t.Notification, MaxNotification},
		{"FaceUrl", t.FaceURL, MaxFaceURL},
		{"CustomString", t.CustomString, MaxCustomString},
	} {
		if text.to != nil {
			err = cmp.Or(err, atMost(text.field, *text.to, text.limit))
		}
	}
	if err != nil {
		return err
	}
	in := struct {
		GroupID       string  `json:"GroupId"`
		TopicID       string  `json:"TopicId"`
		TopicName     *string `json:"TopicName,omitempty"`
		Introduction  *string `json:"Introduction,omitempty"`
		Notification  *string `json:"Notification,omitempty"`
		FaceURL       *string `json:"FaceUrl,omitempty"`
		CustomString  *string `json:"CustomString,omitempty"`
		MuteAllMember string  `json:"MuteAllMember,omitempty"`
	}{groupID, topicID, t.Name, t.Introduction, t.Notification, t.FaceURL, t.CustomString, ""}
	if t.MuteAll != nil {
		in.MuteAllMember = onOff(*t.MuteAll)
	}
	return c.call(ctx, modifyTopic, in, nil)
}

// DestroyTopics deletes topics of a community and returns a result for each;
// CodeTopicGone: the topic did not exist (1047/49468).
func (c *Client) DestroyTopics(ctx context.Context, groupID string, topicIDs ...string) ([]ItemResult, error) {
	if err := cmp.Or(neededGroup(groupID), some("TopicIdList", topicIDs)); err != nil {
		return nil, err
	}
	in := struct {
		GroupID  string   `json:"GroupId"`
		TopicIDs []string `json:"TopicIdList"`
	}{groupID, topicIDs}
	var out struct {
		envelope
		DestroyResultItem []topicResult
	}
	if err := c.call(ctx, destroyTopic, in, &out); err != nil {
		return nil, err
	}
	return topicResults(out.DestroyResultItem), nil
}

// topicResult is what became of one topic.
type topicResult struct {
	TopicID   string `json:"TopicId"`
	ErrorCode Code
	ErrorInfo string
}

func topicResults(list []topicResult) []ItemResult {
	results := make([]ItemResult, len(list))
	for i, item := range list {
		results[i] = ItemResult{item.TopicID, item.ErrorCode, item.ErrorInfo}
	}
	return results
}
