package imtest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// One-to-one messages (269/2282, 269/1612, 269/42794, 1047/35015, 269/74740).

// openimMisfits are the codes of the openim service (269/2282).
var openimMisfits = misfits{
	"": 90001, "To_Account": 90003, "MsgRandom": 90005, "MsgBody": 90007, "From_Account": 90008, "SyncOtherMachine": 90031, "MsgLifeTime": 90044,
}

// sendBody is what sendmsg and batchsendmsg have in common.
type sendBody struct {
	From_Account            string //nolint:revive // IM's spelling
	MsgSeq                  *uint32
	MsgRandom               *uint32
	SyncOtherMachine        *int
	OnlineOnlyFlag          int
	MsgLifeTime             *int64
	ForbidCallbackControl   []string
	SendMsgControl          []string
	MsgBody                 json.RawMessage
	CloudCustomData         string
	OfflinePushInfo         json.RawMessage
	IsNeedReadReceipt       int
	SupportMessageExtension int
}

// maxLifeTime is how long a message may be kept, in seconds.
const maxLifeTime = 604800

func (b sendBody) send(by caller) (c2cSend, error) {
	switch {
	case b.MsgRandom == nil:
		return c2cSend{}, fail(90005, "MsgRandom is missing")
	case b.MsgLifeTime != nil && (*b.MsgLifeTime < 0 || *b.MsgLifeTime > maxLifeTime):
		return c2cSend{}, fail(90026, "MsgLifeTime is over 7 days")
	case b.SyncOtherMachine != nil && *b.SyncOtherMachine != 1 && *b.SyncOtherMachine != 2:
		return c2cSend{}, fail(90031, "SyncOtherMachine must be 1 or 2")
	}
	if err := checkControls(b.ForbidCallbackControl, b.SendMsgControl, c2cControls, 90001); err != nil {
		return c2cSend{}, err
	}
	s := c2cSend{
		sender: b.From_Account, random: *b.MsgRandom, body: b.MsgBody, custom: b.CloudCustomData,
		onlineOnly:  b.OnlineOnlyFlag == 1 || b.MsgLifeTime != nil && *b.MsgLifeTime == 0,
		skipBefore:  slices.Contains(b.ForbidCallbackControl, forbidBefore),
		skipAfter:   slices.Contains(b.ForbidCallbackControl, forbidAfter),
		notToSender: b.SyncOtherMachine != nil && *b.SyncOtherMachine == 2,
		noUnread:    slices.Contains(b.SendMsgControl, "NoUnread"),
		needReceipt: b.IsNeedReadReceipt == 1,
		extensible:  b.SupportMessageExtension == 1,
		from:        by.from, byREST: true,
	}
	if s.sender == "" {
		s.sender = by.id
	}
	if b.MsgSeq != nil {
		s.seq, s.hasSeq = *b.MsgSeq, true
	}
	return s, nil
}

// The values of ForbidCallbackControl.
const (
	forbidBefore = "ForbidBeforeSendMsgCallback"
	forbidAfter  = "ForbidAfterSendMsgCallback"
)

// The values of SendMsgControl.
var (
	groupControls = []string{"NoUnread", "NoLastMsg"}
	c2cControls   = append([]string{"WithMuteNotifications"}, groupControls...)
)

// checkControls refuses values that IM has not: values are as exact as names.
func checkControls(forbid, control, controls []string, code int) error {
	for _, f := range forbid {
		if f != forbidBefore && f != forbidAfter {
			return fail(code, "ForbidCallbackControl has an unknown value")
		}
	}
	for _, c := range control {
		if !slices.Contains(controls, c) {
			return fail(code, "SendMsgControl has an unknown value")
		}
	}
	return nil
}

type sendmsgRequest struct {
	sendBody
	To_Account string //nolint:revive // IM's spelling
}

func sendmsg(a *App, by caller, in sendmsgRequest) (object, error) {
	s, err := in.send(by)
	if err != nil {
		return nil, err
	}
	s.receiver = in.To_Account
	done, err := a.sendC2C(s)
	if err != nil {
		return nil, err
	}
	return ok.with("MsgTime", done.At.Unix(), "MsgKey", done.Key, "MsgId", done.ID), nil
}

type batchRequest struct {
	sendBody
	To_Account []string //nolint:revive // IM's spelling
}

// batchPerMinute is how many recipients batchsendmsg takes a minute (269/1612).
const batchPerMinute = 12000

// batchsendmsg sends to many. It makes no callbacks.
func batchsendmsg(a *App, by caller, in batchRequest) (object, error) {
	s, err := in.send(by)
	switch n := len(in.To_Account); {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, fail(90003, "To_Account is missing")
	case n > 500:
		return nil, fail(90011, "over 500 receivers")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if a.user(s.sender) == nil {
		return nil, fail(90008, "From_Account is not imported")
	}
	if err := checkBody(s.body, s.custom, a.strictly(c2cBody)); err != nil {
		return nil, err
	}
	if !a.batched.takeMany(now, time.Minute, batchPerMinute, len(in.To_Account)) {
		return nil, fail(60007, "over 12000 receivers a minute")
	}
	if !s.hasSeq {
		s.seq = a.rng.Uint32()
	}
	failed := []object{}
	key := msgKey(s.seq, s.random, now)
	for _, id := range in.To_Account {
		if a.user(id) == nil {
			failed = append(failed, object{"To_Account", id, "ErrorCode", 70107})
			continue
		}
		s.receiver = id
		c := a.conversation(s.sender, id)
		known := c2cRepeat{s.sender, s.seq, s.random, checksum(s.body, s.custom)}
		if _, again := c.repeat(known, now); again && !a.conf.Unknowns.BatchesRepeat {
			continue
		}
		m := s.message(key, now)
		c.repeats[known] = repeated{at: now, answer: Sent{Seq: s.seq, At: m.Time, Key: key, ID: m.ID}}
		a.deliverC2C(c, m, s)
	}
	switch len(failed) {
	case 0:
		return ok.with("MsgKey", key), nil
	case len(in.To_Account):
		return nil, fail(90012, "no receiver is imported")
	}
	return object{"ActionStatus", "SomeError", "ErrorInfo", "", "ErrorCode", 0, "ErrorList", failed, "MsgKey", key}, nil
}

type historyRequest struct {
	Operator_Account, Peer_Account string //nolint:revive // IM's spelling
	From_Account, To_Account       string //nolint:revive // the old names
	MaxCnt                         *int
	MinTime, MaxTime               *int64
	LastMsgKey                     string
}

// maxHistoryAnswer is how many bytes of messages one answer holds (269/42794).
const maxHistoryAnswer = 13 << 10

// getRoamMsg pages through a conversation, the newest message first.
func getRoamMsg(a *App, in historyRequest) (object, error) {
	owner, peer := in.Operator_Account, in.Peer_Account
	if owner == "" && peer == "" {
		owner, peer = in.From_Account, in.To_Account
	}
	if in.MaxCnt == nil || in.MinTime == nil || in.MaxTime == nil || *in.MaxCnt < 1 {
		return nil, fail(90001, "MaxCnt, MinTime and MaxTime are required")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkPair(owner, peer); err != nil {
		return nil, err
	}
	list, complete, size := []object{}, 1, 0
	var last *Message
	skipping := in.LastMsgKey != ""
	c := a.conversation(owner, peer)
	for _, m := range c.side(owner) {
		at := m.Time.Unix()
		if at > *in.MaxTime || at < *in.MinTime {
			continue
		}
		if skipping && at == *in.MaxTime { // the page before ended within this second
			skipping = m.Key != in.LastMsgKey
			continue
		}
		skipping = false
		if len(list) == *in.MaxCnt || len(list) > 0 && size+len(m.Body) > maxHistoryAnswer {
			complete = 0
			break
		}
		size += len(m.Body) + len(m.Custom)
		last = m
		flags := 0
		if m.Recalled {
			flags = 8
		}
		list = append(list, object{
			"From_Account", m.From, "To_Account", m.To, "MsgSeq", m.Seq, "MsgRandom", m.Random, "MsgTimeStamp", at,
			"MsgFlagBits", flags, "IsPeerRead", flag(!c.read[m.To].Before(m.Time)), "MsgKey", m.Key, "MsgBody", m.Body,
			"CloudCustomData", m.Custom,
		})
	}
	out := ok.with("Complete", complete, "MsgCnt", len(list))
	if last != nil {
		out = out.with("LastMsgTime", last.Time.Unix(), "LastMsgKey", last.Key)
	}
	return out.with("MsgList", list), nil
}

// checkPair checks that two accounts exist. The caller holds the lock.
func (a *App) checkPair(from, to string) error {
	switch {
	case a.user(from) == nil:
		return fail(90008, "From_Account is missing or not imported")
	case a.user(to) == nil:
		return fail(90003, "To_Account is missing or not imported")
	}
	return nil
}

type keyed struct {
	From_Account, To_Account, MsgKey string //nolint:revive // IM's spelling
}

// keyedMessage finds a stored message. The caller holds the lock.
func (a *App) keyedMessage(k keyed) (*conversation, *Message, error) {
	if err := a.checkPair(k.From_Account, k.To_Account); err != nil {
		return nil, nil, err
	}
	if k.MsgKey == "" || len(k.MsgKey) > 50 || strings.Count(k.MsgKey, "_") != 2 {
		return nil, nil, fail(90054, "MsgKey is not valid")
	}
	c := a.conversation(k.From_Account, k.To_Account)
	m := c.find(k.MsgKey)
	switch {
	case m == nil || m.From != k.From_Account:
		return nil, nil, fail(20022, "there is no such message")
	case m.Recalled:
		return nil, nil, fail(20023, "the message was recalled")
	}
	return c, m, nil
}

// msgWithdraw recalls a message (1047/35015).
func msgWithdraw(a *App, in keyed) (object, error) { return ok, a.withdraw(in, fromREST, 0) }

type modifyC2C struct {
	From_Account, To_Account, MsgKey string //nolint:revive // IM's spelling
	MsgBody                          json.RawMessage
	CloudCustomData                  *string
}

func modifyC2CMsg(a *App, in modifyC2C) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, m, err := a.keyedMessage(keyed{in.From_Account, in.To_Account, in.MsgKey})
	if err != nil {
		return nil, err
	}
	if err := m.modify(in.MsgBody, in.CloudCustomData, a.strictly(c2cBody)); err != nil {
		return nil, err
	}
	e := &Event{Kind: "modified", Message: m.copied()}
	a.deliver(m.To, e)
	a.deliver(m.From, e)
	return ok, nil
}

// modify replaces body or custom data, or both.
func (m *Message) modify(body json.RawMessage, custom *string, codes bodyCodes) error {
	if len(body) == 0 && custom == nil {
		return fail(codes.missing, "nothing to modify")
	}
	next := *m
	if len(body) > 0 {
		next.Body = body
	}
	if custom != nil {
		next.Custom = *custom
	}
	if err := checkBody(next.Body, next.Custom, codes); err != nil {
		return err
	}
	m.Body, m.Custom = next.Body, next.Custom
	m.Version++
	return nil
}

type readRequest struct {
	Report_Account, Peer_Account string //nolint:revive // IM's spelling
	MsgReadTime                  *int64
}

func setMsgRead(a *App, by caller, in readRequest) (object, error) {
	return ok, a.markRead(in.Report_Account, in.Peer_Account, in.MsgReadTime, by.from, nil)
}

// markRead notes that reader has read what peer wrote, up to a time; by is the
// reader's device that says so, nil for none.
func (a *App) markRead(reader, peer string, upTo *int64, from origin, by *Client) error {
	a.mu.Lock()
	if err := a.checkPair(reader, peer); err != nil {
		a.mu.Unlock()
		return err
	}
	at := a.clock.Now().Truncate(time.Second)
	if upTo != nil {
		at = time.Unix(*upTo, 0)
	}
	c := a.conversation(reader, peer)
	if at.After(c.read[reader]) {
		c.read[reader] = at
	}
	c.unread[reader] = 0
	for _, m := range c.history {
		if m.To == reader && m.Time.After(c.read[reader]) && !m.Recalled {
			c.unread[reader]++
		}
	}
	body := object{
		"Report_Account", reader, "Peer_Account", peer, "LastReadTime", at.Unix(), "UnreadMsgNum", c.unread[reader],
		"EventTime", a.eventTime(),
	}
	a.tipUser(peer, nil, Tip{What: "read", Operator: reader, Until: at})
	a.tipOthers(by, reader, nil, Tip{What: "ownRead", Operator: reader, Users: []string{peer}, Until: at})
	a.mu.Unlock()
	a.after(notice{command: "C2C.CallbackAfterMsgReport", from: from, body: body})
	return nil
}

type unreadRequest struct {
	To_Account   string   //nolint:revive // IM's spelling
	Peer_Account []string //nolint:revive // IM's spelling
}

func unreadNum(a *App, in unreadRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.user(in.To_Account) == nil {
		return nil, fail(90048, "To_Account is missing or not imported")
	}
	all := 0
	for _, users := range sortedKeys(a.conversations) {
		all += a.conversations[users].unread[in.To_Account]
	}
	list := []object{}
	for _, peer := range in.Peer_Account {
		list = append(list, object{"Peer_Account", peer, "C2CUnreadMsgNum", a.conversation(in.To_Account, peer).unread[in.To_Account]})
	}
	return ok.with("AllC2CUnreadMsgNum", all, "C2CUnreadMsgNumList", list), nil
}
