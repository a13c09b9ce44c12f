// Package gift sells gifts in live rooms: a catalogue with prices, orders that users
// pay from their wallets, and the messages that show them in the room.
//
// # What to rely on
//
// An order is a move of the user's wallet; its id comes from the caller's
// Idempotency-Key, so a retried request is the same order. The charge, the order and
// the order's place in a frame are one commit in the user's partition, and an order
// writes no item that all users of a room share: 500 orders at once in one room have
// no write conflict.
//
// # Combos and frames
//
// Orders of one user for one gift in one room that follow each other within
// [FrameIdle] are a combo. A combo is shown in frames: messages of up to
// [FramePieces] pieces (an order that is larger has a frame of its own). A frame
// goes out when the next order does not fit any more or when nobody ordered for
// FrameIdle; the last frame of a combo carries an end mark, so 99 orders of one
// piece make 5 messages. Each frame's CloudCustomData has the combo's id, the
// frame's own pieces, the total so far, the mark and the order ids: consumers that
// add up pieces by frame and consumers that keep the last total agree.
//
// The job that shows a frame is enqueued before the commit that opens the frame. The
// job counts the orders into the room, adds the frame to the room's outbox and removes
// the frame from the user's list, in this order, each step with an idempotency key, so
// that the job may be retried.
//
// # Charged gifts are shown or refunded
//
// The outbox tells how each frame ended. Refused: every order of the frame is refunded
// under refund:<orderId>, the room's count is taken back, and the room is told a
// gift_refund event. Unknown: IM's after-callback decides. Seen means sent; not seen
// within [SeenWithin] of the first attempt means refunded. A frame that was given up
// is never counted as sent afterwards, although IM may have shown it: a later callback
// is logged as an error.
package gift

import (
	"context"
	"encoding/json"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	// FramePieces is how many pieces one message shows, unless one order has more.
	FramePieces = 20
	// FrameIdle is how long a frame waits for another order.
	FrameIdle = time.Second
	// SeenWithin is how long after the first attempt to send a frame IM's
	// after-callback may confirm the frame, where the outcome of the send is unknown.
	SeenWithin = 10 * time.Minute
	// MaxCount is how many pieces one order may have.
	MaxCount = 9999
	// patience is how long a frame is tried that cannot have been sent, before its
	// orders are refunded.
	patience = 10 * time.Minute
	// requestTime is how long a request may take.
	requestTime = 15 * time.Second
)

// Rooms returns what an order needs of its room; [*liveroom.Rooms] implements it.
type Rooms interface {
	// Get returns a room; NotFound if the room does not exist.
	Get(ctx context.Context, roomID string) (liveroom.Room, error)
	// Kicked reports whether a user may not be in the room now.
	Kicked(ctx context.Context, room liveroom.Room, userID string) (bool, error)
}

// Count is an order as the room's statistics count it.
type Count struct {
	RoomID, OrderID, UserID string
	Pieces, Charge          int64
	At                      time.Time // when the order was committed
	Refunded                bool      // takes the order back
}

// Tally counts an order into the room's statistics, once for its OrderID and once for
// its refund. kv.ErrInvalid means that a retry would fail, too.
type Tally func(ctx context.Context, c Count) error

// Config makes [Gifts]. All fields but Now are required, except in a program that
// only registers the rules of callbacks: there Store and Out suffice.
type Config struct {
	Store  kv.Store
	Jobs   *queue.Ledger
	Ledger wallet.Ledger
	Rooms  Rooms
	Out    *outbox.Outbox
	Tally  Tally
	// Format reports whether a message has the form in which the app shows gifts.
	Format func(im.MsgBody) bool
	// Notifier is the UserID that sends rooms the events of refunds. The account must
	// exist; the app's admin works.
	Notifier string

	Now func() time.Time // nil: time.Now
}

// Gifts are the gifts of all rooms. It is safe for concurrent use, also by several
// processes.
type Gifts struct {
	conf  Config
	store kv.Store
	now   func() time.Time
}

// The kinds of jobs, and of messages in the outbox.
const (
	frameKind  = "gift.frame"  // a frame may be due
	refundKind = "gift.refund" // a frame was refused
	unseenKind = "gift.unseen" // a frame's outcome was unknown
	outKind    = "gift"
)

// New makes Gifts, and registers its jobs, its part of the ledger's commits, and its
// handler for the outcome of messages.
func New(conf Config) *Gifts {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	g := &Gifts{conf: conf, store: conf.Store, now: conf.Now}
	if conf.Jobs != nil {
		conf.Jobs.Handle(frameKind, g.frameJob)
		conf.Jobs.Handle(refundKind, g.refundJob)
		conf.Jobs.Handle(unseenKind, g.unseenJob)
		conf.Out.Handle(outKind, g.told)
		conf.Ledger.Along(orderWhy, g.along)
	}
	return g
}

// RefusalCode is the error code of a client that sends a message in the form of a
// gift: one of the codes that IM leaves to apps (10100 to 10200).
const RefusalCode = 10140

// Register adds the rules that keep clients from sending gifts themselves, and that
// record which frames were delivered.
func (g *Gifts) Register(m *callback.Mux) {
	callback.Before(m, "gift", callback.FailClosed, g.refuseForged)
	callback.After(m, "gift", g.delivered)
}

// refuseForged refuses a gift that a client sends to a live room: nobody has paid for
// it. The app's own servers may send gifts.
func (g *Gifts) refuseForged(_ context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	if !e.Query.ByREST() && (e.Type == im.AVRoom || e.Type == im.Live) && g.conf.Format(e.MsgBody) {
		return v.RejectCode(RefusalCode, "gifts are ordered, not sent"), nil
	}
	return v, nil
}

// delivered notes that a frame was shown. It is known by its id, which its
// CloudCustomData carries.
func (g *Gifts) delivered(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	mark, is := markOf(e.CloudCustomData)
	if !is || !e.Query.ByREST() {
		return nil
	}
	o, err := g.conf.Out.Seen(ctx, e.GroupID, mark.Frame, e.MsgSeq)
	if err == nil && (o.State == outbox.Lost || o.State == outbox.Refused) {
		logShownAfterRefund(ctx, mark.Frame)
	}
	return err
}

// mark is what a frame's CloudCustomData says under "backchannel".
type mark struct {
	Orders []string `json:"orders"` // ids of the orders shown
	Frame  string   `json:"frame"`
	Combo  string   `json:"combo"`  // id, the same for all frames of a combo
	Pieces int64    `json:"pieces"` // of this frame
	Total  int64    `json:"total"`  // pieces of the combo, this frame included
	End    bool     `json:"end"`    // this is the combo's last frame
}

type customData struct {
	Backchannel *mark `json:"backchannel"`
}

// markOf reads a frame's mark. Other messages have none.
func markOf(data string) (mark, bool) {
	const maxData = 12 << 10 // IM's own bound of a message
	var d customData
	if len(data) > maxData || json.Unmarshal([]byte(data), &d) != nil || d.Backchannel == nil || d.Backchannel.Frame == "" ||
		len(d.Backchannel.Frame) > outbox.MaxKey || len(d.Backchannel.Orders) == 0 {
		return mark{}, false
	}
	return *d.Backchannel, true
}
