package merchant_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet/merchant"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet/wallettest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

const key = "what requests are signed with"

// server is a merchant's ledger as the documentation describes one. It knows of ours
// nothing but what is on the wire.
type server struct {
	mu       sync.Mutex
	balances map[string]int64
	bodies   map[string]string // by Idempotency-Key
	answers  map[string]reply  // those that are final
	faults   []fail
	calls    int
	problems []string
}

type reply struct {
	status int
	text   string
}

// fail is what happens to one call.
type fail struct {
	lost   bool // done, then the connection is cut
	status int  // answered with it; not done
}

func newServer() *server {
	return &server{balances: map[string]int64{}, bodies: map[string]string{}, answers: map[string]reply{}}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s", r.Header.Get("X-Backchannel-Timestamp"), body)
	if given, err := hex.DecodeString(r.Header.Get("X-Backchannel-Signature")); err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		s.problems = append(s.problems, "the signature does not fit")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	name := r.Header.Get("Idempotency-Key")
	if before, known := s.bodies[name]; known && before != string(body) {
		s.problems = append(s.problems, fmt.Sprintf("%s: %s, and before %s", name, body, before))
	}
	s.bodies[name] = string(body)
	var in struct {
		Move *struct {
			ID, UserID string
			Amount     int64
		}
		Balance *struct{ UserID string }
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Move == nil && in.Balance == nil {
		s.problems = append(s.problems, fmt.Sprintf("neither a move nor a balance: %s", body))
	}
	var f fail
	if len(s.faults) > 0 {
		f, s.faults = s.faults[0], s.faults[1:]
	}
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	a, known := s.answers[name]
	if !known {
		if in.Balance != nil {
			a = reply{200, fmt.Sprintf(`{"balance":%d}`, s.balances[in.Balance.UserID])}
		} else {
			a = s.move(in.Move.UserID, in.Move.Amount)
			s.answers[name] = a
		}
	}
	if f.lost {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text)
}

func (s *server) move(user string, amount int64) reply {
	if s.balances[user]+amount < 0 {
		return reply{402, `{}`}
	}
	s.balances[user] += amount
	return reply{200, fmt.Sprintf(`{"balance":%d}`, s.balances[user])}
}

func (s *server) fail(faults ...fail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

type world struct {
	*testing.T
	clock  *kvtest.Clock
	store  kv.Store
	queue  *queuetest.Line
	jobs   *queue.Ledger
	server *server
	url    string
	ledger *merchant.Ledger
}

func newWorld(t *testing.T, store kv.Store, clock *kvtest.Clock) *world {
	t.Helper()
	w := &world{T: t, clock: clock, store: store, queue: &queuetest.Line{}, server: newServer()}
	web := httptest.NewServer(w.server)
	t.Cleanup(web.Close)
	w.url = web.URL + "/ledger?shop=1"
	w.jobs, w.ledger = w.another(store)
	t.Cleanup(func() {
		if len(w.server.problems) > 0 {
			t.Errorf("the merchant found: %s", w.server.problems)
		}
	})
	return w
}

// another is the ledger as another process has it.
func (w *world) another(store kv.Store) (*queue.Ledger, *merchant.Ledger) {
	jobs := queue.NewLedger(store, w.queue, w.clock.Now)
	return jobs, merchant.New(store, jobs, &hook.Hook{URL: w.url, Key: key, Now: w.clock.Now}, w.clock.Now)
}

func (w *world) work() {
	w.Helper()
	w.clock.Advance(time.Minute)
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	if err := w.queue.Work(ctx, w.jobs, w.clock.Now); err != nil {
		w.Error(err)
	}
}

func TestContract(t *testing.T) {
	wallettest.Run(t, func(t *testing.T) (wallet.Ledger, kv.Store) {
		clock := kvtest.NewClock()
		store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return newWorld(t, store, clock).ledger, store
	})
}

func TestLedger(t *testing.T) {
	var tests []enginetest.Test
	for name, run := range map[string]func(*world){
		"AnswerLost": testAnswerLost, "NobodyAsksAgain": testNobodyAsksAgain, "AwayForHours": testAwayForHours, "Refused": testRefused,
		"OddAnswers": testOddAnswers, "Deaths": testDeaths,
	} {
		tests = append(tests, enginetest.Test{Name: name, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { run(newWorld(t, store, clock)) }})
	}
	enginetest.Run(t, tests)
}

func pay(id string, amount int64) wallet.Move {
	return wallet.Move{ID: id, UserID: "ann", Amount: -amount, Why: "gift", Ref: id, Body: json.RawMessage(`{"a":"<&>"}`)}
}

// testAnswerLost: a repeat sends the same bytes, and the merchant pays once.
func testAnswerLost(w *world) {
	w.server.balances["ann"] = 100
	w.server.fail(fail{lost: true}, fail{status: 503}, fail{status: 409})
	for range 3 {
		if _, err := w.ledger.Make(w.Context(), pay("1", 30)); !errors.Is(err, wallet.ErrUnsettled) || fault.CodeOf(err) != fault.Unavailable {
			w.Errorf("%v", err)
		}
		if _, err := w.ledger.Find(w.Context(), "ann", "1"); !errors.Is(err, wallet.ErrUnsettled) {
			w.Errorf("%v", err)
		}
	}
	if made, err := w.ledger.Make(w.Context(), pay("1", 30)); err != nil || made.Balance != 70 {
		w.Errorf("%+v, %v", made, err)
	}
	if w.server.balances["ann"] != 70 {
		w.Errorf("the merchant has %d", w.server.balances["ann"])
	}
}

// testNobodyAsksAgain: a job settles the move, with what belongs to it.
func testNobodyAsksAgain(w *world) {
	w.ledger.Along("gift", func(_ context.Context, m wallet.Made) (json.RawMessage, []kv.Write, error) {
		return json.RawMessage(`"noted"`), []kv.Write{kv.Put{Key: "along/" + m.ID, If: kv.Absent()}}, nil
	})
	w.server.balances["ann"] = 100
	w.server.fail(fail{lost: true})
	if _, err := w.ledger.Make(w.Context(), pay("1", 30)); !errors.Is(err, wallet.ErrUnsettled) {
		w.Errorf("%v", err)
	}
	if _, err := w.store.Get(w.Context(), wallet.Partition("ann"), "along/1"); !errors.Is(err, kv.ErrNotFound) {
		w.Errorf("written before the merchant has answered: %v", err)
	}
	w.work()
	if made, err := w.ledger.Find(w.Context(), "ann", "1"); err != nil || made.Balance != 70 || string(made.Note) != `"noted"` {
		w.Errorf("%+v, %v", made, err)
	}
	if _, err := w.store.Get(w.Context(), wallet.Partition("ann"), "along/1"); err != nil {
		w.Error(err)
	}
}

func testAwayForHours(w *world) {
	w.server.balances["ann"] = 100
	for range 60 {
		w.server.fail(fail{status: 503})
		_, _ = w.ledger.Make(w.Context(), pay("1", 30))
		w.server.fail(fail{status: 503}, fail{status: 503})
		w.work()
	}
	w.server.fail()
	w.work()
	if _, err := w.ledger.Find(w.Context(), "ann", "1"); err != nil || w.server.balances["ann"] != 70 {
		w.Errorf("%v, the merchant has %d", err, w.server.balances["ann"])
	}
	o, err := w.jobs.Overview(w.Context())
	if err != nil || o.Waiting != 0 || o.Dead != 0 {
		w.Errorf("%+v, %v", o, err)
	}
}

func testRefused(w *world) {
	w.server.fail(fail{status: 400})
	for range 2 { // and is not asked twice
		if _, err := w.ledger.Make(w.Context(), pay("1", 30)); !errors.Is(err, wallet.ErrRefused) {
			w.Errorf("%v", err)
		}
	}
	if _, err := w.ledger.Make(w.Context(), pay("2", 30)); !errors.Is(err, wallet.ErrInsufficient) {
		w.Errorf("%v", err)
	}
	calls := w.server.calls
	if _, err := w.ledger.Make(w.Context(), pay("2", 30)); !errors.Is(err, wallet.ErrInsufficient) || w.server.calls != calls {
		w.Errorf("%v after %d calls", err, w.server.calls-calls)
	}
	if _, _, err := w.ledger.Statement(w.Context(), "ann", "", 5); !errors.Is(err, wallet.ErrNoStatement) {
		w.Errorf("%v", err)
	}
	w.server.fail(fail{status: 500})
	if _, err := w.ledger.Account(w.Context(), "ann"); fault.CodeOf(err) != fault.Upstream {
		w.Errorf("%v", err)
	}
}

// testOddAnswers: a 200 that is no balance settles nothing.
func testOddAnswers(w *world) {
	w.server.balances["ann"] = 100
	for n, text := range []string{``, `{}`, `{"balance":-1}`, `{"balance":1.5}`, `{"balance":9007199254740993}`, `[]`, `{"balance":"70"}`} {
		id := fmt.Sprint("odd", n)
		w.server.answers["move:ann:"+id] = reply{200, text}
		if _, err := w.ledger.Make(w.Context(), pay(id, 1)); !errors.Is(err, wallet.ErrUnsettled) {
			w.Errorf("%q: %v", text, err)
		}
	}
}

// testDeaths: a process dies at any commit of a move; the merchant makes it once, or
// never where it was not asked.
func testDeaths(w *world) {
	enginetest.EachDeath(w.T, w.store, func(t *testing.T, name string, mortal kv.Store) {
		w.server.balances["ann"] = 100
		id := "m" + name
		_, dying := w.another(mortal)
		_, _ = dying.Make(t.Context(), pay(id, 30))
		for range 4 {
			w.work()
		}
		made, err := w.ledger.Find(t.Context(), "ann", id)
		switch left := w.server.balances["ann"]; {
		case err == nil && (left != 70 || made.Balance != 70), errors.Is(err, wallet.ErrNoMove) && left != 100, err != nil && !errors.Is(err, wallet.ErrNoMove):
			t.Errorf("the merchant has %d, and the move is %+v, %v", left, made, err)
		}
	})
}
