package im

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// One-to-one messages (269/2282, 269/1612, 269/42794, 269/2568, 1047/35015,
// 269/74740).

// Limits of one-to-one messages.
const (
	maxLifeTime = 7 * 24 * time.Hour // of an undelivered message
	maxMsgKey   = 50                 // bytes
	// BatchSize is how many receivers one call of batchsendmsg has at most.
	BatchSize = 500
	// BatchPerMinute is how many receivers all batches of an app have in a minute.
	BatchPerMinute = 12000
)

// recipients bounds the receivers of all batches (269/1612).
var recipients = allowance{BatchPerMinute, time.Minute}

var (
	sendMsg         = method{path: "openim/sendmsg", repeat: numbered}
	batchSendMsg    = method{path: "openim/batchsendmsg", repeat: numbered}
	importC2CMsg    = method{path: "openim/importmsg", repeat: harmless}
	batchSendOnce   = method{path: "openim/batchsendmsg", repeat: never}
	getRoamMsg      = method{path: "openim/admin_getroammsg", repeat: harmless}
	msgWithdraw     = method{path: "openim/admin_msgwithdraw", repeat: harmless}
	modifyC2CMsg    = method{path: "openim/modify_c2c_msg", repeat: harmless}
	setMsgRead      = method{path: "openim/admin_set_msg_read", repeat: harmless}
	getC2CUnreadNum = method{path: "openim/get_c2c_unread_msg_num", repeat: harmless}
	setNoSpeaking   = method{path: "openconfigsvr/setnospeaking", repeat: harmless}
)

// C2CMsg is a one-to-one message. Only To, the numbers and Body are required.
type C2CMsg struct {
	From string // "": the admin
	To   string
	// MsgSeq and MsgRandom are IM's idempotency key, together with sender and
	// content, for 120 s. Take them from Numbers.
	MsgSeq, MsgRandom uint32
	Body              MsgBody
	CloudCustomData   string // with Body at most 12 KB

	// Push is what offline receivers' phones show; nil: nothing.
	Push *OfflinePushInfo
	// AfterCallback lets IM call back after the send, for what must be counted
	// or archived. The before-callback never sees sends of ours.
	AfterCallback bool
	// NotToSender keeps the message out of the sender's own history and devices.
	NotToSender bool
	// OnlineOnly: only receivers who are online get it, and nobody's history.
	OnlineOnly bool
	// LifeTime is how long the message waits for a receiver who is offline, in whole
	// seconds up to 7 days; 0 means 7 days.
	LifeTime time.Duration

	Control                 []SendMsgControl
	NeedReadReceipt         bool
	SupportMessageExtension bool // receivers may add to it
}

// c2cWire is how IM reads it. To is a UserID, or several for batchsendmsg.
type c2cWire struct {
	From                    string           `json:"From_Account,omitempty"`
	To                      any              `json:"To_Account"`
	SyncOtherMachine        int              `json:"SyncOtherMachine,omitempty"`
	OnlineOnlyFlag          int              `json:"OnlineOnlyFlag,omitempty"`
	MsgLifeTime             uint32           `json:"MsgLifeTime,omitempty"`
	MsgSeq                  uint32           `json:"MsgSeq"`
	MsgRandom               uint32           `json:"MsgRandom"`
	ForbidCallbackControl   []string         `json:"ForbidCallbackControl,omitempty"`
	SendMsgControl          []SendMsgControl `json:"SendMsgControl,omitempty"`
	MsgBody                 MsgBody          `json:"MsgBody"`
	CloudCustomData         string           `json:"CloudCustomData,omitempty"`
	OfflinePushInfo         offlinePush      `json:"OfflinePushInfo"`
	IsNeedReadReceipt       int              `json:"IsNeedReadReceipt,omitempty"`
	SupportMessageExtension int              `json:"SupportMessageExtension,omitempty"`
}

func (m C2CMsg) wire() (c2cWire, error) {
	if m.LifeTime < 0 || m.LifeTime > maxLifeTime {
		return c2cWire{}, &FieldError{"MsgLifeTime", int(maxLifeTime / time.Second), "is over 7 days"}
	}
	if err := cmp.Or(
		atMost("From_Account", m.From, MaxUserID), checkNumbers(m.MsgSeq, m.MsgRandom), checkMessage(m.Body, m.CloudCustomData),
	); err != nil {
		return c2cWire{}, err
	}
	w := c2cWire{
		From: m.From, OnlineOnlyFlag: flag(m.OnlineOnly), MsgLifeTime: seconds(m.LifeTime),
		MsgSeq: m.MsgSeq, MsgRandom: m.MsgRandom, SendMsgControl: m.Control, MsgBody: m.Body, CloudCustomData: m.CloudCustomData,
		OfflinePushInfo: pushOf(m.Push), IsNeedReadReceipt: flag(m.NeedReadReceipt),
		SupportMessageExtension: flag(m.SupportMessageExtension),
	}
	if m.NotToSender {
		w.SyncOtherMachine = 2
	}
	return w, nil
}

// C2CSent is a message that IM accepted.
type C2CSent struct {
	MsgTime int64  // Unix seconds
	MsgKey  string // names it to WithdrawMsg and ModifyC2CMsg
	MsgID   string `json:"MsgId"` // names it to clients
}

// SendMsg sends a one-to-one message. IM checks neither friendship nor blacklist
// nor mute for it. After a transient failure the client retries with the same
// numbers, by which IM deduplicates, for 90 s at most; a message that must be sent
// exactly once across calls goes through package once.
//
// CodeReceiverUnknown (20003) or 90012: somebody is not imported (269/2282).
func (c *Client) SendMsg(ctx context.Context, m C2CMsg) (C2CSent, error) {
	w, err := m.wire()
	if err := cmp.Or(neededUser("To_Account", m.To), err); err != nil {
		return C2CSent{}, err
	}
	w.To = m.To
	w.ForbidCallbackControl = forbidden(m.AfterCallback)
	var out struct {
		envelope
		C2CSent
	}
	err = c.call(ctx, sendMsg, w, &out)
	return out.C2CSent, err
}

// BatchSent is the progress of a message to many.
type BatchSent struct {
	Done   int          // receivers from the start of the list that IM has answered about
	Failed []ItemResult // those of them who did not get it
}

// BatchSendMsg sends a message to many, each in a conversation of their own, 500
// in a call and within IM's 12,000 receivers a minute; IM makes no callbacks for
// it. m.To and m.AfterCallback are not used. With an error, Done says where to go
// on: of the next 500 receivers some may have got it if [MayHaveWorked] says so.
// Retrying with the same list and numbers within 90 s reaches nobody twice: each
// call's numbers are derived from them and its first receiver (269/1612).
func (c *Client) BatchSendMsg(ctx context.Context, to []string, m C2CMsg) (BatchSent, error) {
	var sent BatchSent
	w, err := m.wire()
	if err != nil {
		return sent, err
	}
	for _, id := range to {
		if err := neededUser("To_Account", id); err != nil {
			return sent, err
		}
	}
	for chunk := range slices.Chunk(to, min(BatchSize, c.limits.most(recipients))) {
		w.MsgSeq, w.MsgRandom = Numbers(fmt.Sprintf("batch %d %d %s", m.MsgSeq, m.MsgRandom, chunk[0]))
		failed, err := c.batch(ctx, batchSendMsg, w, chunk, turn{limited{kind: "recipients"}, recipients, len(chunk)})
		if err != nil {
			return sent, err
		}
		sent.Done += len(chunk)
		sent.Failed = append(sent.Failed, failed...)
	}
	return sent, nil
}

// ImportedMsg is a one-to-one message that was sent earlier, elsewhere.
type ImportedMsg struct {
	From, To string
	// MsgSeq, MsgRandom and MsgTime tell messages of a conversation apart: one
	// with the same three is a duplicate, and importing it is a no-op.
	MsgSeq, MsgRandom uint32
	MsgTime           int64 // Unix seconds
	Body              MsgBody
	CloudCustomData   string
}

// ImportMsg puts a message into the history of both users at its own time. It is
// not counted as unread, devices are not told, and nothing calls back (269/2568).
func (c *Client) ImportMsg(ctx context.Context, m ImportedMsg) error {
	if err := cmp.Or(neededUser("From_Account", m.From), neededUser("To_Account", m.To), some("MsgBody", m.Body)); err != nil {
		return err
	}
	const historyOnly = 2
	return c.call(ctx, importC2CMsg, struct {
		SyncFromOldSystem int
		From              string `json:"From_Account"`
		To                string `json:"To_Account"`
		MsgSeq, MsgRandom uint32
		MsgTimeStamp      int64
		MsgBody           MsgBody
		CloudCustomData   string `json:",omitempty"`
	}{historyOnly, m.From, m.To, m.MsgSeq, m.MsgRandom, m.MsgTime, m.Body, m.CloudCustomData}, nil)
}

// SendBatch sends a message to at most [BatchSize] receivers in one call, under the
// numbers given, and returns those who did not get it. SendBatch is for a caller who
// paces all batches of the app and finds out by itself whether a call whose answer was
// lost has worked: the client neither waits for IM's 12,000 receivers a minute nor
// retries a call that may have worked ([MayHaveWorked]). m.To and m.AfterCallback are
// not used.
func (c *Client) SendBatch(ctx context.Context, to []string, m C2CMsg) (failed []ItemResult, err error) {
	w, err := m.wire()
	if err := cmp.Or(err, some("To_Account", to), fewer("To_Account", to, BatchSize)); err != nil {
		return nil, err
	}
	for _, id := range to {
		if err := neededUser("To_Account", id); err != nil {
			return nil, err
		}
	}
	w.MsgSeq, w.MsgRandom = m.MsgSeq, m.MsgRandom
	return c.batch(ctx, batchSendOnce, w, to)
}

// batch makes one call to many.
func (c *Client) batch(ctx context.Context, m method, w c2cWire, to []string, turns ...turn) (failed []ItemResult, err error) {
	w.To = to
	var out struct {
		envelope
		ErrorList []itemCode
	}
	err = c.call(ctx, m, w, &out, turns...)
	switch {
	case errors.Is(err, codeNoReceiver):
		for _, id := range to {
			failed = append(failed, ItemResult{ID: id, Code: codeNoReceiver})
		}
		return failed, nil
	case err != nil:
		return nil, err
	}
	for _, item := range out.ErrorList {
		failed = append(failed, ItemResult{ID: item.ToAccount, Code: item.ErrorCode})
	}
	return failed, nil
}

// codeNoReceiver: none of a batch's receivers exists.
const codeNoReceiver Code = 90012

// C2CHistoryQuery asks for a conversation as one of the two sees it: what the
// other has sent with NotToSender is there, what the viewer has sent so is not.
type C2CHistoryQuery struct {
	Viewer string // IM's Operator_Account
	Peer   string
	// From and To bound the messages' times, in Unix seconds, both included.
	From, To int64
	Limit    int // messages a page; 0 means 100. IM may give fewer: 13 KB at most

	lastKey string
}

// C2CHistoryMsg is a message of a conversation.
type C2CHistoryMsg struct {
	From            string  `json:"From_Account"`
	To              string  `json:"To_Account"`
	MsgSeq          uint32  `json:"MsgSeq"`
	MsgRandom       uint32  `json:"MsgRandom"`
	MsgTime         int64   `json:"MsgTimeStamp"` // Unix seconds
	MsgKey          string  `json:"MsgKey"`
	Flags           int     `json:"MsgFlagBits"` // 8: recalled
	IsPeerRead      int     `json:"IsPeerRead"`
	Body            MsgBody `json:"MsgBody"`
	CloudCustomData string  `json:"CloudCustomData"`
}

// Recalled reports whether the message was recalled.
func (m C2CHistoryMsg) Recalled() bool { return m.Flags&8 != 0 }

// C2CHistoryPage is a page of a conversation.
type C2CHistoryPage struct {
	Messages []C2CHistoryMsg
	Next     *C2CHistoryQuery // of the page before it in time; nil means no further page
}

// C2CHistory returns a page of the messages between two users, the newest page
// first (admin_getroammsg, 269/42794).
func (c *Client) C2CHistory(ctx context.Context, q C2CHistoryQuery) (C2CHistoryPage, error) {
	if err := cmp.Or(neededUser("Operator_Account", q.Viewer), neededUser("Peer_Account", q.Peer)); err != nil {
		return C2CHistoryPage{}, err
	}
	in := struct {
		Viewer     string `json:"Operator_Account"`
		Peer       string `json:"Peer_Account"`
		MaxCnt     int    `json:"MaxCnt"`
		MinTime    int64  `json:"MinTime"`
		MaxTime    int64  `json:"MaxTime"`
		LastMsgKey string `json:"LastMsgKey,omitempty"`
	}{q.Viewer, q.Peer, cmp.Or(q.Limit, 100), q.From, q.To, q.lastKey}
	var out struct {
		envelope
		Complete    int
		LastMsgTime int64
		LastMsgKey  string
		MsgList     []C2CHistoryMsg
	}
	if err := c.call(ctx, getRoamMsg, in, &out); err != nil {
		return C2CHistoryPage{}, err
	}
	page := C2CHistoryPage{Messages: out.MsgList}
	if out.Complete == 0 && out.LastMsgKey != "" {
		q.To, q.lastKey = out.LastMsgTime, out.LastMsgKey
		page.Next = &q
	}
	return page, nil
}

// c2cKey names a message to the openim service.
type c2cKey struct {
	From   string `json:"From_Account"`
	To     string `json:"To_Account"`
	MsgKey string `json:"MsgKey"`
}

func (k c2cKey) check() error {
	return cmp.Or(neededUser("From_Account", k.From), neededUser("To_Account", k.To), needed("MsgKey", k.MsgKey, maxMsgKey))
}

// WithdrawMsg recalls a message, however old it is (1047/35015).
func (c *Client) WithdrawMsg(ctx context.Context, from, to, msgKey string) error {
	k := c2cKey{from, to, msgKey}
	if err := k.check(); err != nil {
		return err
	}
	return c.call(ctx, msgWithdraw, k, nil)
}

// ModifyC2CMsg changes a sent message for both sides; there is no way back
// (269/74740).
func (c *Client) ModifyC2CMsg(ctx context.Context, from, to, msgKey string, m Modification) error {
	k := c2cKey{from, to, msgKey}
	w, err := m.wire()
	if err := cmp.Or(k.check(), err); err != nil {
		return err
	}
	return c.call(ctx, modifyC2CMsg, struct {
		c2cKey
		modifyWire
	}{k, w}, nil)
}

// SetMsgRead marks what peer has written to a user as read, up to now (1047/50349).
func (c *Client) SetMsgRead(ctx context.Context, reader, peer string) error {
	if err := cmp.Or(neededUser("Report_Account", reader), neededUser("Peer_Account", peer)); err != nil {
		return err
	}
	return c.call(ctx, setMsgRead, struct {
		Reader string `json:"Report_Account"`
		Peer   string `json:"Peer_Account"`
	}{reader, peer}, nil)
}

// C2CUnread is how many one-to-one messages a user has not read.
type C2CUnread struct {
	All    int
	ByPeer map[string]int // of the peers asked about
	Failed []ItemResult   // peers that IM cannot tell about
}

// C2CUnreadNum counts a user's unread messages in all, and those of some peers
// (1047/56043).
func (c *Client) C2CUnreadNum(ctx context.Context, userID string, peers ...string) (C2CUnread, error) {
	if err := neededUser("To_Account", userID); err != nil {
		return C2CUnread{}, err
	}
	in := struct {
		To    string   `json:"To_Account"`
		Peers []string `json:"Peer_Account,omitempty"`
	}{userID, peers}
	var out struct {
		envelope
		AllC2CUnreadMsgNum  int
		C2CUnreadMsgNumList []struct {
			Peer string `json:"Peer_Account"`
			Num  int    `json:"C2CUnreadMsgNum"`
		}
		ErrorList []struct {
			Peer      string `json:"Peer_Account"`
			ErrorCode Code
		}
	}
	if err := c.call(ctx, getC2CUnreadNum, in, &out); err != nil {
		return C2CUnread{}, err
	}
	unread := C2CUnread{All: out.AllC2CUnreadMsgNum, ByPeer: make(map[string]int)}
	for _, item := range out.C2CUnreadMsgNumList {
		unread.ByPeer[item.Peer] = item.Num
	}
	for _, item := range out.ErrorList {
		unread.Failed = append(unread.Failed, ItemResult{ID: item.Peer, Code: item.ErrorCode})
	}
	return unread, nil
}

// SetNoSpeaking mutes a user in all one-to-one conversations and in all groups, for a
// duration each; 0 unmutes, Forever has no end. Senders meet 20012 or 10017, and no
// before-callback is made (269/4230).
func (c *Client) SetNoSpeaking(ctx context.Context, userID string, c2c, groups time.Duration) error {
	if err := neededUser("Set_Account", userID); err != nil {
		return err
	}
	return c.call(ctx, setNoSpeaking, struct {
		UserID string `json:"Set_Account"`
		C2C    uint32 `json:"C2CmsgNospeakingTime"`
		Groups uint32 `json:"GroupmsgNospeakingTime"`
	}{userID, seconds(c2c), seconds(groups)}, nil)
}
