package im

import (
	"cmp"
	"fmt"
	"time"
)

// SendMsgControl changes what a message does to its conversation.
type SendMsgControl string

// The controls of SendMsg and SendGroupMsg.
const (
	NoUnread              SendMsgControl = "NoUnread"              // it does not count as unread
	NoLastMsg             SendMsgControl = "NoLastMsg"             // it does not move the conversation up
	WithMuteNotifications SendMsgControl = "WithMuteNotifications" // it respects the receiver's do-not-disturb; one-to-one only
)

// OfflinePushInfo is the notification on the phones of receivers who are not online.
// The zero value lets IM choose from the message; a custom element without Desc shows
// nothing (269/2720).
type OfflinePushInfo struct {
	Title string `json:"Title,omitempty"`
	Desc  string `json:"Desc,omitempty"`
	Ext   string `json:"Ext,omitempty"` // JSON, given to the app
}

// offlinePush is how IM reads it: absent is not none.
type offlinePush struct {
	PushFlag int `json:"PushFlag"` // 1: no push
	OfflinePushInfo
}

func pushOf(info *OfflinePushInfo) offlinePush {
	if info == nil {
		return offlinePush{PushFlag: 1}
	}
	return offlinePush{OfflinePushInfo: *info}
}

// forbidden is ForbidCallbackControl of a send of ours. The before-callback is
// always forbidden: the filter would judge our own words, and a bot answer
// itself.
func forbidden(afterCallback bool) []string {
	list := []string{"ForbidBeforeSendMsgCallback"}
	if !afterCallback {
		list = append(list, "ForbidAfterSendMsgCallback")
	}
	return list
}

// checkMessage refuses a body that is empty or, with its custom data, too large.
func checkMessage(body MsgBody, custom string) error {
	if len(body) == 0 {
		return &FieldError{Field: "MsgBody", Problem: "is empty"}
	}
	if err := atMost("CloudCustomData", custom, MaxMessage); err != nil {
		return err
	}
	size := len("[]") + len(custom)
	for _, e := range body {
		if len(e.MsgContent) == 0 {
			return &FieldError{Field: "MsgContent", Problem: "is missing"}
		}
		size += len(`{"MsgType":"","MsgContent":},`) + len(e.MsgType) + len(e.MsgContent)
	}
	if size > MaxMessage {
		return &FieldError{"MsgBody", MaxMessage, fmt.Sprintf("with CloudCustomData has %d bytes (at most %d)", size, MaxMessage)}
	}
	return nil
}

// Modification is a change of a message; a nil part does not change.
type Modification struct {
	Body            MsgBody
	CloudCustomData *string
}

// modifyWire is how IM reads it.
type modifyWire struct {
	MsgBody         MsgBody `json:"MsgBody,omitempty"`
	CloudCustomData *string `json:"CloudCustomData,omitempty"`
}

func (m Modification) wire() (modifyWire, error) {
	custom := ""
	if m.CloudCustomData != nil {
		custom = *m.CloudCustomData
	}
	var err error
	switch {
	case m.Body != nil:
		err = checkMessage(m.Body, custom)
	case m.CloudCustomData == nil:
		err = &FieldError{Field: "MsgBody", Problem: "and CloudCustomData are missing"}
	default:
		err = atMost("CloudCustomData", custom, MaxMessage)
	}
	return modifyWire{m.Body, m.CloudCustomData}, err
}

// number refuses 0 for a number that IM knows a message by.
func number(field string, n uint32) error {
	if n == 0 {
		return &FieldError{Field: field, Problem: "is missing; see Numbers"}
	}
	return nil
}

func checkNumbers(seq, random uint32) error {
	return cmp.Or(number("MsgSeq", seq), number("MsgRandom", random))
}

// flag is how IM writes a boolean.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Forever is the duration of a mute without end.
const Forever time.Duration = 1<<63 - 1

// seconds writes a duration in whole seconds, rounded up. The largest number
// means no end.
func seconds(d time.Duration) uint32 {
	const forever = 1<<32 - 1
	if d <= 0 {
		return 0
	}
	return uint32(min((d-1)/time.Second+1, forever))
}
