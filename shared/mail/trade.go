package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// A trade is a saga with one item that decides by compare-and-set. Its steps are calls
// of the game's server, each under a key of the trade's, so that a step may be repeated
// by anybody at any time:
//
//	opening    hold what A gives                    -> open, or cancelled where A lacks it
//	open       B accepts, one of the two cancels, or time runs out
//	accepting  hold what B gives                    -> moving, or undoing where B cannot
//	moving     move both holds to the other's side  -> done
//	undoing    release each hold that may exist     -> cancelled or expired
//
// Each hold ends by the move or by its release, never by both: moving is entered from
// accepting alone, undoing never leads back. A hold whose outcome is unknown is released
// too; the game refuses a hold that arrives after its release.
type trade struct {
	ID      string    `json:"id"`
	Asked   string    `json:"asked"`
	Version int64     `json:"version"`
	Stage   string    `json:"stage"`
	From    string    `json:"from"` // A; "" once erased
	With    string    `json:"with"` // B; "" once erased
	Give    []Item    `json:"give"` // by A
	Want    []Item    `json:"want"` // from B
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
	// Next is until when the one who calls the game has the trade in hand.
	Next time.Time `json:"next"`
	// HeldB: B's hold may exist.
	HeldB bool `json:"heldB,omitempty"`
	// End is what the trade becomes after undoing.
	End string `json:"end,omitempty"`
	Why string `json:"why,omitempty"` // code of why it was cancelled by the game
	// Told is the last stage that both were told.
	Told string `json:"told,omitempty"`
}

// Stages of a trade. Users see opening as open, and the other stages under their own
// names.
const (
	opening   = "opening"
	TradeOpen = "open"
	accepting = "accepting"
	moving    = "moving"
	undoing   = "undoing"

	TradeDone      = "done"
	TradeCancelled = "cancelled"
	TradeExpired   = "expired"
)

// tradeKept is how long a trade is remembered after its end.
const tradeKept = 30 * 24 * time.Hour

const maxTradeMessage = 300 // bytes

// codeNoSender: IM does not know the account that a message is from (1047/34348).
const codeNoSender im.Code = 90008

// NewTrade is an offer.
type NewTrade struct {
	With    string `json:"with"`
	Give    []Item `json:"give"`
	Want    []Item `json:"want"`
	Message string `json:"message"`
}

// TradeView is the view of a trade for its two players.
type TradeView struct {
	TradeID   string     `json:"tradeId"`
	State     string     `json:"state"` // opening, open, accepting, moving, undoing, done, cancelled or expired
	Version   int64      `json:"version"`
	From      string     `json:"from"` // "" for a player whose records were erased
	With      string     `json:"with"` // as From
	Give      []Item     `json:"give"`
	Want      []Item     `json:"want"`
	Message   string     `json:"message,omitempty"`
	Why       fault.Code `json:"why,omitempty"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt time.Time  `json:"expiresAt"`
}

func (t *trade) view() TradeView {
	return TradeView{
		t.ID, t.Stage, t.Version, t.From, t.With, notNil(t.Give), notNil(t.Want), t.Message, fault.Code(t.Why), t.At, t.Until,
	}
}

func notNil(items []Item) []Item {
	if items == nil {
		return []Item{}
	}
	return items
}

func (t *trade) over() bool {
	return t.Stage == TradeDone || t.Stage == TradeCancelled || t.Stage == TradeExpired
}

func (t *trade) has(user string) bool { return user == t.From || user == t.With }

// calls reports whether the game is to be called.
func (t *trade) calls() bool {
	return t.Stage == opening || t.Stage == accepting || t.Stage == moving || t.Stage == undoing
}

func tradePartition(id string) string { return "mail/trade/" + id }

const tradeItem = "trade"

var errNoTrade = fault.New(fault.NotFound, "there is no such trade, or no longer")

// loadTrade reads a trade; without one the condition is Absent.
func (m *Mails) loadTrade(ctx context.Context, id string) (t *trade, cond kv.Cond, err error) {
	t = &trade{}
	cond, err = load(ctx, m.store, tradePartition(id), tradeItem, t)
	return t, cond, err
}

func (m *Mails) putTrade(ctx context.Context, t *trade, cond kv.Cond) error {
	value, err := encode(t)
	if err != nil {
		return err
	}
	_, err = m.commit(ctx, tradePartition(t.ID), kv.Put{Key: tradeItem, Value: value, Expires: t.Until.Add(tradeKept), If: cond})
	return err
}

// alterTrade changes a trade by compare-and-set.
func (m *Mails) alterTrade(ctx context.Context, id string, change func(t *trade) error) (*trade, error) {
	for range tries {
		t, cond, err := m.loadTrade(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case cond.WantsAbsent():
			return nil, errNoTrade
		}
		before, err := encode(t)
		if err != nil {
			return nil, err
		}
		if err := change(t); err != nil {
			return t, err
		}
		if after, err := encode(t); err != nil || bytes.Equal(before, after) {
			return t, err
		}
		if err := m.putTrade(ctx, t, cond); !errors.Is(err, kv.ErrConflict) {
			return t, err
		}
	}
	return nil, errBusy
}

// Blocked reports whether a user has blocked another.
type Blocked func(ctx context.Context, user, by string) (bool, error)

// Offer makes a trade and has the game hold the items that its maker gives. The same
// user with the same idempotency key gets the same trade. Errors are of the codes
// Invalid, Forbidden where the other player has blocked the user, NotConfigured,
// GameRefused where the user lacks the items, IdempotencyMismatch, and Unavailable
// where the game has not answered; a retry then returns the trade.
func (m *Mails) Offer(ctx context.Context, user, key string, in NewTrade, blocked Blocked) (TradeView, error) {
	if m.conf.Hook == nil {
		return TradeView{}, errNoHook
	}
	switch {
	case usersig.CheckUserID(in.With) != nil || im.IsRobot(in.With):
		return TradeView{}, fault.New(fault.Invalid, "with is the UserID of another player")
	case in.With == user:
		return TradeView{}, fault.New(fault.Invalid, "nobody trades with themselves: with is another player")
	case len(in.Give)+len(in.Want) == 0:
		return TradeView{}, fault.New(fault.Invalid, "a trade has items in give or in want")
	case len(in.Message) > maxTradeMessage:
		return TradeView{}, fault.New(fault.Invalid, "message has at most %d bytes", maxTradeMessage)
	}
	for field, items := range map[string][]Item{"give": in.Give, "want": in.Want} {
		if err := checkItems(field, items); err != nil {
			return TradeView{}, err
		}
	}
	if blocked != nil {
		is, err := blocked(ctx, user, in.With)
		switch {
		case im.Lasting(err):
			return TradeView{}, fault.New(fault.Invalid, "with: IM knows no such player")
		case err != nil:
			return TradeView{}, err
		case is:
			return TradeView{}, fault.New(fault.Forbidden, "this player takes no trades from you")
		}
	}
	asked, err := encode(in)
	if err != nil {
		return TradeView{}, err
	}
	id, err := m.named(ctx, "t", user, key)
	if err != nil {
		return TradeView{}, err
	}
	// The guard comes before the commit that it guards.
	if err := guard(ctx, m.trades, id, m.now().Add(guardAfter)); err != nil {
		return TradeView{}, err
	}
	now := m.now().UTC().Truncate(time.Millisecond)
	t := &trade{
		ID: id, Asked: digest(string(asked)), Version: 1, Stage: opening, From: user, With: in.With, Give: in.Give, Want: in.Want,
		Message: in.Message, At: now, Until: now.Add(m.conf.Trade),
	}
	if len(t.Give) == 0 {
		t.Stage = TradeOpen // there is nothing to hold
	}
	if err := m.note(ctx, t); err != nil {
		return TradeView{}, err
	}
	err = m.putTrade(ctx, t, kv.Absent())
	if errors.Is(err, kv.ErrConflict) {
		var cond kv.Cond
		if t, cond, err = m.loadTrade(ctx, id); err == nil && (cond.WantsAbsent() || t.Asked != digest(string(asked))) {
			return TradeView{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another trade; use a new one")
		}
	}
	if err != nil {
		return TradeView{}, err
	}
	t, err = m.goOn(ctx, id)
	switch {
	case err != nil:
		return TradeView{}, err
	case t.Stage == opening:
		return TradeView{}, fault.New(fault.Unavailable, "the game's server has not answered yet; send the same request again").After(2 * time.Second)
	case t.Why != "" && t.Told == "":
		return TradeView{}, fault.New(fault.GameRefused, "the game does not take this trade: you have not all that you give, or no room for what you want")
	}
	return t.view(), nil
}

// Accept accepts an offer in the name of the other player. version is the version that
// the player saw; 0 stands for any. Accepting again returns the trade's present state.
// Errors are of the codes NotFound, Forbidden, Conflict and Unavailable.
func (m *Mails) Accept(ctx context.Context, user, id string, version int64) (TradeView, error) {
	return m.decide(ctx, user, id, func(t *trade) error {
		switch {
		case user != t.With:
			return fault.New(fault.Forbidden, "an offer is accepted by the player to whom it was made")
		case version != 0 && version != t.Version:
			return fault.New(fault.Conflict, "the offer has version %d: look at it again", t.Version)
		case t.Stage == accepting, t.Stage == moving, t.Stage == TradeDone:
			return nil
		case t.Stage == opening:
			return fault.New(fault.Conflict, "the offer is not complete; ask again").After(time.Second)
		case t.Stage != TradeOpen:
			return fault.New(fault.Conflict, "the trade is over")
		case !t.Until.After(m.now()):
			t.Stage, t.End = undoing, TradeExpired
		case len(t.Want) == 0 && len(t.Give) == 0:
			return fault.New(fault.Conflict, "there is nothing to trade")
		default:
			t.Stage, t.HeldB = accepting, true
		}
		t.Next = time.Time{}
		return nil
	})
}

// CancelTrade ends an open offer; either player may. Cancelling one that was cancelled
// is a no-op. Errors are of the codes NotFound, Conflict where it is too late, and
// Unavailable.
func (m *Mails) CancelTrade(ctx context.Context, user, id string) (TradeView, error) {
	return m.decide(ctx, user, id, func(t *trade) error {
		switch t.Stage {
		case TradeCancelled, undoing:
			return nil
		case TradeOpen:
			t.Stage, t.End, t.Next = undoing, TradeCancelled, time.Time{}
			return nil
		case opening:
			return fault.New(fault.Conflict, "the offer is not complete; ask again").After(time.Second)
		}
		return fault.New(fault.Conflict, "the trade is %s and cannot be cancelled", t.Stage)
	})
}

// decide changes a trade of a user's and goes on with it.
func (m *Mails) decide(ctx context.Context, user, id string, change func(t *trade) error) (TradeView, error) {
	if m.conf.Hook == nil {
		return TradeView{}, errNoHook
	}
	if _, err := m.Trade(ctx, user, id); err != nil {
		return TradeView{}, err
	}
	if err := guard(ctx, m.trades, id, m.now().Add(guardAfter)); err != nil {
		return TradeView{}, err
	}
	if _, err := m.alterTrade(ctx, id, change); err != nil {
		return TradeView{}, err
	}
	t, err := m.goOn(ctx, id)
	if err != nil {
		return TradeView{}, err
	}
	return t.view(), nil
}

// Trade returns a trade to one of its players; to others it does not exist.
func (m *Mails) Trade(ctx context.Context, user, id string) (TradeView, error) {
	if m.conf.Hook == nil {
		return TradeView{}, errNoHook
	}
	if !isID("t", id) {
		return TradeView{}, errNoTrade
	}
	t, cond, err := m.loadTrade(ctx, id)
	switch {
	case err != nil:
		return TradeView{}, err
	case cond.WantsAbsent() || !t.has(user):
		return TradeView{}, errNoTrade
	}
	return t.view(), nil
}

// tradeCall is what the game is asked for.
type tradeCall struct {
	Op      string `json:"op"` // hold, move or release
	ID      string `json:"id"` // the Idempotency-Key
	TradeID string `json:"tradeId"`
	Side    string `json:"side,omitempty"`   // a or b
	UserID  string `json:"userId,omitempty"` // whose items are held or released
	Items   []Item `json:"items,omitempty"`
	// Receives is what the user gets in the end: the game refuses a hold where there is
	// no room for it.
	Receives []Item `json:"receives,omitempty"`
	Moves    []leg  `json:"moves,omitempty"`
}

// leg is one half of a trade: what side holds goes to the other player.
type leg struct {
	Side  string `json:"side"`
	From  string `json:"from"`
	To    string `json:"to"`
	Items []Item `json:"items"`
}

// step is the next call of a trade.
func (t *trade) step() []tradeCall {
	key := func(op string) string { return "trade/" + t.ID + "/" + op }
	release := func(side, user string, items []Item) tradeCall {
		return tradeCall{Op: "release", ID: key("release/" + side), TradeID: t.ID, Side: side, UserID: user, Items: items}
	}
	switch t.Stage {
	case opening:
		return []tradeCall{{Op: "hold", ID: key("hold/a"), TradeID: t.ID, Side: "a", UserID: t.From, Items: t.Give, Receives: t.Want}}
	case accepting:
		return []tradeCall{{Op: "hold", ID: key("hold/b"), TradeID: t.ID, Side: "b", UserID: t.With, Items: t.Want, Receives: t.Give}}
	case moving:
		return []tradeCall{{Op: "move", ID: key("move"), TradeID: t.ID, Moves: []leg{
			{"a", t.From, t.With, notNil(t.Give)}, {"b", t.With, t.From, notNil(t.Want)},
		}}}
	case undoing:
		var list []tradeCall
		if len(t.Give) > 0 {
			list = append(list, release("a", t.From, t.Give))
		}
		if t.HeldB {
			list = append(list, release("b", t.With, t.Want))
		}
		return list
	}
	return nil
}

// goOn takes a trade as far as it goes now: it calls the game until the trade waits for
// a player or is over, or the game does not answer. Of several at once one calls.
func (m *Mails) goOn(ctx context.Context, id string) (*trade, error) {
	for {
		now, mine := m.now(), false
		t, err := m.alterTrade(ctx, id, func(t *trade) error {
			mine = false
			if t.Stage == TradeOpen && !t.Until.After(now) {
				t.Stage, t.End, t.Next = undoing, TradeExpired, time.Time{}
			}
			if t.calls() && !t.Next.After(now) {
				t.Next, mine = now.Add(2*hook.Timeout+hookSlack), true
			}
			return nil
		})
		if err != nil {
			return t, err
		}
		if !mine {
			if t.calls() {
				return t, nil // somebody has it in hand
			}
			return t, m.rest(ctx, t)
		}
		answer := m.perform(ctx, t)
		stage := t.Stage
		settle, cancel := retry.Settle(ctx)
		t, err = m.alterTrade(settle, id, func(t *trade) error {
			if t.Stage == stage {
				t.answered(answer, m.now())
			}
			return nil
		})
		cancel()
		if err != nil {
			return t, err
		}
		if t.Stage == stage {
			return t, nil // no definite answer; the guard's job asks again
		}
	}
}

// perform makes the calls of a stage. The errors are those of [hook.Hook.Post].
func (m *Mails) perform(ctx context.Context, t *trade) error {
	for _, call := range t.step() {
		body, err := encode(call)
		if err != nil {
			return err
		}
		if _, _, err := m.conf.Hook.Post(ctx, call.ID, body); err != nil {
			slog.WarnContext(ctx, "the game has not done a step of a trade", "trade", t.ID, "stage", t.Stage, "error", err.Error())
			return err
		}
	}
	return nil
}

// answered takes in what the game said to a stage's calls.
func (t *trade) answered(err error, now time.Time) {
	t.Next = time.Time{}
	refused := errors.Is(err, hook.ErrRefused)
	switch {
	case t.Stage == opening && err == nil:
		t.Stage = TradeOpen
	case t.Stage == opening && refused:
		t.Stage, t.Why = TradeCancelled, string(fault.GameRefused) // nothing is held
	case t.Stage == opening && !t.Until.After(now):
		t.Stage, t.End = undoing, TradeExpired
	case t.Stage == accepting && err == nil:
		t.Stage = moving
	case t.Stage == accepting && refused:
		t.Stage, t.End, t.HeldB, t.Why = undoing, TradeCancelled, false, string(fault.GameRefused)
	case t.Stage == accepting && !t.Until.After(now):
		t.Stage, t.End = undoing, TradeExpired
	case t.Stage == moving && err == nil:
		t.Stage = TradeDone
	case t.Stage == moving && refused:
		// The game has moved nothing and never will: both get back what they held.
		t.Stage, t.End, t.Why = undoing, TradeCancelled, string(fault.GameRefused)
	case t.Stage == undoing && (err == nil || refused):
		// A release that is refused has nothing to release.
		t.Stage = t.End
	}
}

// rest tells both players where a trade has come to, and guards what is still to come.
func (m *Mails) rest(ctx context.Context, t *trade) error {
	if t.Stage == TradeOpen {
		if err := guard(ctx, m.trades, t.ID, t.Until); err != nil {
			return err
		}
	}
	if t.Told == t.Stage || t.Stage == TradeCancelled && t.Why != "" && t.Told == "" {
		return nil // who was never told of the offer is not told of its end
	}
	if m.conf.Sends == nil {
		return nil
	}
	if err := m.tellTrade(ctx, t); err != nil {
		// Told when the guard's job comes.
		slog.WarnContext(ctx, "players were not told of a trade", "trade", t.ID, "error", err.Error())
		return guard(ctx, m.trades, t.ID, m.now().Add(guardAfter))
	}
	_, err := m.alterTrade(ctx, t.ID, func(now *trade) error {
		if now.Stage == t.Stage {
			now.Told = t.Stage
		}
		return nil
	})
	if err == nil && t.over() {
		m.trades.Done(ctx, t.ID)
	}
	return err
}

// tellTrade sends both players a custom message between them, once for each stage.
func (m *Mails) tellTrade(ctx context.Context, t *trade) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		BusinessID string    `json:"businessID"`
		Event      string    `json:"event"`
		Data       TradeView `json:"data"`
	}{"backchannel", "trade", t.view()})
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	event := "trade/" + t.ID + "/" + t.Stage
	msg := im.C2CMsg{From: t.From, To: t.With, Body: im.Custom(string(bytes.TrimSpace(b.Bytes())), "", ""), Push: &im.OfflinePushInfo{}}
	_, err = m.conf.Sends.C2C(ctx, event, msg)
	if errors.Is(err, codeNoSender) {
		// Its maker has never logged in: the other player hears of it from us.
		msg.From, msg.NotToSender = m.conf.From, true
		_, err = m.conf.Sends.C2C(ctx, event+"/ours", msg)
	}
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) {
		slog.ErrorContext(ctx, "players cannot be told of a trade", "trade", t.ID, "error", err.Error())
		return nil
	}
	return err
}

// continueTrade is the job of [Trades].
func (m *Mails) continueTrade(ctx context.Context, id string) error {
	if m.conf.Hook == nil {
		return errNoHook
	}
	t, cond, err := m.loadTrade(ctx, id)
	switch {
	case err != nil:
		return err
	case cond.WantsAbsent(), t.over() && (t.Told == t.Stage || t.parted()):
		return nil
	}
	// Guarded anew: a game that is away for hours still ends its trades.
	// An open one that has expired calls the game as well.
	if err := guard(ctx, m.trades, id, m.now().Add(hookEvery)); err != nil {
		return err
	}
	_, err = m.goOn(ctx, id)
	return err
}
