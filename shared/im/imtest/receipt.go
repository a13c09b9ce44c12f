package imtest

import (
	"slices"
)

// Read receipts of single messages (1047/48885, 1047/49439, 1047/49438): a sender
// asks for them, a reader sends one, the sender is told how many have read it.

// Limits of read receipts.
const (
	maxReceipts      = 30  // messages of one request
	maxReceiptsShown = 100 // members of one page
)

// noReceipt is the code of a message without read receipts (1047/49439).
const noReceipt = 10062

// Receipt says how many members have read a group message that needs a receipt, or that
// the receiver has read a one-to-one message.
type Receipt struct {
	Message      Message
	Read, Unread int
}

// receipts are the members who have sent a receipt, by MsgSeq.
type receipts map[uint32][]string

// receipt counts the readers of a message. Members who joined later count as
// unread ones, who left do not count. The caller holds the lock.
func (g *group) receipt(l *line, m *Message) Receipt {
	r := Receipt{Message: *m}
	for _, id := range g.joinOrder {
		switch {
		case id == m.From:
		case slices.Contains(l.receipts[m.Seq], id):
			r.Read++
		default:
			r.Unread++
		}
	}
	return r
}

// SendReceipts tells the senders of a group's messages that the user has read them.
// Messages that need no receipt, and the user's own, are ignored.
func (c *Client) SendReceipts(groupID, topicID string, seqs ...uint32) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.membered(groupID)
	switch {
	case c.gone:
		return errLoggedOut
	case err != nil:
		return err
	case g.members[c.userID] == nil:
		return errNotAllowed
	case len(seqs) > maxReceipts:
		return fail(10005, "over 30 messages")
	}
	l, err := g.lineOf(topicID)
	if err != nil {
		return err
	}
	bySender := make(map[string][]Receipt)
	for _, seq := range seqs {
		m := l.find(seq)
		if m == nil || !m.NeedReceipt || m.From == c.userID || slices.Contains(l.receipts[seq], c.userID) {
			continue
		}
		if l.receipts == nil {
			l.receipts = make(receipts)
		}
		l.receipts[seq] = append(l.receipts[seq], c.userID)
		bySender[m.From] = append(bySender[m.From], g.receipt(l, m))
	}
	for _, sender := range sortedKeys(bySender) {
		a.tipUser(sender, g, Tip{What: "receipts", Operator: c.userID, Receipts: bySender[sender]})
	}
	return nil
}

// SendReceiptsTo tells another user that this one has read one-to-one messages, by
// their MsgKey.
func (c *Client) SendReceiptsTo(userID string, keys ...string) error {
	a := c.app
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.gone:
		return errLoggedOut
	case len(keys) > maxReceipts:
		return fail(90001, "over 30 messages")
	}
	if err := a.checkPair(c.userID, userID); err != nil {
		return err
	}
	var list []Receipt
	conv := a.conversation(c.userID, userID)
	for _, key := range keys {
		if m := conv.find(key); m != nil && m.NeedReceipt && m.From == userID && !m.PeerRead {
			m.PeerRead = true
			list = append(list, Receipt{Message: *m, Read: 1})
		}
	}
	if len(list) > 0 {
		a.tipUser(userID, nil, Tip{What: "receipts", Operator: c.userID, Users: []string{userID}, Receipts: list})
	}
	return nil
}

type receiptQuery struct {
	GroupId, TopicId string //nolint:revive // IM's spelling
	MsgSeqList       []struct{ MsgSeq *uint32 }
	MsgSeq           *uint32
	Flag, Num        int
	Cursor           string
}

// getReceipts counts who has read messages.
func getReceipts(a *App, in receiptQuery) (object, error) {
	if n := len(in.MsgSeqList); n == 0 || n > maxReceipts {
		return nil, fail(10004, "MsgSeqList has 1 to 30 messages")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, l, err := lineIn(a.membered, in.GroupId, in.TopicId)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, item := range in.MsgSeqList {
		if item.MsgSeq == nil {
			return nil, fail(10004, "MsgSeq is missing")
		}
		if m := l.find(*item.MsgSeq); m == nil || !m.NeedReceipt {
			list = append(list, object{"MsgSeq", *item.MsgSeq, "Code", noReceipt})
		} else {
			r := g.receipt(l, m)
			list = append(list, object{"MsgSeq", m.Seq, "Code", 0, "ReadNum", r.Read, "UnreadNum", r.Unread})
		}
	}
	return ok.with("GroupMsgReceiptList", list), nil
}

// getReceiptMembers lists who has read a message (Flag 0) or has not (1), by pages.
func getReceiptMembers(a *App, in receiptQuery) (object, error) {
	switch {
	case in.MsgSeq == nil:
		return nil, fail(10004, "MsgSeq is missing")
	case in.Flag != 0 && in.Flag != 1:
		return nil, fail(10004, "Flag is 0 or 1")
	case in.Num < 1 || in.Num > maxReceiptsShown:
		return nil, fail(10004, "Num is 1 to 100")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, l, err := lineIn(a.membered, in.GroupId, in.TopicId)
	if err != nil {
		return nil, err
	}
	m := l.find(*in.MsgSeq)
	if m == nil || !m.NeedReceipt {
		return nil, fail(noReceipt, "the message has no read receipts")
	}
	var ids []string
	for _, id := range g.joinOrder {
		if id != m.From && slices.Contains(l.receipts[m.Seq], id) == (in.Flag == 0) {
			ids = append(ids, id)
		}
	}
	if at := slices.Index(ids, in.Cursor); in.Cursor != "" && at >= 0 {
		ids = ids[at+1:]
	}
	cursor, finished := "", 1
	if len(ids) > in.Num {
		ids = ids[:in.Num]
		cursor, finished = ids[in.Num-1], 0
	}
	out := ok.with("Cursor", cursor, "IsFinish", finished)
	if in.Flag == 0 {
		return out.with("ReadList", accounts("Read_Account", ids)), nil
	}
	return out.with("UnreadList", accounts("Unread_Account", ids)), nil
}
