// Package wallettest is the contract of [wallet.Ledger] as tests, for the built-in
// ledger and the merchant's.
package wallettest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

// Run tests a ledger against the contract. open returns a ledger without moves, and
// its store.
func Run(t *testing.T, open func(t *testing.T) (wallet.Ledger, kv.Store)) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"MadeOnce", testMadeOnce},
		{"InsufficientSticks", testInsufficientSticks},
		{"OutOfRange", testOutOfRange},
		{"Along", testAlong},
		{"ManyAtOnce", testManyAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			ledger, store := open(t)
			c.test(&suite{t, ledger, store})
		})
	}
}

type suite struct {
	*testing.T
	ledger wallet.Ledger
	store  kv.Store
}

func move(id, user string, amount int64) wallet.Move {
	why := wallet.TopUp
	if amount < 0 {
		why = "gift"
	}
	return wallet.Move{ID: id, UserID: user, Amount: amount, Why: why, Ref: "ref of " + id}
}

func (s *suite) makes(m wallet.Move, balance int64, replayed bool) {
	s.Helper()
	made, err := s.ledger.Make(s.Context(), m)
	if err != nil || made.Balance != balance || made.Replayed != replayed || made.At.IsZero() {
		s.Errorf("%s: %+v (%v), want a balance of %d", m.ID, made, err, balance)
	}
}

func (s *suite) refuses(m wallet.Move, want error) {
	s.Helper()
	if _, err := s.ledger.Make(s.Context(), m); !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", m.ID, err, want)
	}
}

func (s *suite) has(user string, want int64) {
	s.Helper()
	if a, err := s.ledger.Account(s.Context(), user); err != nil || a.Balance != want {
		s.Errorf("%s has %d (%v), want %d", user, a.Balance, err, want)
	}
}

func testMadeOnce(s *suite) {
	s.has("ann", 0)
	s.makes(move("1", "ann", 100), 100, false)
	s.makes(move("2", "ann", -30), 70, false)
	s.makes(move("1", "ann", 100), 100, true)
	s.makes(move("1", "bob", 5), 5, false)
	s.refuses(move("1", "ann", 99), wallet.ErrOtherMove)
	signs := move("3", "ann", -1)
	signs.Body = json.RawMessage(`{ "gift": "<3 & more>" }`)
	s.makes(signs, 69, false)
	s.makes(signs, 69, true)
	s.makes(move("4", "ann", 1), 70, false)
	s.has("ann", 70)
	if made, err := s.ledger.Find(s.Context(), "ann", "2"); err != nil || made.Amount != -30 || made.Balance != 70 {
		s.Errorf("%+v, %v", made, err)
	}
	if _, err := s.ledger.Find(s.Context(), "ann", "9"); !errors.Is(err, wallet.ErrNoMove) {
		s.Errorf("%v", err)
	}
}

func testInsufficientSticks(s *suite) {
	s.refuses(move("1", "ann", -10), wallet.ErrInsufficient)
	s.makes(move("2", "ann", 10), 10, false)
	s.refuses(move("1", "ann", -10), wallet.ErrInsufficient)
	s.refuses(move("1", "ann", -9), wallet.ErrOtherMove)
	if _, err := s.ledger.Find(s.Context(), "ann", "1"); !errors.Is(err, wallet.ErrInsufficient) {
		s.Errorf("%v", err)
	}
	s.makes(move("3", "ann", -10), 0, false)
}

func testOutOfRange(s *suite) {
	for _, amount := range []int64{0, wallet.MaxAmount + 1, -wallet.MaxAmount - 1} {
		s.refuses(wallet.Move{ID: "1", UserID: "ann", Amount: amount, Why: "gift"}, wallet.ErrRange)
	}
	s.makes(move("1", "ann", 1), 1, false)
}

// testAlong: what belongs to a move is written with it, its note is kept, and neither
// where the move is refused.
func testAlong(s *suite) {
	s.ledger.Along("gift", func(_ context.Context, m wallet.Made) (json.RawMessage, []kv.Write, error) {
		return json.RawMessage(fmt.Sprintf(`"note of %s"`, m.ID)), []kv.Write{kv.Put{Key: "along/" + m.ID, If: kv.Absent()}}, nil
	})
	s.makes(move("t", "ann", 10), 10, false)
	s.makes(move("a", "ann", -10), 0, false)
	s.refuses(move("b", "ann", -10), wallet.ErrInsufficient)
	s.makes(move("a", "ann", -10), 0, true)
	for key, want := range map[string]error{"along/a": nil, "along/b": kv.ErrNotFound} {
		if _, err := s.store.Get(s.Context(), wallet.Partition("ann"), key); !errors.Is(err, want) {
			s.Errorf("%s: %v, want %v", key, err, want)
		}
	}
	if made, err := s.ledger.Find(s.Context(), "ann", "a"); err != nil || string(made.Note) != `"note of a"` {
		s.Errorf("%+v, %v", made, err)
	}
}

func testManyAtOnce(s *suite) {
	s.makes(move("t", "ann", 100), 100, false)
	var all sync.WaitGroup
	for n := range 60 {
		all.Go(func() {
			_, err := s.ledger.Make(s.Context(), move(fmt.Sprint("g", n%30), "ann", -5))
			if err != nil && !errors.Is(err, wallet.ErrInsufficient) {
				s.Error(err)
			}
		})
	}
	all.Wait()
	s.has("ann", 0)
}
