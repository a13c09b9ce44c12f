// Package im is the vocabulary of Tencent Cloud Chat (IM) and the client of its
// REST API. Names are IM's own.
//
// A citation such as (1047/34374) or (269/1629) names a page of Tencent Cloud's
// documentation: 1047 is the international site,
// https://www.tencentcloud.com/document/product/1047/34374, and 269 the Chinese
// one, https://cloud.tencent.com/document/product/269/1629, which is usually newer.
//
// # The client
//
// Make a [Client] once and keep it:
//
//	client, err := im.NewClient(im.Config{Domain: domain, SDKAppID: app, Key: key, Admin: "administrator"})
//	seq, random := im.Numbers("ticket/7/greeting")
//	sent, err := client.SendMsg(ctx, im.C2CMsg{From: bot, To: user, MsgSeq: seq, MsgRandom: random, Body: im.Text("hello")})
//
// There is a method for each command, and a file for each area of IM's manual, in
// its order. Lists longer than IM takes go out in several calls; with an error,
// the results say how far it came. What IM would refuse for its size is refused
// before it is sent, by a [FieldError].
//
// A call that fails returns an [*Error]. Ask it by class, or by code:
//
//	switch {
//	case errors.Is(err, im.ClassThrottled): // retry later
//	case errors.Is(err, im.CodeGroupGone): // do not retry
//	case im.MayHaveWorked(err): // retry with the same numbers only
//	}
//
// The client retries, within one call, what is safe to retry. A message that must
// be sent exactly once across calls and processes goes through package once.
package im

import (
	"encoding/json"
	"strings"
)

// GroupType is the kind of a group. IM's REST API and its client SDK name two
// of them differently; compare after [GroupType.Normal].
type GroupType string

// The group types, under their REST names.
const (
	Work      GroupType = "Private" // "Work" in the SDK
	Public    GroupType = "Public"
	Meeting   GroupType = "ChatRoom" // "Meeting" in the SDK
	AVRoom    GroupType = "AVChatRoom"
	Community GroupType = "Community"
	Live      GroupType = "Live" // rooms of LiveKit
)

// Normal returns the type under its REST name.
func (t GroupType) Normal() GroupType {
	switch t {
	case "Work":
		return Work
	case "Meeting":
		return Meeting
	}
	return t
}

// RobotPrefix starts the UserID of every chatbot (1047/55281).
const RobotPrefix = "@RBT#"

// IsRobot reports whether a UserID is that of a chatbot.
func IsRobot(userID string) bool { return strings.HasPrefix(userID, RobotPrefix) }

// NotFoundSender stands as From_Account in callbacks of a REST group message
// that named no sender (seen in captured callbacks).
const NotFoundSender = "@TLS#NOT_FOUND"

// MsgBody is the body of a message: its elements in order (1047/33527).
type MsgBody []Element

// Element is one element of a message. The content stays as it came, so that
// types and fields nobody here knows survive.
type Element struct {
	MsgType    string          `json:"MsgType"`
	MsgContent json.RawMessage `json:"MsgContent"`
}

// The element types.
const (
	TextElem     = "TIMTextElem"
	FaceElem     = "TIMFaceElem"
	CustomElem   = "TIMCustomElem"
	LocationElem = "TIMLocationElem"
	ImageElem    = "TIMImageElem"
	SoundElem    = "TIMSoundElem"
	FileElem     = "TIMFileElem"
	VideoElem    = "TIMVideoFileElem"
	RelayElem    = "TIMRelayElem"
	StreamElem   = "TIMStreamElem"
)

// Text returns a body with one text element.
func Text(text string) MsgBody {
	return MsgBody{element(TextElem, struct{ Text string }{text})}
}

// Custom returns a body with one custom element. IM allows one in a message,
// and Data is a string, mostly JSON as text.
func Custom(data, desc, ext string) MsgBody {
	return MsgBody{element(CustomElem, struct{ Data, Desc, Ext string }{data, desc, ext})}
}

func element(kind string, v any) Element { return Element{MsgType: kind, MsgContent: content(v)} }

// content writes a value of texts and numbers as JSON.
func content(v any) json.RawMessage {
	b, err := encode(v)
	if err != nil {
		panic("im: " + err.Error()) // texts and numbers always marshal
	}
	return b
}

// PlainText returns the text elements of the body, joined.
func (b MsgBody) PlainText() string {
	var out strings.Builder
	for _, e := range b {
		var c struct{ Text string }
		if e.MsgType == TextElem && json.Unmarshal(e.MsgContent, &c) == nil {
			out.WriteString(c.Text)
		}
	}
	return out.String()
}
