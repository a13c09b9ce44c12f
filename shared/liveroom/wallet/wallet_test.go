package wallet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet/wallettest"
)

func TestAccounts(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		long bool
		test func(*suite)
	}{
		{"DoubleEntry", false, testDoubleEntry},
		{"MadeOnce", false, testMadeOnce},
		{"InsufficientSticks", false, testInsufficientSticks},
		{"OutOfRange", false, testOutOfRange},
		{"Statement", false, testStatement},
		{"Along", false, testAlong},
		{"Deaths", false, testDeaths},
		{"ManyAtOnce", true, testManyAtOnce},
		{"Model", true, testModel},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Long: c.long, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			c.test(&suite{T: t, store: store, clock: clock, ledger: wallet.New(store, clock.Now)})
		}})
	}
	enginetest.Run(t, tests)
}

func TestContract(t *testing.T) {
	wallettest.Run(t, func(t *testing.T) (wallet.Ledger, kv.Store) {
		store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return wallet.New(store, nil), store
	})
}

type suite struct {
	*testing.T
	store  kv.Store
	clock  *kvtest.Clock
	ledger *wallet.Accounts
}

func topUp(id, user string, amount int64) wallet.Move {
	return wallet.Move{ID: id, UserID: user, Amount: amount, Why: wallet.TopUp, Ref: "shop"}
}

func gift(id, user string, amount int64) wallet.Move {
	return wallet.Move{ID: id, UserID: user, Amount: -amount, Why: "gift", Ref: id}
}

func refund(id, user string, amount int64) wallet.Move {
	return wallet.Move{ID: "refund:" + id, UserID: user, Amount: amount, Why: wallet.Refund, Ref: id}
}

// makes requires that a move is made and leaves this balance.
func (s *suite) makes(m wallet.Move, balance int64) {
	s.Helper()
	made, err := s.ledger.Make(s.Context(), m)
	if err != nil || made.Balance != balance {
		s.Errorf("%s: balance %d (%v), want %d", m.ID, made.Balance, err, balance)
	}
}

func (s *suite) refuses(m wallet.Move, want error) {
	s.Helper()
	if _, err := s.ledger.Make(s.Context(), m); !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", m.ID, err, want)
	}
}

// sums requires that every account's two sides and its statement agree with its
// balance.
func (s *suite) sums(users ...string) {
	s.Helper()
	var total int64
	for _, user := range users {
		a, err := s.ledger.Account(s.Context(), user)
		if err != nil {
			s.Fatal(err)
		}
		total += a.Balance + a.Spent - a.Issued
		lines := s.statement(user)
		balance := int64(0)
		for _, l := range slices.Backward(lines) {
			if balance += l.Amount; l.Balance != balance {
				s.Errorf("%s: a line says %d after %d", user, l.Balance, balance)
			}
		}
		if balance != a.Balance || a.Balance < 0 {
			s.Errorf("%s has %d, and its statement says %d", user, a.Balance, balance)
		}
	}
	if total != 0 {
		s.Errorf("the ledger sums to %d", total)
	}
}

func (s *suite) statement(user string) (all []wallet.Line) {
	s.Helper()
	for after := ""; ; {
		lines, next, err := s.ledger.Statement(s.Context(), user, after, 7)
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, lines...)
		if next == "" {
			return all
		}
		after = next
	}
}

func testDoubleEntry(s *suite) {
	s.makes(topUp("1", "ann", 100), 100)
	s.makes(gift("2", "ann", 30), 70)
	s.makes(gift("3", "ann", 70), 0)
	s.makes(refund("2", "ann", 30), 30)
	a, err := s.ledger.Account(s.Context(), "ann")
	if want := (wallet.Account{Balance: 30, Issued: 100, Spent: 70}); err != nil || a != want {
		s.Errorf("%+v, %v", a, err)
	}
	s.sums("ann", "nobody")
}

func testMadeOnce(s *suite) {
	s.makes(topUp("1", "ann", 100), 100)
	s.makes(topUp("2", "ann", 1), 101)
	for range 3 {
		s.makes(topUp("1", "ann", 100), 100) // the answer of the first time
		s.clock.Advance(48 * time.Hour)
	}
	s.makes(topUp("1", "bob", 5), 5) // ids belong to users
	s.refuses(topUp("1", "ann", 99), wallet.ErrOtherMove)
	s.refuses(gift("1", "ann", 100), wallet.ErrOtherMove)
	other := topUp("1", "ann", 100)
	other.Body = json.RawMessage(`{"room":"b"}`)
	s.refuses(other, wallet.ErrOtherMove)
	if made, err := s.ledger.Find(s.Context(), "ann", "2"); err != nil || made.Amount != 1 || made.Balance != 101 {
		s.Errorf("%+v, %v", made, err)
	}
	if _, err := s.ledger.Find(s.Context(), "ann", "9"); !errors.Is(err, wallet.ErrNoMove) {
		s.Errorf("%v", err)
	}
	s.sums("ann", "bob")
}

// testInsufficientSticks: a refusal belongs to its id, also after a top-up; a new id
// then works.
func testInsufficientSticks(s *suite) {
	s.refuses(gift("1", "ann", 10), wallet.ErrInsufficient)
	s.makes(topUp("t", "ann", 10), 10)
	s.refuses(gift("1", "ann", 10), wallet.ErrInsufficient)
	s.refuses(gift("1", "ann", 9), wallet.ErrOtherMove)
	s.refuses(gift("2", "ann", 11), wallet.ErrInsufficient)
	s.makes(gift("3", "ann", 10), 0)
	s.clock.Advance(25 * time.Hour)
	s.makes(topUp("u", "ann", 10), 10)
	s.makes(gift("1", "ann", 10), 0) // forgotten by now
	s.sums("ann")
}

func testOutOfRange(s *suite) {
	s.makes(topUp("1", "ann", wallet.MaxAmount), wallet.MaxAmount)
	s.refuses(topUp("2", "ann", 1), wallet.ErrRange)
	for _, amount := range []int64{0, wallet.MaxAmount + 1, -wallet.MaxAmount - 1, 1<<63 - 1, -1 << 63} {
		s.refuses(wallet.Move{ID: "3", UserID: "bob", Amount: amount, Why: "gift"}, wallet.ErrRange)
	}
	s.makes(gift("4", "ann", wallet.MaxAmount), 0)
	s.refuses(topUp("2", "ann", 1), wallet.ErrRange) // issued for ever
	s.refuses(refund("9", "bob", 1), wallet.ErrRange)
	s.makes(topUp("3", "bob", 1), 1) // refusals left the id unused
	for name, m := range map[string]wallet.Move{
		"no id":      topUp("", "ann", 1),
		"a long id":  topUp(strings.Repeat("x", wallet.MaxID+1), "ann", 1),
		"a NUL":      topUp("a\x00", "ann", 1),
		"no user":    topUp("1", "", 1),
		"a bad user": topUp("1", "ann\n", 1),
		"no reason":  {ID: "1", UserID: "ann", Amount: 1},
	} {
		if _, err := s.ledger.Make(s.Context(), m); fault.CodeOf(err) != fault.Invalid {
			s.Errorf("%s: %v", name, err)
		}
	}
	s.sums("ann", "bob")
}

func testStatement(s *suite) {
	for n := range 30 {
		s.makes(topUp(fmt.Sprint(n), "ann", int64(n+1)), int64((n+1)*(n+2)/2))
	}
	lines := s.statement("ann")
	if len(lines) != 30 || lines[0].Amount != 30 || lines[29].Amount != 1 || lines[0].Ref != "shop" || lines[0].Why != wallet.TopUp {
		s.Errorf("%+v", lines)
	}
	if lines, next, err := s.ledger.Statement(s.Context(), "bob", "", 5); len(lines) != 0 || next != "" || err != nil {
		s.Errorf("%+v %q %v", lines, next, err)
	}
}

// testAlong: what belongs to a move is written with it or not at all, also where
// somebody else changes it at the same time.
func testAlong(s *suite) {
	disturbed := 0
	s.ledger.Along("gift", func(ctx context.Context, m wallet.Made) (json.RawMessage, []kv.Write, error) {
		if m.Amount == -13 {
			return nil, nil, errors.New("not this one")
		}
		item, err := s.store.Get(ctx, wallet.Partition(m.UserID), "combo")
		cond := kv.Rev(item.Rev)
		if errors.Is(err, kv.ErrNotFound) {
			cond, err = kv.Absent(), nil
		}
		if disturbed < 3 { // another process changes it now
			disturbed++
			_ = s.store.Commit(ctx, wallet.Partition(m.UserID), fmt.Sprint("other", disturbed), kv.Put{Key: "combo", Value: item.Value, If: cond})
		}
		return json.RawMessage(`"after ` + string(item.Value) + `"`), []kv.Write{kv.Put{Key: "combo", Value: append(item.Value, m.ID...), If: cond}}, err
	})
	s.makes(topUp("t", "ann", 100), 100)
	s.makes(gift("a", "ann", 1), 99)
	s.makes(gift("b", "ann", 1), 98)
	if _, err := s.ledger.Make(s.Context(), gift("c", "ann", 13)); err == nil {
		s.Error("made although its writes were not")
	}
	item, err := s.store.Get(s.Context(), wallet.Partition("ann"), "combo")
	if err != nil || string(item.Value) != "ab" {
		s.Errorf("%q, %v", item.Value, err)
	}
	if made, err := s.ledger.Make(s.Context(), gift("b", "ann", 1)); err != nil || string(made.Note) != `"after a"` || !made.Replayed {
		s.Errorf("%+v, %v", made, err)
	}
	s.sums("ann")
}

func testDeaths(s *suite) {
	enginetest.EachDeath(s.T, s.store, func(t *testing.T, name string, mortal kv.Store) {
		user := "u" + name[len(name)-1:] + name[:1]
		moves := []wallet.Move{topUp(name+"1", user, 100), gift(name+"2", user, 60), gift(name+"3", user, 60), refund(name+"2", user, 60)}
		dying := wallet.New(mortal, s.clock.Now)
		before, err := s.ledger.Account(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range moves {
			_, _ = dying.Make(t.Context(), m)
		}
		for range 2 { // whoever was not answered asks again
			for _, m := range moves {
				if _, err := s.ledger.Make(t.Context(), m); err != nil && !errors.Is(err, wallet.ErrInsufficient) {
					t.Error(err)
				}
			}
		}
		a, err := s.ledger.Account(t.Context(), user)
		if err != nil || a.Issued != before.Issued+100 || a.Balance != before.Balance+100-60*btoi(s.madeOf(moves[2])) {
			t.Errorf("%+v after %+v, %v", a, before, err)
		}
		s.sums(user)
	})
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (s *suite) madeOf(m wallet.Move) bool {
	_, err := s.ledger.Find(s.Context(), m.UserID, m.ID)
	return err == nil
}

// testManyAtOnce: 500 users pay at the same time, and one user pays 100 times; none
// of them sees a conflict.
func testManyAtOnce(s *suite) {
	processes := []*wallet.Accounts{s.ledger, wallet.New(s.store, s.clock.Now), wallet.New(s.store, s.clock.Now)}
	s.makes(topUp("t", "busy", 150), 150)
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for n := range 500 {
		all.Go(func() {
			l, user := processes[n%3], fmt.Sprint("user", n)
			if _, err := l.Make(s.Context(), topUp("t", user, 10)); err != nil {
				s.Error(err)
			}
			if made, err := l.Make(s.Context(), gift("g", user, 4)); err != nil || made.Balance != 6 {
				s.Error(made, err)
			}
			if n%5 > 0 {
				return
			}
			_, err := l.Make(s.Context(), gift(fmt.Sprint(n), "busy", 2))
			if errors.Is(err, wallet.ErrInsufficient) {
				mu.Lock()
				refused++
				mu.Unlock()
			} else if err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
	if a, err := s.ledger.Account(s.Context(), "busy"); err != nil || a.Balance != 0 || refused != 25 {
		s.Errorf("%+v, %d refused, %v", a, refused, err)
	}
	s.sums("busy", "user0", "user499")
}

// testModel does ten thousand moves at random, with repeats, over a store that
// loses a tenth of its answers, and compares each answer with a map.
func testModel(s *suite) {
	random := rand.New(rand.NewPCG(4, 2))
	s.ledger = wallet.New(kvtest.Unreliable(s.store, 0.1, random), s.clock.Now)
	users := []string{"ann", "bob", "cid"}
	type known struct {
		move    wallet.Move
		balance int64
		err     error
	}
	balances, moves := map[string]int64{}, map[string]known{}
	steps := 3000
	if testing.Short() {
		steps = 600
	}
	for range steps {
		user, id := users[random.IntN(3)], fmt.Sprint(random.IntN(steps/2))
		amount := random.Int64N(100) + 1
		m := []wallet.Move{topUp(id, user, amount), gift(id, user, amount), gift(id, user, amount)}[random.IntN(3)]
		if k, is := moves[user+id]; is && random.IntN(2) == 0 {
			m = k.move
		}
		k, asked := moves[user+id]
		switch {
		case !asked && balances[user]+m.Amount < 0:
			k = known{m, 0, wallet.ErrInsufficient}
			moves[user+id] = k
		case !asked:
			balances[user] += m.Amount
			k = known{m, balances[user], nil}
			moves[user+id] = k
		case k.move.Amount != m.Amount || k.move.Why != m.Why:
			k = known{err: wallet.ErrOtherMove}
		}
		made, err := s.ledger.Make(s.Context(), m)
		for range 50 {
			if fault.CodeOf(orNil(err)) != fault.Unavailable {
				break
			}
			made, err = s.ledger.Make(s.Context(), m)
		}
		if !errors.Is(err, k.err) || err == nil && made.Balance != k.balance {
			s.Fatalf("%+v: %d, %v; want %d, %v", m, made.Balance, err, k.balance, k.err)
		}
	}
	s.ledger = wallet.New(s.store, s.clock.Now)
	for _, user := range users {
		if a, err := s.ledger.Account(s.Context(), user); err != nil || a.Balance != balances[user] {
			s.Errorf("%s has %d (%v), want %d", user, a.Balance, err, balances[user])
		}
	}
	s.sums(users...)
}

// orNil is an error that has a code.
func orNil(err error) error {
	if err == nil {
		return fault.New(fault.Invalid, "none")
	}
	return err
}
