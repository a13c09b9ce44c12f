package gift

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// combo is what one user orders of one gift in one room, as far as it has not been
// handed to the room's outbox. It is an item of the user's partition.
type combo struct {
	ID     string  `json:"id"`
	Total  int64   `json:"total"`            // pieces so far, all frames together
	Open   *frame  `json:"open,omitempty"`   // takes further orders
	Sealed []frame `json:"sealed,omitempty"` // to be shown as they are
}

// frame is what one message shows.
type frame struct {
	ID     string    `json:"id"` // of the order that opened it
	Combo  string    `json:"combo"`
	Gift   Gift      `json:"gift"`
	Orders []counted `json:"orders"`
	Pieces int64     `json:"pieces"`
	Total  int64     `json:"total"` // of the combo, this frame included
	End    bool      `json:"end,omitempty"`
	Last   time.Time `json:"last"` // when its last order was charged
}

// counted is an order of a frame.
type counted struct {
	ID     string    `json:"id"`
	Pieces int64     `json:"pieces"`
	Charge int64     `json:"charge"`
	At     time.Time `json:"at"`
}

// maxSealed bounds the frames that wait to be shown, so that the item stays small.
const maxSealed = 20

// comboKey names a combo among a user's items. A room that is created anew under the
// same id has combos of its own, and so has a gift that was changed.
func comboKey(roomID string, generation int64, is Gift) string {
	return fmt.Sprintf("combo/%s/%d/%s/%d", roomID, generation, is.GiftID, is.Version)
}

func (g *Gifts) combo(ctx context.Context, userID, key string) (c combo, cond kv.Cond, err error) {
	item, err := g.store.Get(ctx, wallet.Partition(userID), key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return c, kv.Absent(), nil
	case err != nil:
		return c, cond, err
	}
	if err := json.Unmarshal(item.Value, &c); err != nil {
		return c, cond, fmt.Errorf("gift: a combo does not decode: %w", err)
	}
	return c, kv.Rev(item.Rev), nil
}

// seal closes the open frame to further orders.
func (c *combo) seal(end bool) {
	c.Open.End = end
	c.Sealed = append(c.Sealed, *c.Open)
	c.Open = nil
}

// take puts an order into the open frame, or into a new one if that is idle or has no
// room. opened says that it is a new one.
func (c *combo) take(o counted, is Gift) (opened bool) {
	if c.Open != nil {
		switch {
		case o.At.Sub(c.Open.Last) >= FrameIdle:
			c.seal(true)
		case c.Open.Pieces+o.Pieces > FramePieces:
			c.seal(false)
		}
	}
	if c.Open == nil {
		opened = true
		if len(c.Sealed) == 0 || c.Sealed[len(c.Sealed)-1].End {
			c.ID, c.Total = o.ID, 0
		}
		c.Open = &frame{ID: o.ID, Combo: c.ID, Gift: is}
	}
	c.Total += o.Pieces
	f := c.Open
	f.Orders, f.Pieces, f.Total, f.Last = append(f.Orders, o), f.Pieces+o.Pieces, c.Total, o.At
	return opened
}

// frameOrder is the body of a job that shows a frame.
type frameOrder struct {
	RoomID     string    `json:"roomId"`
	Generation int64     `json:"generation"`
	UserID     string    `json:"userId"`
	Combo      string    `json:"combo"` // key of the combo
	Frame      string    `json:"frame"`
	At         time.Time `json:"at"` // when the order that opened it was being charged
}

var errManyFrames = fault.New(fault.Unavailable, "the room is slow to show gifts at the moment; ask again with the same Idempotency-Key").After(5 * time.Second)

// along puts an order that is being charged into its combo. The job that shows a
// frame is enqueued before the commit that opens the frame.
func (g *Gifts) along(ctx context.Context, m wallet.Made) (json.RawMessage, []kv.Write, error) {
	var in content
	if err := json.Unmarshal(m.Body, &in); err != nil {
		return nil, nil, fmt.Errorf("gift: an order does not decode: %w", err)
	}
	key := comboKey(in.RoomID, in.Generation, in.Gift)
	c, cond, err := g.combo(ctx, m.UserID, key)
	if err != nil {
		return nil, nil, err
	}
	opened := c.take(counted{ID: m.ID, Pieces: in.Count, Charge: -m.Amount, At: m.At}, in.Gift)
	switch {
	case len(c.Sealed) > maxSealed:
		return nil, nil, errManyFrames
	case opened:
		if err := g.showLater(ctx, frameOrder{in.RoomID, in.Generation, m.UserID, key, m.ID, m.At}); err != nil {
			return nil, nil, err
		}
	}
	value, err := json.Marshal(c)
	if err != nil {
		return nil, nil, fmt.Errorf("gift: %w", err)
	}
	noted, err := json.Marshal(note{Combo: c.Open.Combo, Frame: c.Open.ID})
	return noted, []kv.Write{kv.Put{Key: key, Value: value, If: cond}}, err
}

// showLater enqueues the job that shows a frame. Each try to commit the frame enqueues
// one of its own, since an earlier one may have ended without finding the frame.
func (g *Gifts) showLater(ctx context.Context, o frameOrder) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("gift: %w", err)
	}
	id := fmt.Sprintf("gift/%s/%d", o.Frame, o.At.UnixMilli())
	return g.put(ctx, queue.Job{ID: id, Kind: frameKind, Lane: queue.Fast, NotBefore: o.At.Add(FrameIdle), Body: body})
}

func (g *Gifts) put(ctx context.Context, j queue.Job) error {
	err := g.conf.Jobs.Put(ctx, j)
	if errors.Is(err, queue.ErrUnavailable) {
		return fault.Wrap(err, fault.Unavailable, "gifts cannot be queued at the moment; ask again with the same Idempotency-Key").After(2 * time.Second)
	}
	return public(err)
}

// commitTime is how long after a frame's job was enqueued the frame may still be
// committed: the request's own time and the usual five seconds.
const commitTime = requestTime + 5*time.Second

// frameJob shows the frames of a combo that are sealed, or idle by now.
func (g *Gifts) frameJob(ctx context.Context, j queue.Job) error {
	var o frameOrder
	if err := json.Unmarshal(j.Body, &o); err != nil || o.RoomID == "" || o.UserID == "" || o.Combo == "" {
		return errors.New("gift: the job names no frame")
	}
	const tries = 20 // of changing the combo while its user goes on ordering
	for range tries {
		c, cond, err := g.combo(ctx, o.UserID, o.Combo)
		if err != nil {
			return err
		}
		idle := time.Duration(0)
		if c.Open != nil {
			if idle = FrameIdle - g.now().Sub(c.Open.Last); idle <= 0 {
				c.seal(true)
				switch err := g.save(ctx, o, c, cond); {
				case errors.Is(err, kv.ErrConflict):
					continue
				case err != nil:
					return err
				}
			}
		}
		for _, f := range c.Sealed {
			if err := g.show(ctx, o, f); err != nil {
				return err
			}
		}
		if len(c.Sealed) > 0 {
			if err := g.unlist(ctx, o, c.Sealed); err != nil {
				return err
			}
		}
		switch {
		case c.Open != nil && c.Open.ID == o.Frame:
			err = queue.Later{After: max(idle, time.Millisecond)}
		case len(c.Sealed) == 0 && g.now().Sub(o.At) < commitTime:
			err = g.awaited(ctx, o)
		}
		// Also where nothing was shown now: an earlier run of this job may have died
		// after it took its frame off the combo.
		return cmp.Or(g.conf.Out.Drain(ctx, o.RoomID), err)
	}
	return queue.Later{After: FrameIdle}
}

// awaited is for a frame that is not there: it was shown, or its commit is still
// under way.
func (g *Gifts) awaited(ctx context.Context, o frameOrder) error {
	_, err := g.conf.Ledger.Find(ctx, o.UserID, o.Frame)
	if errors.Is(err, wallet.ErrNoMove) {
		return queue.Later{After: 2 * time.Second}
	}
	if errors.Is(err, wallet.ErrInsufficient) || errors.Is(err, wallet.ErrUnsettled) {
		return nil // not charged; a charge that is settled later enqueues a job of its own
	}
	return err
}

// save writes a combo, or removes one that holds nothing any more.
func (g *Gifts) save(ctx context.Context, o frameOrder, c combo, cond kv.Cond) error {
	var write kv.Write = kv.Delete{Key: o.Combo, If: cond}
	if c.Open != nil || len(c.Sealed) > 0 {
		value, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("gift: %w", err)
		}
		write = kv.Put{Key: o.Combo, Value: value, If: cond}
	}
	return g.store.Commit(ctx, wallet.Partition(o.UserID), newOp(), write)
}

// unlist takes shown frames off a combo, which may have got further orders meanwhile.
func (g *Gifts) unlist(ctx context.Context, o frameOrder, shown []frame) error {
	const tries = 20
	done := make(map[string]bool, len(shown))
	for _, f := range shown {
		done[f.ID] = true
	}
	for try := range tries {
		c, now, err := g.combo(ctx, o.UserID, o.Combo)
		if err != nil {
			return err
		}
		var rest []frame
		for _, f := range c.Sealed {
			if !done[f.ID] {
				rest = append(rest, f)
			}
		}
		if len(rest) == len(c.Sealed) {
			return nil // another job did
		}
		c.Sealed = rest
		if err = g.save(ctx, o, c, now); !errors.Is(err, kv.ErrConflict) {
			return err
		}
		if try == tries-1 {
			return queue.Later{After: FrameIdle}
		}
	}
	return nil
}

// show counts a frame's orders into the room and adds its message to the outbox.
func (g *Gifts) show(ctx context.Context, o frameOrder, f frame) error {
	for _, one := range f.Orders {
		if err := g.tally(ctx, Count{RoomID: o.RoomID, OrderID: one.ID, UserID: o.UserID, Pieces: one.Pieces, Charge: one.Charge, At: one.At}); err != nil {
			return err
		}
	}
	m, err := f.message(o)
	if err != nil {
		return err
	}
	return g.conf.Out.Add(ctx, m)
}

func (g *Gifts) tally(ctx context.Context, c Count) error {
	err := g.conf.Tally(ctx, c)
	if errors.Is(err, kv.ErrInvalid) {
		slog.ErrorContext(ctx, "gift not counted", "error", err.Error())
		return nil
	}
	return err
}

// message is what shows a frame.
func (f frame) message(o frameOrder) (outbox.Message, error) {
	body, err := f.Gift.body(f.Pieces)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("gift: %w", err)
	}
	m := mark{Frame: f.ID, Combo: f.Combo, Pieces: f.Pieces, Total: f.Total, End: f.End}
	for _, one := range f.Orders {
		m.Orders = append(m.Orders, one.ID)
	}
	data, err := encode(customData{&m})
	if err != nil {
		return outbox.Message{}, fmt.Errorf("gift: %w", err)
	}
	return outbox.Message{
		RoomID: o.RoomID, Key: f.ID, Priority: im.High, From: o.UserID, Body: body, CloudCustomData: data, AfterCallback: true,
		Kind: outKind, Patience: patience,
	}, nil
}

// encode writes JSON without the escapes that would count against IM's limits.
func encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func newOp() string { return "gift/" + rand.Text() }
