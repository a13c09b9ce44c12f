package lottery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/liveroom/outbox"
)

// Draw draws a lottery of a room that the caller leads; drawing again returns the same
// draw. Messages that IM delivered before the call count if their callbacks have
// arrived. Errors: the codes NotFound, Forbidden, Unavailable.
func (l *Lotteries) Draw(ctx context.Context, c api.Caller, roomID, id string) (Lottery, error) {
	room, err := l.room(ctx, c, roomID)
	if err != nil {
		return Lottery{}, err
	}
	if !isID(id) {
		return Lottery{}, errNoLottery
	}
	is, _, err := l.load(ctx, roomID, id)
	if err != nil {
		return Lottery{}, err
	}
	if is.Generation != room.Generation {
		return Lottery{}, errNoLottery
	}
	// Whoever dies from here on leaves a job that goes on, at the window's end at the
	// latest.
	return l.draw(ctx, roomID, id)
}

// draw takes a lottery from wherever it stands to its announced end. Each step is
// committed before the next begins, so whoever repeats it goes on.
func (l *Lotteries) draw(ctx context.Context, roomID, id string) (Lottery, error) {
	for range tries {
		is, cond, err := l.load(ctx, roomID, id)
		if err != nil {
			return Lottery{}, err
		}
		switch is.State {
		case Open:
			err = l.freeze(ctx, roomID, is, cond)
		case Frozen:
			err = l.reveal(ctx, roomID, is, cond)
		default:
			// The outbox does not remember for ever what the room was told.
			if l.now().Sub(is.DrawnAt) < outbox.Kept/2 {
				if err := l.announce(ctx, roomID, is, "drawn"); err != nil {
					return Lottery{}, public(err)
				}
			}
			return l.whole(ctx, roomID, is)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return Lottery{}, public(err)
		}
	}
	return Lottery{}, public(kv.ErrConflict)
}

// freeze ends the entries and stores their hash, and who may not win.
func (l *Lotteries) freeze(ctx context.Context, roomID string, is record, cond kv.Cond) error {
	until, err := l.end(ctx, roomID, is)
	if err != nil {
		return err
	}
	users, err := l.entered(ctx, roomID, is.LotteryID, until)
	if err != nil {
		return err
	}
	excluded, err := l.excluded(ctx, roomID, users)
	if err != nil {
		return err
	}
	list, openCond, err := l.open(ctx, roomID)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o opening) bool { return o.ID == is.LotteryID })
	listed, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	is.State = Frozen
	is.Draw = &Draw{
		Until: time.Unix(until, 0).UTC(), EntriesHash: EntriesHash(without(users, excluded)), Excluded: excluded,
	}
	value, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return l.store.Commit(ctx, partition(roomID), newOp(),
		kv.Put{Key: lotteryPrefix + is.LotteryID, Value: value, Expires: l.now().Add(kept), If: cond},
		kv.Put{Key: openKey, Value: listed, If: openCond})
}

// end fixes the second until which messages count. From then on no entry is taken,
// and of several draws at once the first decides.
func (l *Lotteries) end(ctx context.Context, roomID string, is record) (until int64, err error) {
	f := frozen{Until: min(l.now().Unix(), is.EndsAt.Unix()-1)}
	value, err := json.Marshal(f)
	if err != nil {
		return 0, fmt.Errorf("lottery: %w", err)
	}
	err = l.store.Commit(ctx, entries(roomID, is.LotteryID), newOp(),
		kv.Put{Key: frozenKey, Value: value, Expires: l.now().Add(kept), If: kv.Absent()})
	if !errors.Is(err, kv.ErrConflict) {
		return f.Until, err
	}
	item, err := l.store.Get(ctx, entries(roomID, is.LotteryID), frozenKey)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(item.Value, &f); err != nil {
		return 0, fmt.Errorf("lottery: the end of the entries does not decode: %w", err)
	}
	return f.Until, nil
}

// excluded returns who may not win: the owner and the moderators, and of those who
// entered the app's admin, robots and whoever is kicked.
func (l *Lotteries) excluded(ctx context.Context, roomID string, users []string) ([]string, error) {
	room, err := l.conf.Rooms.Get(ctx, roomID)
	if err != nil {
		return nil, err
	}
	kicked, err := l.kicked(ctx, roomID)
	if err != nil {
		return nil, err
	}
	list := append([]string{room.Owner}, room.Moderators...)
	for _, user := range users {
		if user == l.conf.Admin || im.IsRobot(user) || kicked[user] {
			list = append(list, user)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (l *Lotteries) kicked(ctx context.Context, roomID string) (map[string]bool, error) {
	users := make(map[string]bool)
	for after := ""; ; {
		list, next, err := l.conf.Rooms.ListRestrictions(ctx, api.Caller{Server: "lottery"}, roomID, after, api.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if r.Kind == liveroom.Kick {
				users[r.UserID] = true
			}
		}
		if next == "" {
			return users, nil
		}
		after = next
	}
}

// reveal reads the seed, which nobody has before the entries are frozen, and stores
// the winners.
func (l *Lotteries) reveal(ctx context.Context, roomID string, is record, cond kv.Cond) error {
	seed, err := l.store.Get(ctx, partition(roomID), seedPrefix+is.LotteryID)
	if err != nil {
		return err
	}
	users, err := l.entered(ctx, roomID, is.LotteryID, is.Until.Unix())
	if err != nil {
		return err
	}
	list := without(users, is.Excluded)
	if EntriesHash(list) != is.EntriesHash {
		return errors.New("lottery: the entries have changed since they were frozen")
	}
	order := DrawingOrder(string(seed.Value), list)
	is.State, is.DrawnAt = Drawn, l.now().UTC()
	is.Seed, is.Winners = string(seed.Value), order[:min(len(order), is.WinnersWanted)]
	value, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("lottery: %w", err)
	}
	return l.store.Commit(ctx, partition(roomID), newOp(), kv.Put{Key: lotteryPrefix + is.LotteryID, Value: value, Expires: l.now().Add(kept), If: cond})
}

// whole is a lottery with its entries, once it is drawn, and without what is not
// public before.
func (l *Lotteries) whole(ctx context.Context, roomID string, is record) (Lottery, error) {
	if is.State != Drawn {
		is.Draw = nil
		return is.Lottery, nil
	}
	users, err := l.entered(ctx, roomID, is.LotteryID, is.Until.Unix())
	if err != nil {
		return Lottery{}, public(err)
	}
	is.Entries = DrawingOrder(is.Seed, without(users, is.Excluded))
	return is.Lottery, nil
}

func without(users, excluded []string) []string {
	list := make([]string, 0, len(users))
	for _, user := range users {
		if _, out := slices.BinarySearch(excluded, user); !out {
			list = append(list, user)
		}
	}
	return list
}

// EntriesHash is the hex SHA-256 of UserIDs, sorted, each followed by a line feed.
func EntriesHash(users []string) string {
	sorted := slices.Sorted(slices.Values(users))
	h := sha256.New()
	for _, user := range sorted {
		h.Write([]byte(user + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// DrawingOrder sorts UserIDs by hex(sha256(seed + ":" + UserID)), ascending.
func DrawingOrder(seed string, users []string) []string {
	type drawn struct{ hash, user string }
	list := make([]drawn, len(users))
	for i, user := range users {
		list[i] = drawn{hashOf(seed + ":" + user), user}
	}
	slices.SortFunc(list, func(a, b drawn) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.user, b.user)) })
	order := make([]string, len(list))
	for i, d := range list {
		order[i] = d.user
	}
	return order
}

// Verify recomputes a draw from the answer of a lottery's route, and returns the first
// mismatch. An answer without a hash of the entries is verified without that hash.
func Verify(is Lottery) error {
	if is.State != Drawn || is.Draw == nil {
		return errors.New("the lottery has not been drawn")
	}
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(hashOf(is.Seed) == is.Commitment, "the seed is not the one that was committed to: its SHA-256 is %s, the commitment %s", hashOf(is.Seed), is.Commitment)
	check(len(slices.Compact(slices.Sorted(slices.Values(is.Entries)))) == len(is.Entries), "a user is entered twice")
	check(is.EntriesHash == "" || EntriesHash(is.Entries) == is.EntriesHash, "the entries are not those that were frozen: their hash is %s, the frozen one %s", EntriesHash(is.Entries), is.EntriesHash)
	order := DrawingOrder(is.Seed, is.Entries)
	check(slices.Equal(order, is.Entries), "the entries are not in drawing order")
	winners := without(order, slices.Sorted(slices.Values(is.Excluded)))
	winners = winners[:max(min(len(winners), is.WinnersWanted), 0)]
	check(slices.Equal(winners, is.Winners), "the winners are [%s], and should be [%s]", strings.Join(is.Winners, ", "), strings.Join(winners, ", "))
	return errors.Join(faults...)
}
