package imtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// groupSend is a message to a group on its way, from REST or from a client.
type groupSend struct {
	groupID, topicID string
	sender, operator string
	random           uint32
	body             json.RawMessage
	custom           string
	priority         Priority
	onlineOnly       bool
	mentions         []mention
	directed         []string // To_Account: only these see it
	skipBefore       bool
	skipAfter        bool
	clientTime       int64
	needReceipt      bool
	extensible       bool
	from             origin
	byREST           bool

	// sum of body and custom data as they were sent: a repetition is known by
	// them, whatever a verdict made of the message.
	sum uint32
}

type mention struct {
	GroupAtAllFlag  int
	GroupAt_Account string //nolint:revive // IM's spelling
}

// duplicateSpan is how long a group remembers Random (269/1629).
const duplicateSpan = 5 * time.Minute

// roomRate is how many messages a second a group takes, of all senders and
// kinds together.
const roomRate = 40

// waitingRoom is how many messages over the rate wait for the next moment, and
// turnEvery how soon that is; beyond it the least important one is shed. Neither
// is documented: shedding by priority is (269/1629).
const (
	waitingRoom = 40
	turnEvery   = 100 * time.Millisecond
)

// pendingMessage is an accepted message that waits for its turn.
type pendingMessage struct {
	message *Message
	send    groupSend
	line    *line
}

// sendGroup sends a message: checks, the before-callback, the verdict, the
// rate, delivery, the after-callbacks.
func (a *App) sendGroup(s groupSend) (Sent, error) {
	s.sum = checksum(s.body, s.custom)
	a.mu.Lock()
	now := a.clock.Now()
	g, l, err := a.checkGroupSend(s)
	if err != nil {
		a.mu.Unlock()
		a.sendFailed(s, g, err)
		return Sent{}, err
	}
	first, again := l.repeat(s, now)
	id := "144115" + a.newID() + fmt.Sprintf("-%d-%d", now.Unix(), s.random)
	a.mu.Unlock()
	if again {
		return a.repeated(first)
	}
	m := &Message{
		From: s.sender, GroupID: s.groupID, TopicID: s.topicID, Random: s.random, ID: id, Body: s.body, Custom: s.custom,
		Priority: s.priority, Online: s.onlineOnly && !g.isAVRoom(), ByREST: s.byREST, ClientTime: s.clientTime,
		NeedReceipt: s.needReceipt && !g.isAVRoom() && g.kind != typeCommunity,
		Extensible:  s.extensible && !g.isAVRoom() && g.kind != typeCommunity,
	}
	for _, at := range s.mentions {
		if at.GroupAtAllFlag == 1 {
			m.Mentions = append(m.Mentions, "@all")
		} else {
			m.Mentions = append(m.Mentions, at.GroupAt_Account)
		}
	}
	if !s.skipBefore {
		v := a.before(notice{command: "Group.CallbackBeforeSendMsg", from: s.from, body: object{
			"GroupId", s.groupID, "Type", a.typeName(g), "From_Account", s.sender, "Operator_Account", s.operator,
			"Random", s.random, "MsgId", id, "OnlineOnlyFlag", flag(m.Online), "MsgBody", s.body,
		}.withText("CloudCustomData", s.custom).withText("TopicId", s.topicID).with("EventTime", a.eventTime())})
		if v.drops() {
			return Sent{At: now.Truncate(time.Second), ID: id}, nil
		}
		if err := a.applyVerdict(messageVerdicts, v, m, a.console.Load().BlockGroupOnFailure); err != nil {
			return Sent{}, err
		}
	}
	return a.accept(g, l, m, s)
}

// repeated is the answer to a message that was sent already.
func (a *App) repeated(first Sent) (Sent, error) {
	if a.conf.Unknowns.DuplicateFails {
		return Sent{}, fail(10004, "a message with this Random was sent already")
	}
	return first, nil
}

// checkGroupSend checks a send against group, sender and message. The caller
// holds the lock.
func (a *App) checkGroupSend(s groupSend) (*group, *line, error) {
	g, err := a.existing(s.groupID)
	if err != nil {
		return nil, nil, err
	}
	l, err := g.lineOf(s.topicID)
	if err != nil {
		return g, nil, err
	}
	now := a.clock.Now()
	u := a.user(s.sender)
	switch {
	case g.supportTopic && s.topicID == "":
		return g, l, fail(10007, "a community with topics takes messages in its topics alone")
	case s.sender != notFoundSender && u == nil:
		return g, l, fail(10019, "the sender is not imported")
	case len(s.mentions) > 30:
		return g, l, fail(10053, "over 30 mentions")
	case len(s.directed) > 50:
		return g, l, fail(10005, "over 50 recipients")
	case len(s.directed) > 0 && (g.isAVRoom() || g.kind == typeCommunity):
		return g, l, fail(10007, "this type of group takes no directed messages")
	}
	if !s.byREST {
		t := g.topics[s.topicID]
		switch {
		case !g.present(s.sender):
			return g, l, fail(10007, "the sender is not in the group")
		case u.groupMutedUntil.After(now), g.muted[s.sender].After(now), t != nil && t.muted[s.sender].After(now):
			return g, l, fail(10017, "the sender is muted")
		case !g.permits(s.sender, rightSend, s.topicID, topicRightSend):
			return g, l, fail(10007, "no permission group of the sender's may send here")
		case len(s.mentions) > 0 && mentionsAll(s.mentions) && !g.permits(s.sender, rightMentionAll, s.topicID, topicRightMentionAll):
			return g, l, fail(10007, "no permission group of the sender's may mention everybody here")
		case (g.muteAll || t != nil && t.muteAll) && !g.leads(s.sender):
			return g, l, fail(10017, "everybody is muted")
		}
	}
	return g, l, checkBody(s.body, s.custom, a.strictly(groupBody))
}

func mentionsAll(list []mention) bool {
	return slices.ContainsFunc(list, func(m mention) bool { return m.GroupAtAllFlag == 1 })
}

// lineOf returns the messages of the group itself or of one of its topics.
func (g *group) lineOf(topicID string) (*line, error) {
	if topicID == "" {
		return &g.line, nil
	}
	t := g.topics[topicID]
	if t == nil {
		return nil, fail(10004, "no such topic")
	}
	return &t.line, nil
}

// lineIn returns the group that find makes of its ID, and the messages of the group
// itself or of one of its topics. The caller holds the lock.
func lineIn(find func(groupID string) (*group, error), groupID, topicID string) (*group, *line, error) {
	g, err := find(groupID)
	if err != nil {
		return nil, nil, err
	}
	l, err := g.lineOf(topicID)
	return g, l, err
}

// notFoundSender is the From_Account of a REST send without one, as captured
// from real callbacks.
const notFoundSender = "@TLS#NOT_FOUND"

// repeat returns the first answer to a message that is being repeated.
func (l *line) repeat(s groupSend, now time.Time) (Sent, bool) {
	r, ok := l.repeats[repeatKey{s.sender, s.random, s.sum}]
	return r.answer, ok && now.Sub(r.at) < duplicateSpan
}

// remember notes a send for as long as repeats are recognised.
func (l *line) remember(s groupSend, done Sent, now time.Time) {
	if l.repeats == nil {
		l.repeats = make(map[repeatKey]repeated)
	}
	l.repeats[repeatKey{s.sender, s.random, s.sum}] = repeated{at: now, answer: done}
	if len(l.repeats) >= 2*l.repeatsKept+1024 {
		maps.DeleteFunc(l.repeats, func(_ repeatKey, r repeated) bool { return now.Sub(r.at) >= duplicateSpan })
		l.repeatsKept = len(l.repeats)
	}
}

// accept gives a message its number and delivers it at once, later, or, when
// the group gets more than it takes, not at all.
func (a *App) accept(g *group, l *line, m *Message, s groupSend) (Sent, error) {
	a.mu.Lock()
	now := a.clock.Now()
	if a.groups[g.id] != g {
		a.mu.Unlock()
		return Sent{}, fail(10010, "the group does not exist")
	}
	if first, again := l.repeat(s, now); again {
		a.mu.Unlock()
		return a.repeated(first)
	}
	over := !a.takes(g, now)
	if over && (a.conf.Unknowns.OverLimitFails || !g.isAVRoom()) {
		a.mu.Unlock()
		err := fail(10023, "msg count exceeds limit,please retry later")
		a.sendFailed(s, g, err)
		return Sent{}, err
	}
	l.lastSeq++
	m.Seq, m.Time = l.lastSeq, now.Truncate(time.Second)
	done := Sent{Seq: m.Seq, At: m.Time, ID: m.ID}
	l.remember(s, done, now)
	var notices []notice
	if over {
		a.queueOver(g, l, &pendingMessage{message: m, send: s})
	} else {
		notices = a.deliverGroup(g, l, m, s)
	}
	a.mu.Unlock()
	a.afterAll(notices)
	return done, nil
}

// takes counts a message against the group's rate. While others wait their turn
// nobody overtakes them. The caller holds the lock.
func (a *App) takes(g *group, now time.Time) bool {
	rate := a.conf.RoomRate
	if rate == 0 {
		rate = roomRate
	}
	return rate < 0 || len(g.waiting) == 0 && g.second.take(now, time.Second, rate)
}

// queueOver lets a message over the rate wait for the next free moment, and
// sheds the least important one when too many wait. The caller holds the lock.
func (a *App) queueOver(g *group, l *line, p *pendingMessage) {
	p.line = l
	at := len(g.waiting)
	for at > 0 && g.waiting[at-1].message.Priority.rank() > p.message.Priority.rank() {
		at--
	}
	g.waiting = slices.Insert(g.waiting, at, p)
	if len(g.waiting) > waitingRoom {
		last := len(g.waiting) - 1
		g.shed = append(g.shed, ShedMessage{Message: *g.waiting[last].message, By: p.message.Seq})
		g.waiting = g.waiting[:last]
	}
	if !g.turning {
		g.turning = true
		a.clock.after(turnEvery, func() { a.turn(g) })
	}
}

// turn delivers waiting messages, the important ones first, as the rate allows.
func (a *App) turn(g *group) {
	a.mu.Lock()
	now := a.clock.Now()
	rate := a.conf.RoomRate
	if rate == 0 {
		rate = roomRate
	}
	var notices []notice
	for len(g.waiting) > 0 && a.groups[g.id] == g && g.second.take(now, time.Second, rate) {
		p := g.waiting[0]
		g.waiting = g.waiting[1:]
		notices = append(notices, a.deliverGroup(g, p.line, p.message, p.send)...)
	}
	g.turning = len(g.waiting) > 0 && a.groups[g.id] == g
	if g.turning {
		a.clock.after(turnEvery, func() { a.turn(g) })
	}
	a.mu.Unlock()
	a.afterAll(notices)
}
