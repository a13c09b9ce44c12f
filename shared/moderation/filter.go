package moderation

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/breaker"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// Encrypted is the policy for end-to-end encrypted messages, which the filter
// cannot read.
type Encrypted string

// The policies for encrypted messages.
const (
	EncryptedPass   Encrypted = "pass"   // delivered; nobody has looked at them
	EncryptedShadow Encrypted = "shadow" // delivered, and logged
	EncryptedReject Encrypted = "reject" // refused
)

// Unfinished is the verdict on a message that the word list could not read to its end,
// because the message has too many disguised words or the callback's deadline passed.
// Such a message is never delivered.
type Unfinished string

// The policies for messages that the word list could not read to their end.
const (
	UnfinishedReject Unfinished = "reject" // refused
	UnfinishedReview Unfinished = "review" // held for a moderator
)

// The default texts for users.
const (
	DefaultRefusedText = "This message was not sent."
	DefaultHeldText    = "This message waits for a moderator."
	DefaultFriendsText = "Only friends can send messages to each other here."
)

const (
	// CheckerBudget is how long a checker may take, with one try: IM's two
	// seconds less the way, and less what a start takes.
	CheckerBudget = 800 * time.Millisecond

	// A checker that failed so often in a row is left alone for a while.
	checkerFailures = 5
	checkerPause    = 10 * time.Second
)

var errAway = errors.New("the checker is away")

// Config configures a [Filter]. Lists is required.
type Config struct {
	Lists   Lists
	Holder  Holder  // nil: messages to be reviewed are refused
	Checker Checker // nil: the word list alone decides
	Friends Friends // nil: anybody may write to anybody

	// CheckerClosed refuses messages while the checker fails or times out.
	// Otherwise such messages pass.
	CheckerClosed bool
	// FriendsClosed refuses one-to-one messages while IM's friend check fails.
	FriendsClosed bool
	// Striker receives offences of severity StrikeFrom (1 to 5) or more; nil for
	// none. A message that is only masked is no offence.
	Striker    Striker
	StrikeFrom int
	// Exempt are UserIDs whose one-to-one messages skip the friend check in both
	// directions, such as the admin account. Robots are always exempt.
	Exempt []string

	Encrypted  Encrypted  // "" is EncryptedPass
	Unfinished Unfinished // "" is UnfinishedReject

	// Codes that the sender's client gets for a refusal: 120001 to 130000 in
	// one-to-one chats, 10100 to 10200 in groups; 0 is IM's own 20006 and 10016.
	C2CCode, GroupCode int
	// RefusedText, HeldText and FriendsText are the texts for the sender; "" is the
	// default.
	RefusedText, HeldText, FriendsText string

	Now func() time.Time // nil for time.Now
	Log *slog.Logger     // nil: slog.Default
}

// Filter gives verdicts on messages. It writes to the store only when it holds a
// message for review or records a strike.
type Filter struct {
	c       Config
	breaker *breaker.Breaker
	friends *friendRule
}

// New returns a filter.
func New(c Config) *Filter {
	for _, text := range []struct {
		of  *string
		def string
	}{{&c.RefusedText, DefaultRefusedText}, {&c.HeldText, DefaultHeldText}, {&c.FriendsText, DefaultFriendsText}} {
		if *text.of == "" {
			*text.of = text.def
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	f := &Filter{c: c, breaker: breaker.New(checkerFailures, checkerPause, c.Now)}
	if c.Friends != nil {
		f.friends = newFriendRule(c)
	}
	return f
}

// Register adds the filter's rules. A message that the words rule cannot judge in time
// is refused: the checker's own policy applies within [CheckerBudget], so only the
// word list or a review can be late.
func (f *Filter) Register(m *callback.Mux) {
	if f.friends != nil {
		policy := callback.FailOpen
		if f.c.FriendsClosed {
			policy = callback.FailClosed
		}
		callback.Before(m, "friends", policy, f.friends.c2c)
	}
	callback.Before(m, "words", callback.FailClosed, f.c2c)
	callback.Before(m, "words", callback.FailClosed, f.group)
	callback.Before(m, "words", callback.FailClosed, f.newGroup)
	callback.Before(m, "words", callback.FailClosed, f.newTopic)
}

func (f *Filter) c2c(ctx context.Context, e *callback.C2CBeforeSendMsg) (v callback.C2CVerdict, err error) {
	d := f.judge(ctx, message{Held: Held{
		From: e.From, To: e.To, MsgBody: e.MsgBody, CloudCustomData: e.CloudCustomData, OnlineOnly: e.OnlineOnlyFlag != 0,
	}, random: e.MsgRandom, seq: e.MsgSeq})
	return verdict(v, d, f.c.C2CCode), nil
}

func (f *Filter) group(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	d := f.judge(ctx, message{Held: Held{
		From: e.From, GroupID: e.GroupID, GroupType: e.Type, TopicID: e.TopicID, MsgBody: e.MsgBody,
		CloudCustomData: e.CloudCustomData, MsgPriority: e.MsgPriority, OnlineOnly: e.OnlineOnlyFlag != 0,
	}, random: e.Random})
	return verdict(v, d, f.c.GroupCode), nil
}

// decision says how IM treats a message. The zero value delivers it.
type decision struct {
	refuse bool
	text   string // that the sender reads
	drop   bool
	body   im.MsgBody // nil: as it is
	custom *string    // nil: as it is
}

// messageVerdict is what both families of messages are answered with.
type messageVerdict[V any] interface {
	Reject(text string) V
	RejectCode(code int, text string) V
	Drop() V
	Rewrite(body im.MsgBody) V
	SetCustomData(data string) V
}

func verdict[V messageVerdict[V]](v V, d decision, code int) V {
	switch {
	case d.refuse && code != 0:
		return v.RejectCode(code, d.text)
	case d.refuse:
		return v.Reject(d.text)
	case d.drop:
		return v.Drop()
	}
	if d.body != nil {
		v = v.Rewrite(d.body)
	}
	if d.custom != nil {
		v = v.SetCustomData(*d.custom)
	}
	return v
}

// Passage is a text that is no message of a client, such as a robot's answer or a
// prompt.
type Passage struct {
	From, To  string // UserIDs; To in a one-to-one chat
	GroupID   string
	GroupType im.GroupType
	TopicID   string
	Text      string
}

// Passage judges a text like a message, and masks words where the rule set says so. A
// text that would be held for review as a message is refused, and nobody gets a
// strike. ok is false for a text that may not be shown.
func (f *Filter) Passage(ctx context.Context, p Passage) (text string, ok bool) {
	j := newJudgement(ctx, f.c.Lists.For(ctx, p.GroupID), message{Held: Held{
		From: p.From, To: p.To, GroupID: p.GroupID, GroupType: p.GroupType, TopicID: p.TopicID, MsgBody: im.Text(p.Text),
	}})
	defer j.release()
	action := f.action(ctx, j)
	if action != wordlist.Allow {
		j.log(ctx, f.c.Log, action)
	}
	switch action {
	case wordlist.Allow, wordlist.Shadow:
		return p.Text, true
	case wordlist.Mask:
		if d := f.masked(ctx, j); !d.refuse {
			if d.body == nil {
				return p.Text, true
			}
			return d.body.PlainText(), true
		}
	}
	return "", false
}

// judge decides about a message.
func (f *Filter) judge(ctx context.Context, m message) decision {
	j := newJudgement(ctx, f.c.Lists.For(ctx, m.GroupID), m)
	defer j.release()
	action := f.action(ctx, j)
	if action == wordlist.Allow {
		return decision{}
	}
	j.log(ctx, f.c.Log, action)
	callback.Explain(ctx, Explanation{Action: action, Reasons: j.reasons, List: j.list.Version()})
	switch action {
	case wordlist.Reject:
		f.strike(ctx, j)
		return decision{refuse: true, text: f.c.RefusedText}
	case wordlist.Drop:
		f.strike(ctx, j)
		return decision{drop: true}
	case wordlist.Review:
		return f.hold(ctx, j)
	case wordlist.Mask:
		return f.masked(ctx, j)
	}
	return decision{} // shadow
}

// action is the strictest that the word list, the policies and the checker ask for.
func (f *Filter) action(ctx context.Context, j *judgement) wordlist.Action {
	j.body()
	action := j.worst()
	if j.unfinished {
		least := wordlist.Reject
		if f.c.Unfinished == UnfinishedReview {
			least = wordlist.Review
		}
		action, j.reasons = stricter(action, least), append(j.reasons, Reason{Category: "unfinished"})
	}
	if j.encrypted {
		switch f.c.Encrypted {
		case EncryptedReject:
			action, j.reasons = wordlist.Reject, append(j.reasons, Reason{Category: "encrypted"})
		case EncryptedShadow:
			action, j.reasons = stricter(action, wordlist.Shadow), append(j.reasons, Reason{Category: "encrypted"})
		}
	}
	if f.c.Checker != nil && action != wordlist.Reject && action != wordlist.Drop {
		action = f.second(ctx, j, action)
	}
	return action
}

// stricter returns the stricter of two actions.
func stricter(a, b wordlist.Action) wordlist.Action {
	return wordlist.Actions[max(slices.Index(wordlist.Actions, a), slices.Index(wordlist.Actions, b))]
}

// second asks the checker and returns the stricter of what it and the list want.
func (f *Filter) second(ctx context.Context, j *judgement, action wordlist.Action) wordlist.Action {
	o, label, err := f.ask(ctx, j)
	switch {
	case err != nil:
		if !errors.Is(err, errAway) {
			f.c.Log.WarnContext(ctx, "text checker failed", "refused", f.c.CheckerClosed, "error", err.Error())
		}
		if !f.c.CheckerClosed {
			return action
		}
		action, label = wordlist.Reject, "checker away"
	case o == Block:
		action = wordlist.Reject
	case o == Suspect:
		action = wordlist.Review
	default:
		return action
	}
	j.reasons = append(j.reasons, Reason{Category: label})
	return action
}

// hold keeps the message for a person. The sender is told either way; one that
// could not be kept is refused as any other.
func (f *Filter) hold(ctx context.Context, j *judgement) decision {
	if f.c.Holder == nil {
		return decision{refuse: true, text: f.c.RefusedText}
	}
	h := j.Held
	h.ID, h.At, h.Reasons = j.identity(), f.c.Now(), j.reasons
	if err := f.c.Holder.Hold(ctx, h); err != nil {
		f.c.Log.WarnContext(ctx, "a message could not be held for review; it was refused", "error", err.Error())
		return decision{refuse: true, text: f.c.RefusedText}
	}
	return decision{refuse: true, text: f.c.HeldText}
}

// strikeBudget is how long handing on an offence may take: the verdict waits.
const strikeBudget = 300 * time.Millisecond

// strike hands on what the sender did. The verdict does not depend on it.
func (f *Filter) strike(ctx context.Context, j *judgement) {
	if f.c.Striker == nil {
		return
	}
	o := Offence{MessageID: j.identity(), UserID: j.From}
	for _, r := range j.reasons {
		if r.Severity > o.Severity {
			o.Severity, o.Category = r.Severity, r.Category
		}
	}
	if o.Severity < max(f.c.StrikeFrom, 1) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, strikeBudget)
	defer cancel()
	if err := f.c.Striker.Strike(ctx, o); err != nil {
		f.c.Log.WarnContext(ctx, "strike for the sender of a refused message not recorded", "error", err.Error())
	}
}

// masked delivers the message with its hits masked. Where one is left all the
// same, because stars brought together what was apart, the message is refused.
func (f *Filter) masked(ctx context.Context, j *judgement) decision {
	body, custom := visitBody(j.MsgBody, masker{j}), visitText(j.CloudCustomData, masker{j})
	m := j.message
	m.MsgBody, m.CloudCustomData = body, custom
	again := newJudgement(ctx, j.list, m)
	defer again.release()
	again.body()
	if j.unfinished || again.unfinished || again.worst() != wordlist.Allow && again.worst() != wordlist.Shadow {
		return decision{refuse: true, text: f.c.RefusedText}
	}
	var d decision
	if len(body) > 0 && &body[0] != &j.MsgBody[0] {
		d.body = body
	}
	if custom != j.CloudCustomData {
		d.custom = &custom
	}
	return d
}

// log says what was decided and by which rules, never what was written: that of
// a shadow is what its list is tried for.
func (j *judgement) log(ctx context.Context, to *slog.Logger, action wordlist.Action) {
	categories, severity := make([]string, len(j.reasons)), 0
	for i, r := range j.reasons {
		categories[i], severity = r.Category, max(severity, r.Severity)
	}
	to.InfoContext(ctx, "message judged", "action", string(action), "categories", categories, "severity", severity,
		"list", j.list.Version(), "group", j.GroupID, "from", j.From)
}

func (f *Filter) newGroup(ctx context.Context, e *callback.GroupBeforeCreate) (callback.EntryVerdict, error) {
	return f.name(ctx, e.Type, e.Name), nil
}

func (f *Filter) newTopic(ctx context.Context, e *callback.TopicBeforeCreate) (callback.EntryVerdict, error) {
	return f.name(ctx, e.Type, e.Name), nil
}

// name refuses a name that could not be said: IM lets nobody mask it here.
func (f *Filter) name(ctx context.Context, t im.GroupType, name string) (v callback.EntryVerdict) {
	j := newJudgement(ctx, f.c.Lists.For(ctx, ""), message{Held: Held{GroupType: t}})
	defer j.release()
	j.text(name)
	if worst := j.worst(); !j.unfinished && (worst == wordlist.Allow || worst == wordlist.Shadow) {
		return v
	}
	if f.c.GroupCode != 0 {
		return v.RejectCode(f.c.GroupCode, f.c.RefusedText)
	}
	return v.Reject(f.c.RefusedText)
}
