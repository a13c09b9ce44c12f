package imtest

import (
	"slices"
	"time"
)

// How late a message may be recalled. Clients have the console's limit, two
// minutes by default. The REST API has none, except in AVChatRooms, which keep
// messages for an hour (269/12341).
const (
	clientRecallWithin = 2 * time.Minute
	roomRecallWithin   = time.Hour
)

// recall is a request to take back messages of a group or topic.
type recall struct {
	groupID, topicID string
	seqs             []uint32
	operator         string
	from             origin
	client           bool // by a client: own messages, and soon
}

// recallResult is IM's code for one message: 0 means it is recalled now, or was
// before.
type recallResult struct {
	seq  uint32
	code int
}

// recallGroup recalls messages, tells the devices, and tells the backend of
// those that were not recalled before.
func (a *App) recallGroup(r recall) ([]recallResult, error) {
	a.mu.Lock()
	g, err := a.existing(r.groupID)
	var l *line
	if err == nil {
		l, err = g.lineOf(r.topicID)
	}
	if err == nil && r.client && !g.present(r.operator) {
		err = fail(10007, "not in the group")
	}
	if err != nil {
		a.mu.Unlock()
		return nil, err
	}
	var results []recallResult
	recalled := []object{}
	for _, seq := range r.seqs {
		m := l.find(seq)
		code := a.mayRecall(g, m, r)
		if code == 0 && !m.Recalled {
			m.Recalled = true
			recalled = append(recalled, object{"MsgSeq", seq})
			a.tell(g, &Event{Kind: "recalled", GroupID: g.id, Message: m.copied()})
		}
		results = append(results, recallResult{seq, code})
	}
	a.mu.Unlock()
	if len(recalled) > 0 {
		a.after(notice{command: "Group.CallbackAfterRecallMsg", from: r.from, body: object{
			"Operator_Account", r.operator, "Type", a.typeName(g), "GroupId", g.id, "MsgSeqList", recalled,
		}.withText("TopicId", r.topicID).with("EventTime", a.eventTime())})
	}
	return results, nil
}

// mayRecall returns IM's code for recalling a message; m is nil where there is
// none. The caller holds the lock.
func (a *App) mayRecall(g *group, m *Message, r recall) int {
	if m == nil || m.Deleted {
		return 10030
	}
	age := a.clock.Now().Sub(m.Time)
	switch {
	case g.isAVRoom() && age > roomRecallWithin:
		return 10031
	case r.client && m.From != r.operator && !g.leads(r.operator) && !g.granted(r.operator, rightRecall, r.topicID, topicRightRecall):
		return 10007
	case r.client && age > a.recallWithin():
		return 10031
	}
	return 0
}

// recallWithin is how long clients may recall a message.
func (a *App) recallWithin() time.Duration {
	if a.conf.RecallWithin > 0 {
		return a.conf.RecallWithin
	}
	return clientRecallWithin
}

// Recall recalls a message of a group or, with a topicID, of a topic. The user must
// have sent it or lead the group (10007). 10030: there is no such message; 10031: it
// was sent longer ago than AppConfig.RecallWithin allows.
func (c *Client) Recall(groupID, topicID string, seq uint32) error {
	if err := c.alive(); err != nil {
		return err
	}
	results, err := c.app.recallGroup(recall{
		groupID: groupID, topicID: topicID, seqs: []uint32{seq}, operator: c.userID, from: c.from, client: true,
	})
	if err != nil {
		return err
	}
	switch code := results[0].code; code {
	case 0:
		return nil
	case 10030:
		return fail(code, "there is no such message")
	case 10031:
		return fail(code, "the message was sent too long ago")
	default:
		return fail(code, "only the sender and the group's leaders recall it")
	}
}

// RecallFrom recalls a one-to-one message that the user sent to another user, by its
// MsgKey. 20022: there is no such message; 20016: it was sent longer ago than
// AppConfig.RecallWithin allows.
func (c *Client) RecallFrom(userID, msgKey string) error {
	if err := c.alive(); err != nil {
		return err
	}
	return c.app.withdraw(keyed{c.userID, userID, msgKey}, c.from, c.app.recallWithin())
}

// withdraw recalls a one-to-one message that is not older than within; 0 means
// any age.
func (a *App) withdraw(k keyed, from origin, within time.Duration) error {
	a.mu.Lock()
	c, m, err := a.keyedMessage(k)
	if err == nil && within > 0 && a.clock.Now().Sub(m.Time) > within {
		err = fail(20016, "the message was sent too long ago")
	}
	if err != nil {
		a.mu.Unlock()
		return err
	}
	m.Recalled = true
	if c.read[m.To].Before(m.Time) && c.unread[m.To] > 0 {
		c.unread[m.To]--
	}
	unread := c.unread[m.To]
	e := &Event{Kind: "recalled", Message: m.copied()}
	for _, id := range slices.Compact([]string{m.To, m.From}) {
		a.deliver(id, e)
	}
	a.mu.Unlock()
	a.after(notice{command: "C2C.CallbackAfterMsgWithDraw", from: from, body: object{
		"From_Account", k.From_Account, "To_Account", k.To_Account, "MsgKey", k.MsgKey, "UnreadMsgNum", unread,
		"EventTime", a.eventTime(),
	}})
	return nil
}
