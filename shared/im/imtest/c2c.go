package imtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// conversation is what two users said to each other.
type conversation struct {
	history []storedC2C
	repeats map[c2cRepeat]repeated
	cleared map[string]*Message  // by user: the last one that is off that side's history
	read    map[string]time.Time // by reader
	unread  map[string]int       // by reader
}

// storedC2C is a message in a conversation's history.
type storedC2C struct {
	*Message
	receiverOnly bool // only the receiver's side has it
}

// c2cRepeat is what IM knows a repeated sendmsg by (269/2282).
type c2cRepeat struct {
	from        string
	seq, random uint32
	sum         uint32
}

// c2cDuplicateSpan is how long a repeated sendmsg is recognised.
const c2cDuplicateSpan = 120 * time.Second

type c2cSend struct {
	sender, receiver      string
	seq, random           uint32
	hasSeq                bool
	body                  json.RawMessage
	custom                string
	onlineOnly            bool
	skipBefore, skipAfter bool
	notToSender           bool // SyncOtherMachine 2
	noUnread              bool
	clientTime            int64
	needReceipt           bool
	extensible            bool
	from                  origin
	byREST                bool
}

func pair(a, b string) string {
	if a > b {
		a, b = b, a
	}
	return a + "\x00" + b
}

// conversation returns what two users said, made on first use. The caller
// holds the lock.
func (a *App) conversation(x, y string) *conversation {
	c := a.conversations[pair(x, y)]
	if c == nil {
		c = &conversation{
			repeats: make(map[c2cRepeat]repeated), cleared: make(map[string]*Message), read: make(map[string]time.Time),
			unread: make(map[string]int),
		}
		a.conversations[pair(x, y)] = c
	}
	return c
}

// sendC2C sends a one-to-one message: checks, the before-callback, the verdict,
// delivery, the after-callbacks.
func (a *App) sendC2C(s c2cSend) (Sent, error) {
	a.mu.Lock()
	now := a.clock.Now()
	if err := a.checkC2C(s); err != nil {
		a.mu.Unlock()
		return Sent{}, err
	}
	if !s.hasSeq {
		s.seq = a.rng.Uint32()
	}
	known := c2cRepeat{s.sender, s.seq, s.random, checksum(s.body, s.custom)}
	first, again := a.conversation(s.sender, s.receiver).repeat(known, now)
	a.mu.Unlock()
	if again {
		return a.repeatedC2C(first)
	}

	key := msgKey(s.seq, s.random, now)
	m := s.message(key, now)
	done := Sent{Seq: s.seq, At: m.Time, Key: key, ID: m.ID}
	fields := object{
		"From_Account", s.sender, "To_Account", s.receiver, "MsgSeq", s.seq, "MsgRandom", s.random,
		"MsgTime", now.Unix(), "MsgKey", key, "MsgId", m.ID, "OnlineOnlyFlag", flag(s.onlineOnly),
	}
	if !s.skipBefore {
		v := a.before(notice{command: "C2C.CallbackBeforeSendMsg", from: s.from, body: fields.
			with("MsgBody", s.body).withText("CloudCustomData", s.custom).with("EventTime", a.eventTime())})
		if v.drops() {
			return done, nil
		}
		if err := a.applyVerdict(c2cVerdicts, v, m, a.console.Load().BlockC2COnFailure); err != nil {
			return Sent{}, err
		}
	}

	a.mu.Lock()
	if err := a.checkUsers(s); err != nil { // somebody may have been faster
		a.mu.Unlock()
		return Sent{}, err
	}
	c := a.conversation(s.sender, s.receiver)
	if first, again := c.repeat(known, now); again {
		a.mu.Unlock()
		return a.repeatedC2C(first)
	}
	c.repeats[known] = repeated{at: now, answer: done}
	unread := a.deliverC2C(c, m, s)
	toRobot := a.accounts[s.receiver].robot
	a.mu.Unlock()

	after := fields.with("SendMsgResult", 0, "ErrorInfo", "send msg succeed", "MsgBody", m.Body).withText("CloudCustomData", m.Custom)
	if !s.skipAfter {
		a.after(notice{command: "C2C.CallbackAfterSendMsg", from: s.from, body: after.with("UnreadMsgNum", unread, "EventTime", a.eventTime())})
	}
	if toRobot {
		a.after(notice{command: "Bot.OnC2CMessage", from: s.from, body: after.with("EventTime", a.eventTime())})
	}
	return done, nil
}

// msgKey is how IM names a one-to-one message.
func msgKey(seq, random uint32, at time.Time) string {
	return fmt.Sprintf("%d_%d_%d", seq, random, at.Unix())
}

func (s c2cSend) message(key string, now time.Time) *Message {
	return &Message{
		From: s.sender, To: s.receiver, Seq: s.seq, Random: s.random, Time: now.Truncate(time.Second), Key: key,
		ID: "144115" + key, Body: s.body, Custom: s.custom, Online: s.onlineOnly, ByREST: s.byREST,
		ClientTime: s.clientTime, NeedReceipt: s.needReceipt, Extensible: s.extensible,
	}
}

// deliverC2C stores a message, hands it to both, and returns how many the
// receiver has not read. The caller holds the lock.
func (a *App) deliverC2C(c *conversation, m *Message, s c2cSend) int {
	if !m.Online {
		c.history = append(c.history, storedC2C{Message: m, receiverOnly: s.notToSender})
		if len(c.history) > historyKept {
			c.history = slices.Clone(c.history[len(c.history)-historyKept/2:])
		}
		if !s.noUnread {
			c.unread[s.receiver]++
		}
	}
	e := &Event{Kind: "message", Message: m.copied()}
	a.deliver(s.receiver, e)
	if s.sender != s.receiver && !s.notToSender {
		a.deliver(s.sender, e)
	}
	return c.unread[s.receiver]
}

// repeat returns the first answer to a message that is being repeated. The
// caller holds the app's lock.
func (c *conversation) repeat(k c2cRepeat, now time.Time) (Sent, bool) {
	r, ok := c.repeats[k]
	return r.answer, ok && now.Sub(r.at) < c2cDuplicateSpan
}

func (a *App) repeatedC2C(first Sent) (Sent, error) {
	if a.conf.Unknowns.DuplicateFails {
		return Sent{}, fail(90001, "a message with these numbers was sent already")
	}
	return first, nil
}

// checkC2C checks a one-to-one send. REST skips what users may do to each
// other. The caller holds the lock.
func (a *App) checkC2C(s c2cSend) error {
	if err := a.checkUsers(s); err != nil {
		return err
	}
	if !s.byREST {
		sender, receiver := a.user(s.sender), a.user(s.receiver)
		switch {
		case receiver.blocks(s.sender):
			return fail(20007, "the receiver has blocked the sender")
		case sender.c2cMutedUntil.After(a.clock.Now()):
			return fail(20012, "the sender is muted")
		case receiver.profile["Tag_Profile_IM_AllowType"] == "AllowType_Type_FriendOnlyChat" &&
			receiver.friends[s.sender] == nil && !receiver.robot:
			return fail(20009, "the two are not friends")
		}
	}
	return checkBody(s.body, s.custom, a.strictly(c2cBody))
}

// checkUsers checks that both exist. The caller holds the lock.
func (a *App) checkUsers(s c2cSend) error {
	switch {
	case s.receiver == "":
		return fail(90003, "To_Account is missing")
	case a.user(s.sender) == nil:
		return fail(90008, "From_Account is not imported")
	case a.user(s.receiver) != nil:
		return nil
	case a.conf.Unknowns.MissingReceiverIs90012:
		return fail(90012, "To_Account is not imported")
	}
	return fail(20003, "To_Account is not imported")
}

// find returns a stored message by its key, or nil. The caller holds the lock.
func (c *conversation) find(key string) *Message {
	for _, m := range slices.Backward(c.history) {
		if m.Key == key {
			return m.Message
		}
	}
	return nil
}
