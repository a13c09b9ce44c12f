package wallet_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/liveroom/wallet"
)

const (
	appID  = 1400000009
	appKey = "a key for these tests alone"
	apiKey = "an API key for these tests"
)

type shop struct {
	testing.TB
	http.Handler
	store kv.Store
	users *usersig.Signer
}

func newShop(t testing.TB, ledger wallet.Ledger) *shop {
	t.Helper()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if ledger == nil {
		ledger = wallet.New(store, nil)
	}
	users, err := usersig.NewSigner(appID, appKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(apiKey))
	keys, err := api.ParseKeys([]string{"shop:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	wallet.Routes(mux, ledger, &api.Gate{Keys: keys, Users: users}, []string{"https://app.example"})
	return &shop{t, api.Routes(mux), store, users}
}

// ask makes a request as a user, or as a server if user is "".
func (s *shop) ask(user, method, path, key, body string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	switch user {
	case "":
		r.Header.Set("Authorization", "Bearer "+apiKey)
	case "nobody":
	default:
		sig, err := s.users.Sign(user, time.Hour)
		if err != nil {
			s.Fatal(err)
		}
		r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// dump is everything in the wallets of these users.
func (s *shop) dump(users ...string) string {
	s.Helper()
	var b strings.Builder
	for _, user := range users {
		page, err := s.store.List(s.Context(), wallet.Partition(user), kv.Range{Limit: 1000})
		if err != nil {
			s.Fatal(err)
		}
		for _, item := range page.Items {
			fmt.Fprintf(&b, "%s %s %s %s\n", user, item.Key, item.Value, item.Rev)
		}
	}
	return b.String()
}

func TestRoutes(t *testing.T) {
	s := newShop(t, nil)
	for _, step := range []struct {
		user, method, path, key, body string
		status                        int
		answer                        string
	}{
		{"", "POST", "/wallets/ann/topup", "k1", `{"amount":100}`, 200, `{"userId":"ann","balance":100}`},
		{"", "POST", "/wallets/ann/topup", "k2", `{"amount":9007199254740891}`, 200, `{"userId":"ann","balance":9007199254740991}`},
		{"", "POST", "/wallets/ann/topup", "k1", `{"amount":100}`, 200, `{"userId":"ann","balance":100}`},
		{"", "POST", "/wallets/bob/topup", "k3", `{"amount":1}`, 200, `{"userId":"bob","balance":1}`},
		{"ann", "GET", "/wallets/ann", "", "", 200, `{"userId":"ann","balance":9007199254740991}`},
		{"", "GET", "/wallets/bob", "", "", 200, `{"userId":"bob","balance":1}`},
		{"", "GET", "/wallets/new", "", "", 200, `{"userId":"new","balance":0}`},
		{"new", "GET", "/wallets/new/statement", "", "", 200, `{"entries":[]}`},
	} {
		w := s.ask(step.user, step.method, step.path, step.key, step.body)
		if got := strings.TrimSpace(w.Body.String()); w.Code != step.status || got != step.answer {
			t.Errorf("%s %s: %d %s, want %s", step.method, step.path, w.Code, got, step.answer)
		}
	}
	var page struct {
		Entries []wallet.Line
		Next    string
	}
	w := s.ask("ann", "GET", "/wallets/ann/statement?limit=1", "", "")
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Entries) != 1 || page.Entries[0].Balance != wallet.MaxAmount || page.Next == "" {
		t.Errorf("%s", w.Body)
	}
	w = s.ask("ann", "GET", "/wallets/ann/statement?limit=1&after="+page.Next, "", "")
	page.Next = ""
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Entries) != 1 || page.Entries[0].Balance != 100 || page.Entries[0].Why != "topup" || page.Next != "" {
		t.Errorf("%s", w.Body)
	}
}

// TestBadInput: each gets a clear answer, and the store stays as it was.
func TestBadInput(t *testing.T) {
	s := newShop(t, nil)
	if w := s.ask("", "POST", "/wallets/ann/topup", "first", `{"amount":100}`); w.Code != 200 {
		t.Fatal(w.Body)
	}
	before := s.dump("ann", "bob")
	for _, c := range []struct {
		name, user, path, key, body string
		status                      int
		code                        string
	}{
		{"no key", "", "/wallets/ann/topup", "", `{"amount":1}`, 400, "invalid"},
		{"nobody", "nobody", "/wallets/ann/topup", "k", `{"amount":1}`, 401, "unauthenticated"},
		{"the user", "ann", "/wallets/ann/topup", "k", `{"amount":1}`, 403, "forbidden"},
		{"zero", "", "/wallets/ann/topup", "k", `{"amount":0}`, 400, "invalid"},
		{"negative", "", "/wallets/ann/topup", "k", `{"amount":-1}`, 400, "invalid"},
		{"a fraction", "", "/wallets/ann/topup", "k", `{"amount":1.5}`, 400, "invalid"},
		{"a float", "", "/wallets/ann/topup", "k", `{"amount":1e3}`, 400, "invalid"},
		{"text", "", "/wallets/ann/topup", "k", `{"amount":"1"}`, 400, "invalid"},
		{"beyond 2^53", "", "/wallets/ann/topup", "k", `{"amount":9007199254740992}`, 400, "invalid"},
		{"beyond int64", "", "/wallets/ann/topup", "k", `{"amount":9223372036854775808}`, 400, "invalid"},
		{"a balance beyond 2^53", "", "/wallets/ann/topup", "k", `{"amount":9007199254740892}`, 400, "invalid"},
		{"missing", "", "/wallets/ann/topup", "k", `{}`, 400, "invalid"},
		{"twice", "", "/wallets/ann/topup", "k", `{"amount":1,"amount":2}`, 400, "invalid"},
		{"unknown field", "", "/wallets/ann/topup", "k", `{"amount":1,"to":"bob"}`, 400, "invalid"},
		{"no JSON", "", "/wallets/ann/topup", "k", `amount=1`, 400, "invalid"},
		{"bad user", "", "/wallets/" + strings.Repeat("x", 33) + "/topup", "k", `{"amount":1}`, 400, "invalid"},
		{"another body", "", "/wallets/ann/topup", "first", `{"amount":101}`, 422, "idempotency_mismatch"},
	} {
		w := s.ask(c.user, "POST", c.path, c.key, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if w := s.ask("bob", "GET", "/wallets/ann", "", ""); w.Code != 403 {
		t.Errorf("a stranger's wallet: %d", w.Code)
	}
	if w := s.ask("bob", "GET", "/wallets/ann/statement", "", ""); w.Code != 403 {
		t.Errorf("a stranger's statement: %d", w.Code)
	}
	if after := s.dump("ann", "bob"); after != before {
		t.Errorf("the store was\n%sand is\n%s", before, after)
	}
	// A refusal left the key unused.
	if w := s.ask("", "POST", "/wallets/ann/topup", "k", `{"amount":1}`); w.Code != 200 {
		t.Error(w.Body)
	}
}

// TestUnsafeStore: where a failover may lose money, every route of money says so.
func TestUnsafeStore(t *testing.T) {
	s := newShop(t, wallet.Closed{Reason: wallet.ErrUnsafe})
	for _, r := range [][2]string{{"POST", "/wallets/ann/topup"}, {"GET", "/wallets/ann"}, {"GET", "/wallets/ann/statement"}} {
		w := s.ask("", r[0], r[1], "k", `{"amount":1}`)
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"ledger_unsafe"`) {
			t.Errorf("%s: %d %s", r[1], w.Code, w.Body)
		}
	}
}

// FuzzTopUp: whatever is sent, a balance is a whole number in range that is the sum
// of the amounts accepted.
func FuzzTopUp(f *testing.F) {
	s := newShop(f, nil)
	for _, body := range []string{
		`{"amount":1}`, `{"amount":9007199254740991}`, `{"amount":-1}`, `{"amount":1.0}`, `{"amount":1e400}`, `{"Amount":7}`, `{"amount":null}`,
		`{"amount":1,"amount":2}`, `[]`, `{"amount":{}}`, "{\"amount\":\u0661}", `{"amount":00}`, `{"amount":+1}`,
	} {
		f.Add(body)
	}
	sum, n := int64(0), 0
	f.Fuzz(func(t *testing.T, body string) {
		n++
		s.TB = t
		w := s.ask("", "POST", "/wallets/ann/topup", fmt.Sprint(n), body)
		var in struct{ Amount int64 }
		switch {
		case w.Code == 200:
			if err := json.Unmarshal([]byte(body), &in); err != nil || in.Amount < 1 || in.Amount > wallet.MaxAmount {
				t.Errorf("accepted %q", body)
			}
			sum += in.Amount
		case w.Code/100 != 4:
			t.Errorf("%d to %q", w.Code, body)
		}
		var out struct{ Balance int64 }
		w = s.ask("ann", "GET", "/wallets/ann", "", "")
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Balance != sum {
			t.Errorf("balance %s, want %d", w.Body, sum)
		}
	})
}
