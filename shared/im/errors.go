package im

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Class says what can be done about a failed call. The classes follow IM's
// error tables (1047/34348, 269/1671). A Class is an error so that errors.Is
// takes it:
//
//	if errors.Is(err, im.ClassThrottled) { ... }
type Class int

// The classes.
const (
	// ClassUnknown: IM's tables do not have the code.
	ClassUnknown Class = iota
	// ClassTransient: IM or the network failed for the moment. A retry may work, and
	// may act twice unless it carries the same numbers.
	ClassTransient
	// ClassThrottled: a rate limit or quota was exceeded; nothing was done. A retry
	// after a longer pause may work.
	ClassThrottled
	// ClassConflict: another writer was faster; read the new state, then retry the
	// write.
	ClassConflict
	// ClassSignature: the admin's UserSig was refused, also after the client renewed
	// it: the key or the admin is wrong, or this machine's clock.
	ClassSignature
	// ClassConfiguration: app, domain, plan or a console switch do not fit; an
	// operator must act.
	ClassConfiguration
	// ClassRequest: the request itself is wrong; a retry of the same request fails.
	ClassRequest
	// ClassAccount: a user is unknown or deleted, or the app has too many.
	ClassAccount
	// ClassContent: the message was refused for what it says or for its size.
	ClassContent
	// ClassC2C: a one-to-one message was refused: blocked, muted, not friends,
	// too late to recall, or by our own before-callback.
	ClassC2C
	// ClassGroup: the group is gone, full or taken, or does not allow this, or
	// our own before-callback refused.
	ClassGroup
)

var classNames = [...]string{
	"unknown class", "transient", "throttled", "conflict", "signature", "configuration", "request", "account",
	"content", "one-to-one", "group",
}

func (c Class) Error() string { return classNames[c] }

// Code is an ErrorCode of the REST API. It is an error, of its [Class], so that
// errors.Is takes it.
type Code int

// Codes that callers handle by name. All other codes have a class only.
const (
	CodeNotAllowed        Code = 10007 // not by this group type, edition or role
	CodeGroupGone         Code = 10010 // there is no such group, or no longer
	CodeAlreadyMember     Code = 10013
	CodeGroupFull         Code = 10014
	CodeBadGroupID        Code = 10015
	CodeGroupRefused      Code = 10016 // by our own before-callback
	CodeGroupMuted        Code = 10017
	CodeMemberUnknown     Code = 10019 // an account of the request is not imported
	CodeGroupIDTaken      Code = 10021 // by somebody else's group
	CodeGroupOverRate     Code = 10023 // more than 40 messages a second to one group
	CodeGroupIDYours      Code = 10025 // the group exists and has this owner: usable
	CodeNoMessage         Code = 10030 // no such message in the group
	CodeRecallTooLate     Code = 10031 // the group's message is too old to be recalled
	CodeAttributesTooFast Code = 10049 // more than 5 writes a second to one group
	CodeAttributesChanged Code = 10056 // read them again, then write
	CodeSigVoid           Code = 20002
	CodeReceiverUnknown   Code = 20003 // the sender or the receiver is not imported
	CodeC2CRefused        Code = 20006 // by our own before-callback
	CodeC2CNoMessage      Code = 20022 // no such message between the two
	CodeC2CRecalled       Code = 20023 // the message is recalled already
	CodeFriendPending     Code = 30539 // the other has to consent
	CodeTrialQuota        Code = 60028 // a trial's messages of the day are used up
	CodeWrongDomain       Code = 60026 // the app lives in another data centre
	CodeSigExpired        Code = 70001
	CodeTooManyBadSigs    Code = 70050 // wait a minute
	CodeSigInvalidated    Code = 70052 // by a kick
	CodeAccountUnknown    Code = 70107
	CodeAccountDeleted    Code = 70399 // its id cannot be imported for three months
	CodePushOff           Code = 90045 // all-member push is not switched on
	CodePushQuota         Code = 90047 // the pushes of the day are used up
	CodeGroupQuota        Code = 10006 // the groups of the day are used up
	CodeTopicGone         Code = 110003
)

// classes is IM's error table, and [Code.Class] its reading.
var classes = map[Class][]Code{
	ClassTransient: {
		10002, 20004, 20005, 20018, 22002, 30006, 30007, 40006, 50004, 50005, 60004, 60005, 60008, 60014, 70169, 70202,
		70500, 90992, 90994, 91000, 110007,
	},
	ClassThrottled: {
		10006, 10023, 10049, 22006, 60007, 60011, 60018, 60019, 60028, 70050, 72010, 90024, 90047, 90057,
	},
	ClassConflict:  {10056, 20027, 20028, 30008},
	ClassSignature: {20002, 70001, 70002, 70003, 70005, 70009, 70013, 70014, 70051, 70052},
	ClassConfiguration: {
		10058, 10059, 11000, 60006, 60010, 60016, 60017, 60020, 60021, 60026, 70016, 70020, 70403, 80003, 90045,
	},
	ClassRequest: {
		10003, 10004, 10005, 30001, 40001, 60002, 60003, 60009, 60012, 60013, 60015, 60025, 60027, 70402, 90001, 90002, 90003,
		90004, 90005, 90006, 90007, 90008, 90009, 90010, 90011, 90020, 90022, 90026, 90032, 90033, 90039, 90040, 90054,
	},
	ClassAccount: {10019, 20003, 70107, 70398, 70399, 71000, 72000, 72002, 90012},
	ClassContent: {80001, 80002, 80004, 80005, 90995, 93000},
	ClassC2C:     {20006, 20007, 20009, 20010, 20011, 20012, 20016, 20022, 20023},
	ClassGroup: {
		10007, 10010, 10013, 10014, 10015, 10016, 10017, 10018, 10021, 10025, 10030, 10031, 10032, 10033, 10034, 10035,
		10036, 10037, 10045, 10046, 10047, 10048, 10050, 10053, 10063, 110002, 110003, 110006, 110008, 110009, 110010,
		110011, 110012, 110013, 110014,
	},
}

var classOf = func() map[Code]Class {
	m := make(map[Code]Class)
	for class, codes := range classes {
		for _, code := range codes {
			m[code] = class
		}
	}
	return m
}()

// The codes that our own before-callbacks may refuse with (1047/34364,
// 1047/34374).
const (
	leastC2CVerdict, mostC2CVerdict     Code = 120001, 130000
	leastGroupVerdict, mostGroupVerdict Code = 10100, 10200
)

// Class returns what can be done about the code.
func (c Code) Class() Class {
	switch {
	case c >= leastC2CVerdict && c <= mostC2CVerdict:
		return ClassC2C
	case c >= leastGroupVerdict && c <= mostGroupVerdict:
		return ClassGroup
	}
	return classOf[c]
}

func (c Code) Error() string { return fmt.Sprintf("code %d (%v)", int(c), c.Class()) }

// Is reports whether target is the code's class.
func (c Code) Is(target error) bool { return target == c.Class() }

// daily are the throttling codes of a day's quota: no pause within one call
// helps.
func (c Code) daily() bool {
	return c == CodeGroupQuota || c == CodeTrialQuota || c == CodePushQuota
}

// Error is a call that did not succeed: refused by IM, without an answer, or
// never sent. errors.Is takes a [Class] or a [Code]; errors.As also finds a
// [StatusError] and a [*LimitError] in it, and errors.Is the context's errors.
//
// Its text has no URL, no UserSig and no text of a message.
type Error struct {
	Command string // service/command, such as openim/sendmsg
	Class   Class
	Code    Code   // 0 if it is not IM's answer
	Info    string // IM's own text, shortened
	// MayHaveWorked: IM's answer to one of the tries was lost, so that the call may
	// have taken effect although this is an error, even IM's refusal of a retry.
	MayHaveWorked bool

	cause error // where there is no code
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("im: ")
	b.WriteString(e.Command)
	if e.cause != nil {
		b.WriteString(": ")
		b.WriteString(e.cause.Error())
	}
	if e.Code != 0 {
		b.WriteString(": ")
		b.WriteString(e.Code.Error())
	}
	// IM's text on refused content may quote it.
	if e.Info != "" && e.Class != ClassContent {
		b.WriteString(": ")
		b.WriteString(e.Info)
	}
	if e.MayHaveWorked {
		b.WriteString(" (it may have taken effect)")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.cause }

// As gives the error its public face, a [*fault.Error] without IM's words:
// Upstream where IM would refuse a repeat as well ([Lasting]), else Unavailable.
func (e *Error) As(target any) bool {
	public, is := target.(**fault.Error)
	switch {
	case !is:
	case Lasting(e):
		*public = fault.Wrap(e.cause, fault.Upstream, "IM refused what this request needs")
	default:
		*public = fault.Wrap(e.cause, fault.Unavailable, "IM does not do this for us at the moment; send the same request again").After(5 * time.Second)
	}
	return is
}

// Is reports whether target is the error's class or code.
func (e *Error) Is(target error) bool {
	switch target := target.(type) {
	case Class:
		return target == e.Class
	case Code:
		return target == e.Code && e.Code != 0
	}
	return false
}

// MayHaveWorked reports whether a failed call may have taken effect: IM's answer was
// lost. Only a retry with the same numbers is safe then.
func MayHaveWorked(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.MayHaveWorked
}

// StatusError is an HTTP status other than 200, which IM gives to every answer of its
// own: a proxy answered instead (1047/34620).
type StatusError int

func (s StatusError) Error() string { return fmt.Sprintf("HTTP status %d", int(s)) }

// class: only what asks for another try is transient; anything else is no IM.
func (s StatusError) class() Class {
	switch {
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500:
		return ClassTransient
	}
	return ClassConfiguration
}

// LimitError says that IM's rate limits would have delayed the call beyond its
// context's deadline. It was not sent.
type LimitError struct {
	Wait time.Duration // the delay that the rate limits asked for
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("rate limit: the call could be sent in %v, after its deadline", e.Wait.Round(time.Millisecond))
}

// FieldError is a request that breaks a documented limit or lacks something. It
// was not sent. It is of [ClassRequest].
type FieldError struct {
	Field   string // IM's name
	Limit   int    // bytes of a text, items of a list; 0 if it is not about size
	Problem string
}

func (e *FieldError) Error() string { return "im: " + e.Field + " " + e.Problem }

// Is reports whether target is ClassRequest.
func (e *FieldError) Is(target error) bool { return target == ClassRequest }

// ClassOf returns the class of an error of this package, and ClassUnknown of any
// other.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if _, ok := errors.AsType[*FieldError](err); ok {
		return ClassRequest
	}
	return ClassUnknown
}

// Lasting reports whether IM refused the request for good: a retry fails unless the
// request, or the state of accounts and groups, has changed.
func Lasting(err error) bool {
	switch ClassOf(err) {
	case ClassRequest, ClassAccount, ClassGroup, ClassContent:
		return true
	}
	return false
}

// maxInfo bounds how much of IM's text an error keeps, in bytes.
const maxInfo = 200

// cleaned makes IM's text fit for an error: short, on one line, and without the
// UserSig that IM may quote.
func cleaned(info, sig string) string {
	info = strings.ReplaceAll(info, sig, "[UserSig]")
	info = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, info)
	return CutText(info, maxInfo)
}
