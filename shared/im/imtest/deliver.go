package imtest

import (
	"slices"
	"strings"
)

// How much is kept, in messages: of a group or topic, and of what waits for a
// user's next login.
const (
	historyKept = 5000
	waitingKept = 1000
)

// deliverGroup stores a message and hands it to everybody who is there, and
// returns the callbacks that follow. The caller holds the lock.
func (a *App) deliverGroup(g *group, l *line, m *Message, s groupSend) []notice {
	if !m.Online {
		l.store(m)
	}
	switch sender := g.members[m.From]; {
	case sender == nil:
	case m.TopicID != "": // the SDK takes a topic as read when its user writes there
		sender.topicRead[m.TopicID] = m.Seq
	case m.TopicID == "" && sender.readSeq == m.Seq-1:
		sender.readSeq = m.Seq
	}
	e := &Event{Kind: "message", GroupID: m.GroupID, Message: m.copied()}
	switch {
	case len(s.directed) > 0:
		for _, id := range s.directed {
			if g.members[id] != nil && id != s.sender {
				a.deliver(id, e)
			}
		}
		a.deliver(s.sender, e)
	case g.isAVRoom():
		for _, id := range g.joinOrder {
			a.deliverInRoom(g, id, e)
		}
	default:
		for _, id := range g.joinOrder {
			a.deliver(id, e)
		}
	}
	return a.afterGroupSend(g, m, s)
}

// store keeps a message in the order of MsgSeq.
func (l *line) store(m *Message) {
	at := len(l.history)
	for at > 0 && l.history[at-1].Seq > m.Seq {
		at--
	}
	l.history = slices.Insert(l.history, at, m)
	if len(l.history) > historyKept {
		l.history = slices.Clone(l.history[len(l.history)-historyKept/2:])
	}
}

// find returns a stored message, or nil.
func (l *line) find(seq uint32) *Message {
	for _, m := range slices.Backward(l.history) {
		if m.Seq == seq {
			return m
		}
	}
	return nil
}

// deliver gives a message to a user's devices or, when none listens, keeps it
// for the next login. The caller holds the lock.
func (a *App) deliver(userID string, e *Event) {
	u := a.user(userID)
	if u == nil {
		return
	}
	reached := false
	for _, c := range u.devices {
		if !c.dark {
			c.push(e)
			reached = true
		}
	}
	for _, c := range u.devices {
		if c.dark && (reached || e.Kind != "message") { // otherwise the message waits, for any device
			c.reach(e)
		}
	}
	switch {
	case e.Kind != "message":
	case reached:
		u.seen = append(u.seen, e.Message)
	case !e.Message.Online:
		u.waiting = append(u.waiting, e.Message)
		if len(u.waiting) > waitingKept {
			u.waiting = slices.Clone(u.waiting[len(u.waiting)-waitingKept/2:])
		}
	}
}

// deliverInRoom gives a message to those devices of a user that joined the
// AVChatRoom; who is not there never sees it. The caller holds the lock.
func (a *App) deliverInRoom(g *group, userID string, e *Event) {
	reached := false
	for _, c := range a.devicesIn(g, userID) {
		if c.reach(e) {
			reached = true
		}
	}
	if u := a.user(userID); reached && u != nil && e.Kind == "message" {
		u.seen = append(u.seen, e.Message)
	}
}

// tell gives everybody in a group an event that is no new message. The caller
// holds the lock.
func (a *App) tell(g *group, e *Event) {
	for c := range a.listening(g) {
		c.reach(e)
	}
}

// tellUser is tell for one member.
func (a *App) tellUser(g *group, id string, e *Event) {
	for _, c := range a.devicesIn(g, id) {
		c.reach(e)
	}
}

func (m *Message) copied() *Message {
	c := *m
	return &c
}

// Seen returns every message that reached one of the user's devices, each once,
// in the order of arrival, as it was then.
func (a *App) Seen(userID string) []Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.accounts[userID]
	if u == nil {
		return nil
	}
	list := make([]Message, len(u.seen))
	for i, m := range u.seen {
		list[i] = *m
	}
	return list
}

// afterGroupSend lists the callbacks of a delivered message: what was sent, and
// which robots it mentions.
func (a *App) afterGroupSend(g *group, m *Message, s groupSend) []notice {
	body := object{
		"GroupId", m.GroupID, "Type", a.typeName(g), "From_Account", m.From, "Operator_Account", s.operator,
		"Random", m.Random, "MsgSeq", m.Seq, "MsgTime", m.Time.Unix(), "MsgId", m.ID, "OnlineOnlyFlag", flag(m.Online),
		"MsgBody", m.Body,
	}.withText("CloudCustomData", m.Custom).withText("TopicId", m.TopicID)
	var notices []notice
	if !s.skipAfter {
		all := body
		if len(s.mentions) > 0 {
			list := make([]object, len(s.mentions))
			for i, at := range s.mentions {
				list[i] = object{"GroupAtAllFlag", at.GroupAtAllFlag}.withText("GroupAt_Account", at.GroupAt_Account)
			}
			all = all.with("GroupAtInfo", list)
		}
		notices = append(notices, notice{command: "Group.CallbackAfterSendMsg", from: s.from, body: all.with("EventTime", a.eventTime())})
	}
	if robots := a.mentionedRobots(m, s); len(robots) > 0 {
		notices = append(notices, notice{command: "Bot.OnGroupMessage", from: s.from, body: body.
			with("AtRobots_Account", robots, "EventTime", a.eventTime())})
	}
	return notices
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mentionedRobots are the robots a message mentions by name; mentioning
// everybody mentions no robot (1047/68953).
func (a *App) mentionedRobots(m *Message, s groupSend) []string {
	var robots []string
	note := func(id string) {
		if u := a.user(id); u != nil && u.robot && !slices.Contains(robots, id) {
			robots = append(robots, id)
		}
	}
	for _, at := range s.mentions {
		note(at.GroupAt_Account)
	}
	for rest := m.Text(); ; {
		at := strings.Index(rest, "@"+robotPrefix)
		if at < 0 {
			return robots
		}
		rest = rest[at+1:]
		id, _, _ := strings.Cut(rest, " ")
		note(id)
	}
}

// robotPrefix starts the UserID of every robot (1047/55281).
const robotPrefix = "@RBT#"

// sendFailed is the callback of a group send that failed (1047/49462).
func (a *App) sendFailed(s groupSend, g *group, err error) {
	if s.skipAfter {
		return
	}
	kind := ""
	if g != nil {
		kind = a.typeName(g)
	}
	a.after(notice{command: "Group.CallbackSendMsgException", from: s.from, bare: true, body: object{
		"GroupId", s.groupID, "Type", kind, "From_Account", s.sender, "Operator_Account", s.operator, "Random", s.random,
		"OnlineOnlyFlag", flag(s.onlineOnly), "MsgBody", s.body,
	}.withText("TopicId", s.topicID).with("ErrorCode", Code(err), "ErrorInfo", err.Error(), "EventTime", a.eventTime())})
}
