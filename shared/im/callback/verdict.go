package callback

import (
	"fmt"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Verdict is the answer of a before-rule. Each family of callbacks has a type
// of its own, so that an answer IM would not understand does not compile. The
// zero value of every verdict allows.
type Verdict interface{ outcome() *outcome }

// outcome is a verdict in the form all families share.
type outcome struct {
	code    int // 0 allows
	info    string
	body    im.MsgBody
	custom  *string
	refused []string
	denied  []friendDenial
	fault   error  // the rule asked for something IM does not allow
	rule    string // the rule that decided, for the observer; "" if all allowed
}

func (o *outcome) allows() bool { return o.code == 0 }

// The codes every family shares.
const (
	codeReject = 1
	codeDrop   = 2
)

// custom codes of the families (1047/34364, 1047/34374, 1047/43468).
type codeRange struct{ least, most int }

var (
	c2cCodes    = codeRange{120001, 130000}
	groupCodes  = codeRange{10100, 10200}
	friendCodes = codeRange{38000, 39000}
)

// refuse is a refusal with a custom code. A code outside the family's range
// means something else to IM, or nothing; the message is then refused with the
// plain code, and the fault is reported.
func (r codeRange) refuse(code int, info string) outcome {
	if code < r.least || code > r.most {
		return outcome{code: codeReject, info: info, fault: fmt.Errorf("callback: code %d is outside %d..%d", code, r.least, r.most)}
	}
	return outcome{code: code, info: info}
}

// C2CVerdict answers C2C.CallbackBeforeSendMsg.
type C2CVerdict struct{ o outcome }

// GroupVerdict answers Group.CallbackBeforeSendMsg.
type GroupVerdict struct{ o outcome }

// EntryVerdict answers the callbacks before a group or topic is created and before a
// user applies to join.
type EntryVerdict struct{ o outcome }

// InviteVerdict answers Group.CallbackBeforeInviteJoinGroup.
type InviteVerdict struct{ o outcome }

// FriendVerdict answers Sns.CallbackPrevFriendAdd and
// Sns.CallbackPrevFriendResponse, target by target.
type FriendVerdict struct{ o outcome }

func (v C2CVerdict) outcome() *outcome    { return &v.o }
func (v GroupVerdict) outcome() *outcome  { return &v.o }
func (v EntryVerdict) outcome() *outcome  { return &v.o }
func (v InviteVerdict) outcome() *outcome { return &v.o }
func (v FriendVerdict) outcome() *outcome { return &v.o }

// Reject refuses the message; the sender's client gets 20006 and the text.
func (C2CVerdict) Reject(text string) C2CVerdict {
	return C2CVerdict{outcome{code: codeReject, info: text}}
}

// RejectCode refuses the message; the sender's client gets the code, which
// must be 120001..130000, and the text.
func (C2CVerdict) RejectCode(code int, text string) C2CVerdict {
	return C2CVerdict{c2cCodes.refuse(code, text)}
}

// Drop lets the sender believe it was sent; nobody gets it.
func (C2CVerdict) Drop() C2CVerdict { return C2CVerdict{outcome{code: codeDrop}} }

// Rewrite allows the message with another body. Contents of images, sounds,
// files and videos cannot be edited, but may be replaced by text or custom
// elements.
func (v C2CVerdict) Rewrite(body im.MsgBody) C2CVerdict {
	v.o.body = body
	return v
}

// SetCustomData allows the message with another CloudCustomData.
func (v C2CVerdict) SetCustomData(data string) C2CVerdict {
	v.o.custom = &data
	return v
}

// Reject refuses the message; the sender's client gets 10016 and the text.
func (GroupVerdict) Reject(text string) GroupVerdict {
	return GroupVerdict{outcome{code: codeReject, info: text}}
}

// RejectCode refuses the message; the sender's client gets the code, which
// must be 10100..10200, and the text.
func (GroupVerdict) RejectCode(code int, text string) GroupVerdict {
	return GroupVerdict{groupCodes.refuse(code, text)}
}

// Drop lets the sender believe it was sent; nobody gets it.
func (GroupVerdict) Drop() GroupVerdict { return GroupVerdict{outcome{code: codeDrop}} }

// Rewrite allows the message with another body, as for a [C2CVerdict].
func (v GroupVerdict) Rewrite(body im.MsgBody) GroupVerdict {
	v.o.body = body
	return v
}

// SetCustomData allows the message with another CloudCustomData.
func (v GroupVerdict) SetCustomData(data string) GroupVerdict {
	v.o.custom = &data
	return v
}

// Reject refuses; the caller gets 10016 and the text.
func (EntryVerdict) Reject(text string) EntryVerdict {
	return EntryVerdict{outcome{code: codeReject, info: text}}
}

// RejectCode refuses; the caller gets the code, which must be 10100..10200, and
// the text.
func (EntryVerdict) RejectCode(code int, text string) EntryVerdict {
	return EntryVerdict{groupCodes.refuse(code, text)}
}

// Reject refuses the whole invitation.
func (InviteVerdict) Reject(text string) InviteVerdict {
	return InviteVerdict{outcome{code: codeReject, info: text}}
}

// RejectCode refuses the whole invitation with a code of 10100..10200.
func (InviteVerdict) RejectCode(code int, text string) InviteVerdict {
	return InviteVerdict{groupCodes.refuse(code, text)}
}

// Refuse allows the invitation for everybody but these users.
func (v InviteVerdict) Refuse(userIDs ...string) InviteVerdict {
	v.o.refused = append(v.o.refused[:len(v.o.refused):len(v.o.refused)], userIDs...)
	return v
}

// friendDenial keeps one target of a friend request from being added.
type friendDenial struct {
	to   string
	code int
	text string
}

// Deny keeps a target from being added; targets not named are allowed. The code
// must be 38000..39000.
func (v FriendVerdict) Deny(to string, code int, text string) FriendVerdict {
	if code < friendCodes.least || code > friendCodes.most {
		v.o.fault = fmt.Errorf("callback: code %d is outside %d..%d", code, friendCodes.least, friendCodes.most)
		code = friendCodes.least
	}
	v.o.denied = append(v.o.denied[:len(v.o.denied):len(v.o.denied)], friendDenial{to, code, text})
	return v
}

// name is the verdict in a word.
func (o *outcome) name() string {
	switch {
	case o.code == codeDrop:
		return "drop"
	case o.code != 0:
		return "reject"
	case o.refused != nil || o.denied != nil:
		return "partly"
	case o.body != nil || o.custom != nil:
		return "rewrite"
	}
	return "allow"
}

// merge adds the verdict of a later rule to what earlier ones said.
func (o *outcome) merge(later *outcome) {
	o.code, o.info = later.code, later.info
	if later.body != nil {
		o.body = later.body
	}
	if later.custom != nil {
		o.custom = later.custom
	}
	o.refused = append(o.refused, later.refused...)
	o.denied = append(o.denied, later.denied...)
}

// answer is what IM reads (1047/34354).
type answer struct {
	ActionStatus    string         `json:"ActionStatus"`
	ErrorInfo       string         `json:"ErrorInfo"`
	ErrorCode       int            `json:"ErrorCode"`
	MsgBody         im.MsgBody     `json:"MsgBody,omitempty"`
	CloudCustomData *string        `json:"CloudCustomData,omitempty"`
	RefusedMembers  []string       `json:"RefusedMembers_Account,omitempty"`
	ResultItem      []friendResult `json:"ResultItem,omitempty"`
}

type friendResult struct {
	To   string `json:"To_Account"`
	Code int    `json:"ResultCode"`
	Info string `json:"ResultInfo"`
}

// okAnswer allows, or acknowledges.
var okAnswer = []byte(`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`)

// encode writes the answer to event e. IM reads a refusal from ErrorCode; the
// status stays OK.
func (o *outcome) encode(e Event) []byte {
	a := answer{ActionStatus: "OK", ErrorInfo: o.info, ErrorCode: o.code}
	if o.allows() {
		a.MsgBody, a.CloudCustomData, a.RefusedMembers = o.body, o.custom, o.refused
	}
	if f, is := e.(friendTargets); is {
		// A top-level code would mean "the app failed" and be ignored, and
		// every target must be listed (1047/43468).
		a.ErrorCode, a.ErrorInfo, a.ResultItem = 0, "", o.friendResults(f.targets())
	} else if o.allows() && o.body == nil && o.custom == nil && o.refused == nil {
		return okAnswer
	}
	b, err := marshal(a)
	if err != nil {
		panic("callback: " + err.Error()) // rewritten bodies were checked
	}
	return b
}

func (o *outcome) friendResults(targets []string) []friendResult {
	list := make([]friendResult, len(targets))
	for i, to := range targets {
		list[i].To = to
		if !o.allows() {
			list[i].Code, list[i].Info = friendCodes.least, o.info
		}
		if n := slices.IndexFunc(o.denied, func(d friendDenial) bool { return d.to == to }); n >= 0 {
			list[i].Code, list[i].Info = o.denied[n].code, o.denied[n].text
		}
	}
	return list
}
