package imtest

import "encoding/json"

// verdict is an answer to a before-callback.
type verdict struct {
	failed bool // none came, or none that could be read

	ActionStatus           string
	ErrorCode              int
	ErrorInfo              string
	MsgBody                json.RawMessage
	CloudCustomData        *string
	RefusedMembers_Account []string //nolint:revive // IM's spelling
}

// readVerdict reads an answer. An answer that is not a JSON object has failed; so
// has, by our decision, one whose MsgBody is not a valid message.
func readVerdict(answer json.RawMessage) verdict {
	var v verdict
	if json.Unmarshal(answer, &v) != nil || v.hasBody() && checkBody(v.MsgBody, "", c2cBody) != nil {
		return verdict{failed: true}
	}
	return v
}

// family says what the codes of a before-callback's verdict mean (1047/34364,
// 1047/34374, 1047/34368).
type family struct {
	reject      int // what the sender gets for 1
	least, most int // codes of the backend's own
	drops       bool
}

var (
	c2cVerdicts     = family{reject: 20006, least: 120001, most: 130000, drops: true}
	messageVerdicts = family{reject: 10016, least: 10100, most: 10200, drops: true}
	groupVerdicts   = family{reject: 10016, least: 10100, most: 10200}
)

var families = map[string]family{
	"C2C.CallbackBeforeSendMsg":           c2cVerdicts,
	"Group.CallbackBeforeSendMsg":         messageVerdicts,
	"Group.CallbackBeforeCreateGroup":     groupVerdicts,
	"Group.CallbackBeforeApplyJoinGroup":  groupVerdicts,
	"Group.CallbackBeforeInviteJoinGroup": groupVerdicts,
	"Group.CallbackBeforeCreateTopic":     groupVerdicts,
}

// drops reports whether a message vanishes while its sender sees success.
func (v verdict) drops() bool { return !v.failed && v.ErrorCode == 2 }

// refusal is what the caller gets; nil to go on. An answer that failed refuses
// nothing.
func (a *App) refusal(f family, v verdict) error {
	switch {
	case v.failed || v.ErrorCode == 0 || f.drops && v.drops():
		return nil
	case v.ErrorCode >= f.least && v.ErrorCode <= f.most:
		return fail(v.ErrorCode, v.ErrorInfo)
	case v.ErrorCode == 1 || a.conf.Unknowns.UndefinedVerdictRejects:
		return fail(f.reject, v.ErrorInfo)
	}
	return nil
}

func (v verdict) hasBody() bool { return len(v.MsgBody) > 0 && string(v.MsgBody) != "null" }

func (v verdict) rewrites() bool { return v.hasBody() || v.CloudCustomData != nil }

// word names a verdict for people: allow, reject, drop, rewrite, or failed.
func (a *App) word(f family, v verdict) string {
	switch {
	case v.failed:
		return "failed"
	case a.refusal(f, v) != nil:
		return "reject"
	case f.drops && v.drops():
		return "drop"
	case f.drops && v.rewrites(), len(v.RefusedMembers_Account) > 0:
		return "rewrite"
	}
	return "allow"
}

// applyVerdict turns a verdict on a message into what its sender gets, or
// changes the message as it says.
func (a *App) applyVerdict(f family, v verdict, m *Message, blockOnFailure bool) error {
	if v.failed && blockOnFailure {
		return fail(80003, "the before-callback failed, and the console says to block")
	}
	if err := a.refusal(f, v); err != nil {
		return err
	}
	if v.hasBody() {
		m.Body = v.MsgBody
	}
	if v.CloudCustomData != nil {
		m.Custom = *v.CloudCustomData
	}
	return nil
}
