package gift

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

// orderWhy is the reason of an order's move of the wallet.
const orderWhy = "gift"

// State is the state of an order.
type State string

// The states of an order.
const (
	Charged  State = "charged"
	Sent     State = "sent"
	Refunded State = "refunded"
)

// Asked is a request for an order.
type Asked struct {
	RoomID string `json:"roomId"`
	GiftID string `json:"giftId"`
	Count  int64  `json:"count"`
	Price  int64  `json:"price"` // of one piece, as the user saw it
}

// Order is an order as its user sees it.
type Order struct {
	OrderID string     `json:"orderId"`
	GiftID  string     `json:"giftId"`
	Count   int64      `json:"count"`
	Charged int64      `json:"charged"`
	Balance int64      `json:"balance"` // after the charge
	State   State      `json:"state"`
	ComboID string     `json:"comboId"` // as in the CloudCustomData of the message in the room
	Message im.Element `json:"message"` // for the user's own screen: this order alone

	replayed bool
}

// content is what is kept with the move of an order.
type content struct {
	Asked
	Generation int64 `json:"generation"` // of the room
	Gift       Gift  `json:"gift"`       // as it was then
}

// note is what is noted when an order is charged.
type note struct {
	Combo string `json:"combo"`
	Frame string `json:"frame"`
}

// OrderID is the id of a user's order, the same for the same Idempotency-Key. The
// user can be read from it, since orders are kept by user.
func OrderID(userID, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "gift %q %q", userID, key))
	return base64.RawURLEncoding.EncodeToString(sum[:9]) + "." + base64.RawURLEncoding.EncodeToString([]byte(userID))
}

// userOf returns the user of an order, "" for a malformed id.
func userOf(orderID string) string {
	_, encoded, _ := strings.Cut(orderID, ".")
	user, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || usersig.CheckUserID(string(user)) != nil {
		return ""
	}
	return string(user)
}

var (
	errRoomClosed = fault.New(fault.RoomClosed, "the room takes no gifts any more")
	errKicked     = fault.New(fault.Forbidden, "you may not be in this room now")
	errNoOrder    = fault.New(fault.NotFound, "there is no such order")
)

// Order charges a user for a gift, once for each Idempotency-Key: a retry gets the
// first answer. Errors: the codes NotFound (room, gift), RoomClosed, PriceChanged,
// InsufficientFunds, IdempotencyMismatch, Forbidden (kicked), Invalid, Unavailable. Of
// these only InsufficientFunds is stored with the key.
func (g *Gifts) Order(ctx context.Context, userID, key string, a Asked) (Order, error) {
	if a.Count < 1 || a.Count > MaxCount {
		return Order{}, fault.New(fault.Invalid, "count is a whole number from 1 to %d", MaxCount)
	}
	if a.Price < 1 || a.Price > wallet.MaxAmount/a.Count {
		return Order{}, fault.New(fault.Invalid, "price is a whole number from 1; price x count is at most %d", int64(wallet.MaxAmount))
	}
	id := OrderID(userID, key)
	// A repeat is answered as the first time, whatever has become of room and gift.
	if o, known, err := g.repeated(ctx, userID, id, a); known || err != nil {
		return o, err
	}
	room, err := g.conf.Rooms.Get(ctx, a.RoomID)
	if err != nil {
		return Order{}, err
	}
	if !room.Open() {
		return Order{}, errRoomClosed
	}
	kicked, err := g.conf.Rooms.Kicked(ctx, room, userID)
	if err != nil {
		return Order{}, err
	}
	if kicked {
		return Order{}, errKicked
	}
	is, err := g.Gift(ctx, a.GiftID)
	switch {
	case err != nil:
		return Order{}, err
	case !is.Active:
		return Order{}, errNoGift
	case is.Price != a.Price:
		return Order{}, fault.New(fault.PriceChanged, "the price of one is %d now", is.Price)
	}
	body, err := json.Marshal(content{a, room.Generation, is})
	if err != nil {
		return Order{}, fmt.Errorf("gift: %w", err)
	}
	made, err := g.conf.Ledger.Make(ctx, wallet.Move{ID: id, UserID: userID, Amount: -a.Price * a.Count, Why: orderWhy, Ref: id, Body: body})
	if errors.Is(err, wallet.ErrOtherMove) {
		// Another request of this key was faster; the gift may have changed in between.
		o, _, err := g.repeated(ctx, userID, id, a)
		return o, err
	}
	if err != nil {
		return Order{}, err
	}
	return orderOf(made)
}

// repeated returns the order of a key that was used before.
func (g *Gifts) repeated(ctx context.Context, userID, id string, a Asked) (o Order, known bool, err error) {
	made, err := g.conf.Ledger.Find(ctx, userID, id)
	if errors.Is(err, wallet.ErrNoMove) || errors.Is(err, wallet.ErrUnsettled) {
		return Order{}, false, nil // an unsettled move is settled by making it
	}
	if err != nil && !errors.Is(err, wallet.ErrInsufficient) {
		return Order{}, false, err
	}
	var c content
	if err := json.Unmarshal(made.Body, &c); err != nil {
		return Order{}, false, fmt.Errorf("gift: an order does not decode: %w", err)
	}
	if c.Asked != a {
		return Order{}, true, wallet.ErrOtherMove
	}
	if err != nil {
		return Order{}, true, err
	}
	o, err = orderOf(made)
	o.replayed = true
	return o, true, err
}

// orderOf is an order as it was when it was charged.
func orderOf(m wallet.Made) (Order, error) {
	var c content
	if err := json.Unmarshal(m.Body, &c); err != nil {
		return Order{}, fmt.Errorf("gift: an order does not decode: %w", err)
	}
	var n note
	if err := json.Unmarshal(m.Note, &n); err != nil {
		return Order{}, fmt.Errorf("gift: the note of an order does not decode: %w", err)
	}
	body, err := c.Gift.body(c.Count)
	if err != nil {
		return Order{}, err
	}
	return Order{
		OrderID: m.ID, GiftID: c.GiftID, Count: c.Count, Charged: -m.Amount, Balance: m.Balance, State: Charged, ComboID: n.Combo,
		Message: body[0], replayed: m.Replayed,
	}, nil
}

// Find returns an order of a room in its present state. An order that was not refunded
// counts as sent once the outbox has forgotten its frame.
func (g *Gifts) Find(ctx context.Context, roomID, orderID string) (o Order, userID string, err error) {
	userID = userOf(orderID)
	if userID == "" {
		return Order{}, "", errNoOrder
	}
	made, err := g.conf.Ledger.Find(ctx, userID, orderID)
	if errors.Is(err, wallet.ErrNoMove) || errors.Is(err, wallet.ErrInsufficient) || err == nil && made.Why != orderWhy {
		return Order{}, "", errNoOrder
	}
	if err != nil {
		return Order{}, "", err
	}
	var c content
	var n note
	if err := errors.Join(json.Unmarshal(made.Body, &c), json.Unmarshal(made.Note, &n)); err != nil {
		return Order{}, "", fmt.Errorf("gift: an order does not decode: %w", err)
	}
	if c.RoomID != roomID {
		return Order{}, "", errNoOrder
	}
	if o, err = orderOf(made); err != nil {
		return Order{}, "", err
	}
	o.State, err = g.state(ctx, userID, orderID, c, n, g.now().Sub(made.At) > outbox.Kept)
	return o, userID, err
}

func (g *Gifts) state(ctx context.Context, userID, orderID string, c content, n note, old bool) (State, error) {
	_, err := g.conf.Ledger.Find(ctx, userID, refundID(orderID))
	switch {
	case err == nil:
		return Refunded, nil
	case !errors.Is(err, wallet.ErrNoMove) && !errors.Is(err, wallet.ErrUnsettled):
		return "", err
	}
	end, err := g.conf.Out.Outcome(ctx, c.RoomID, n.Frame)
	switch {
	case errors.Is(err, kv.ErrNotFound) && old:
		return Sent, nil
	case errors.Is(err, kv.ErrNotFound):
		return Charged, nil
	case err != nil:
		return "", public(err)
	case end.State == outbox.Sent:
		return Sent, nil
	}
	return Charged, nil
}

// body is the message that shows so many pieces of a gift, in the form of the Flutter
// plug-in for live rooms: one custom element.
func (g Gift) body(pieces int64) (im.MsgBody, error) {
	type info struct {
		Type   int    `json:"type"`
		URL    string `json:"giftUrl"`
		Count  int64  `json:"giftCount"`
		Effect string `json:"giftSEUrl,omitempty"`
		Name   string `json:"giftName"`
		Units  string `json:"giftUnits,omitempty"`
	}
	type command struct {
		Cmd  string `json:"cmd"`
		Info info   `json:"cmdInfo"`
	}
	data, err := encode(struct {
		Version    float64 `json:"version"`
		BusinessID string  `json:"businessID"`
		Data       command `json:"data"`
	}{1, "flutter_live_kit", command{"send_gift_message", info{g.Type, g.Icon, pieces, g.Effect, g.Name, g.Units}}})
	if err != nil {
		return nil, err
	}
	return im.Custom(data, "", ""), nil
}
