package gift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// refundOrder is the body of the jobs that follow a frame that was not sent, or
// perhaps not.
type refundOrder struct {
	RoomID string   `json:"roomId"`
	UserID string   `json:"userId"`
	Frame  string   `json:"frame"`
	Combo  string   `json:"combo"`
	Orders []string `json:"orders"`
}

func refundID(orderID string) string { return "refund:" + orderID }

// told acts on how a frame ended.
func (g *Gifts) told(ctx context.Context, m outbox.Message, o outbox.Outcome) error {
	is, ok := markOf(m.CloudCustomData)
	if !ok {
		return errors.New("gift: a message in the outbox is no frame")
	}
	body, err := json.Marshal(refundOrder{m.RoomID, m.From, is.Frame, is.Combo, is.Orders})
	if err != nil {
		return fmt.Errorf("gift: %w", err)
	}
	switch o.State {
	case outbox.Refused:
		return g.put(ctx, queue.Job{ID: "gift/refund/" + is.Frame, Kind: refundKind, Lane: queue.Fast, Body: body})
	case outbox.Unknown:
		at := o.At.Add(SeenWithin - once.Window)
		return g.put(ctx, queue.Job{ID: "gift/unseen/" + is.Frame, Kind: unseenKind, Lane: queue.Fast, NotBefore: at, Body: body})
	}
	return nil
}

// unseenJob refunds a frame of which nobody knows whether it was shown, unless IM has
// told so by now.
func (g *Gifts) unseenJob(ctx context.Context, j queue.Job) error {
	o, err := refundOrderOf(j)
	if err != nil {
		return err
	}
	end, err := g.conf.Out.GiveUp(ctx, o.RoomID, o.Frame)
	if err != nil || end.State != outbox.Lost {
		return err
	}
	slog.WarnContext(ctx, "gift refunded: IM never told that it was shown", "orders", len(o.Orders))
	return g.refund(ctx, o)
}

func (g *Gifts) refundJob(ctx context.Context, j queue.Job) error {
	o, err := refundOrderOf(j)
	if err != nil {
		return err
	}
	return g.refund(ctx, o)
}

func refundOrderOf(j queue.Job) (o refundOrder, err error) {
	if err := json.Unmarshal(j.Body, &o); err != nil || o.RoomID == "" || o.UserID == "" || len(o.Orders) == 0 {
		return o, errors.New("gift: the job names no orders")
	}
	return o, nil
}

// refundLater is how soon a refund is tried again that the ledger does not take. It
// does not count as a failure, so that a ledger may be away for over an hour before
// the job is dead, for an operator.
const refundLater = time.Minute

// refund gives back what the orders of a frame cost, each once, and tells the room.
func (g *Gifts) refund(ctx context.Context, o refundOrder) error {
	long := false // since it was refunded
	for _, id := range o.Orders {
		made, err := g.conf.Ledger.Find(ctx, o.UserID, id)
		if err != nil {
			return fmt.Errorf("gift: an order to refund: %w", err)
		}
		var in content
		if err := json.Unmarshal(made.Body, &in); err != nil {
			return fmt.Errorf("gift: an order does not decode: %w", err)
		}
		back, err := g.conf.Ledger.Make(ctx, wallet.Move{ID: refundID(id), UserID: o.UserID, Amount: -made.Amount, Why: wallet.Refund, Ref: id})
		if errors.Is(err, wallet.ErrUnsettled) {
			return queue.Later{After: refundLater}
		}
		if err != nil {
			return fmt.Errorf("gift: a refund: %w", err)
		}
		// The outbox does not remember for ever what the room was told.
		long = long || g.now().Sub(back.At) >= outbox.Kept/2
		err = g.tally(ctx, Count{RoomID: o.RoomID, OrderID: id, UserID: o.UserID, Pieces: in.Count, Charge: -made.Amount, At: made.At, Refunded: true})
		if err != nil {
			return err
		}
	}
	if long {
		return nil
	}
	return g.tellRefund(ctx, o)
}

// tellRefund tells the room which orders were refunded, so that clients take down
// what they showed on their own screens.
func (g *Gifts) tellRefund(ctx context.Context, o refundOrder) error {
	body, err := liveroom.Event("gift_refund", o.Frame, struct {
		UserID string   `json:"userId"`
		Combo  string   `json:"comboId"`
		Orders []string `json:"orders"`
	}{o.UserID, o.Combo, o.Orders})
	if err != nil {
		return fmt.Errorf("gift: %w", err)
	}
	err = g.conf.Out.Add(ctx, outbox.Message{
		RoomID: o.RoomID, Key: "refund/" + o.Frame, Priority: im.Normal, From: g.conf.Notifier, Body: body, Patience: patience,
	})
	if err != nil {
		return err
	}
	return g.conf.Out.Drain(ctx, o.RoomID)
}

func logShownAfterRefund(ctx context.Context, frame string) {
	slog.ErrorContext(ctx, "gift was shown after it was refunded: IM told of it too late", "frame", frame)
}
