package credential_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

// prover accepts the tokens "ok:USER", which were issued a minute ago.
func (b *bench) prover(_ context.Context, token string) (credential.Proof, error) {
	if token == "away" {
		return credential.Proof{}, fault.New(fault.Unavailable, "no keys")
	}
	userID, ok := strings.CutPrefix(token, "ok:")
	if !ok {
		return credential.Proof{}, fault.New(fault.Unauthenticated, "not accepted")
	}
	return credential.Proof{UserID: userID, Issued: b.now().Add(-time.Minute), Expires: b.now().Add(time.Minute)}, nil
}

// revoking are the bans of a store with a deny-list.
func (b *bench) revoking() *api.Bans {
	return &api.Bans{
		Until: func(context.Context, string) (time.Time, error) { return time.Time{}, nil },
		Revoked: func(ctx context.Context, userID string) (api.Revocation, error) {
			return credential.RevokedNow(ctx, b.kv, userID, b.now())
		},
	}
}

func (b *bench) call(h http.Handler, method, path, authorization, body string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "203.0.113.7:4711"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a)
	return a
}

// asUser is the header of a user, by a UserSig of now.
func (b *bench) asUser(t *testing.T, userID string) string {
	t.Helper()
	sig, err := b.signer.Sign(userID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return "UserSig " + userID + ":" + sig
}

const asServer = "Bearer " + apiKey

// full is an issuer with all that there is, and the deny-list beside it.
func (b *bench) full(t *testing.T, mode credential.Mode, kick func(context.Context, string) error) http.Handler {
	t.Helper()
	gate := &api.Gate{Keys: testKeys(t), Users: b.signer, Bans: b.revoking()}
	i, err := credential.New(credential.Config{
		Mode: mode, Accounts: b.accounts(), Gate: gate, Guests: b.guests(), Agents: []string{"helpdesk"},
		Shopify:  &credential.Shopify{Secrets: []string{shopSecret}, Shops: []string{shop}, Store: b.kv, Now: b.now},
		Identity: b.prover, Desk: b.prover,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	i.Routes(mux)
	(&credential.Revocations{Store: b.kv, Kick: kick, Now: b.now}).Routes(mux, gate)
	mux.Handle("GET /whoami", gate.Any(func(w http.ResponseWriter, r *http.Request) error {
		api.Reply(w, http.StatusOK, map[string]string{"userID": api.CallerFrom(r.Context()).UserID})
		return nil
	}))
	return api.Routes(mux)
}

func nobodyIsKicked(context.Context, string) error { return nil }

// TestTokens get a UserSig for whom they name, in every mode, and for nobody whom
// naming does not make.
func TestTokens(t *testing.T) {
	for _, mode := range []credential.Mode{credential.Server, credential.Guest, credential.Open} {
		b := newBench(t)
		h := b.full(t, mode, nobodyIsKicked)
		before := b.dump(t)
		for body, status := range map[string]int{
			`{"token":"ok:alice"}`:                           200,
			`{"token":"ok:alice","guestToken":"garbage"}`:    200,
			`{"token":"bad"}`:                                401,
			`{"token":"ok:administrator"}`:                   403,
			`{"token":"ok:Administrator"}`:                   403,
			`{"token":"ok:helpdesk"}`:                        403,
			`{"token":"ok:@RBT#001"}`:                        403,
			`{"token":"ok:g_abc"}`:                           403,
			`{"token":"ok:shp_0123456789ab_1"}`:              403,
			`{"token":"ok:SHP_0123456789ab_1"}`:              403,
			`{"token":"ok:"}`:                                400,
			`{"token":"ok:two words"}`:                       400,
			`{"token":"ok:` + strings.Repeat("x", 33) + `"}`: 400,
			`{"token":"ok:alice","userID":"bob"}`:            400,
			`{"token":"ok:alice","name":"Bob"}`:              400,
			`{"token":7}`:                                    400,
			`{"token":"away"}`:                               503,
		} {
			a := b.call(h, "POST", "/usersig", "", body)
			if a.status != status || (a.UserSig != "") != (status == 200) || status == 200 && a.UserID != "alice" {
				t.Errorf("%s, %s: %d %s, want %d", mode, body, a.status, a.text, status)
			}
		}
		if b.dump(t) != before {
			t.Errorf("%s: the store changed", mode)
		}
	}
}

// TestAgents get a UserSig by their own route and by no other.
func TestAgents(t *testing.T) {
	b := newBench(t)
	h := b.full(t, credential.Server, nobodyIsKicked)
	for _, tt := range []struct {
		authorization, body string
		status              int
	}{
		{asServer, `{"userID":"helpdesk"}`, 200},
		{"", `{"token":"ok:helpdesk"}`, 200},
		{asServer, `{"userID":"alice"}`, 403},
		{asServer, `{"userID":"Helpdesk"}`, 403},
		{asServer, `{"userID":"administrator"}`, 403},
		{asServer, `{"userID":"@RBT#001"}`, 403},
		{"", `{"token":"ok:alice"}`, 403},
		{"", `{"token":"ok:administrator"}`, 403},
		{"", `{"token":"bad"}`, 401},
		{"", `{"userID":"helpdesk"}`, 401},
		{"Bearer guess", `{"userID":"helpdesk"}`, 401},
		{b.asUser(t, "alice"), `{"userID":"helpdesk"}`, 403},
		{b.asUser(t, "helpdesk"), `{"userID":"helpdesk"}`, 403},
		{asServer, `{"userID":"helpdesk","token":"ok:helpdesk"}`, 400},
		{asServer, `{}`, 400},
		{"", `{}`, 401},
		{asServer, `{"userID":"helpdesk","as":"x"}`, 400},
	} {
		a := b.call(h, "POST", "/agents/usersig", tt.authorization, tt.body)
		if a.status != tt.status || (a.UserSig != "") != (tt.status == 200) || tt.status == 200 && a.UserID != "helpdesk" {
			t.Errorf("%.12s %s: %d %s, want %d", tt.authorization, tt.body, a.status, a.text, tt.status)
		}
	}
	for _, body := range []string{`{"userID":"helpdesk"}`, `{"token":"ok:helpdesk"}`} {
		if a := b.call(h, "POST", "/usersig", asServer, body); a.status != 403 {
			t.Errorf("/usersig %s: %d %s", body, a.status, a.text)
		}
	}
}

// TestRevoked: whoever is on the deny-list gets nothing by any route, what was
// issued before stays void when the entry is gone, and nobody else is touched.
func TestRevoked(t *testing.T) {
	b := newBench(t)
	var kicked []string
	h := b.full(t, credential.Server, func(_ context.Context, userID string) error {
		kicked = append(kicked, userID)
		return nil
	})
	customer := visit(h, b.proxied("4711").Encode(), "{}").UserID
	guest := visit(h, b.proxied("").Encode(), "{}")
	before := map[string]string{"alice": b.asUser(t, "alice"), "bob": b.asUser(t, "bob")}
	b.clock.Add(10)
	for _, userID := range []string{"alice", "helpdesk", customer, guest.UserID} {
		if a := b.call(h, "PUT", "/revocations/"+userID, asServer, `{"reason":"left the company"}`); a.status != 200 {
			t.Fatalf("%s: %d %s", userID, a.status, a.text)
		}
	}
	if fmt.Sprint(kicked) != fmt.Sprint([]string{"alice", "helpdesk", customer, guest.UserID}) {
		t.Errorf("kicked %v", kicked)
	}
	asks := func() map[string]int {
		b.clock.Add(1)
		return map[string]int{
			"a server":                b.call(h, "POST", "/usersig", asServer, `{"userID":"alice"}`).status,
			"a token":                 b.call(h, "POST", "/usersig", "", `{"token":"ok:alice"}`).status,
			"an agent, by a server":   b.call(h, "POST", "/agents/usersig", asServer, `{"userID":"helpdesk"}`).status,
			"an agent, by the desk":   b.call(h, "POST", "/agents/usersig", "", `{"token":"ok:helpdesk"}`).status,
			"the shop's customer":     visit(h, b.proxied("4711").Encode(), "{}").status,
			"the guest, by the token": visit(h, b.proxied("").Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken)).status,
			"another route":           b.call(h, "GET", "/whoami", before["alice"], "").status,
		}
	}
	for name, status := range asks() {
		if status != 403 {
			t.Errorf("%s: %d", name, status)
		}
	}
	for name, a := range map[string]answer{
		"a server for bob":       b.call(h, "POST", "/usersig", asServer, `{"userID":"bob"}`),
		"bob himself":            b.call(h, "GET", "/whoami", before["bob"], ""),
		"another customer":       visit(h, b.proxied("4712").Encode(), "{}").answer,
		"a visitor without name": visit(h, b.proxied("").Encode(), "{}").answer,
	} {
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	// A stolen token of the guest brings the thief no conversation either.
	if a := visit(h, b.proxied("4713").Encode(), fmt.Sprintf(`{"guestToken":%q}`, guest.GuestToken)); a.status != 200 || a.Copied != nil {
		t.Errorf("%d %s", a.status, a.text)
	}
	if a := b.call(h, "GET", "/revocations?limit=2", asServer, ""); a.status != 200 || strings.Count(a.text, `"userID"`) != 2 || !strings.Contains(a.text, `"next"`) || !strings.Contains(a.text, `"by":"shop"`) {
		t.Errorf("list: %d %s", a.status, a.text)
	}
	for _, userID := range []string{"alice", "helpdesk", customer, guest.UserID} {
		if a := b.call(h, "DELETE", "/revocations/"+userID, asServer, ""); a.status != 200 {
			t.Fatalf("%s: %d %s", userID, a.status, a.text)
		}
		if a := b.call(h, "GET", "/revocations/"+userID, asServer, ""); a.status != 404 {
			t.Errorf("%s: %d %s", userID, a.status, a.text)
		}
	}
	b.clock.Add(100)
	want := map[string]int{
		"a server": 200, "a token": 200, "an agent, by a server": 200, "an agent, by the desk": 200, "the shop's customer": 200,
		"the guest, by the token": 401, "another route": 401, // both from before
	}
	for name, status := range asks() {
		if status != want[name] {
			t.Errorf("afterwards, %s: %d, want %d", name, status, want[name])
		}
	}
	if a := b.call(h, "GET", "/whoami", b.asUser(t, "alice"), ""); a.status != 200 {
		t.Errorf("a new UserSig: %d %s", a.status, a.text)
	}
	if a := b.call(h, "GET", "/revocations", asServer, ""); a.status != 200 || strings.Contains(a.text, `"userID"`) {
		t.Errorf("list: %d %s", a.status, a.text)
	}
}

// TestRevokedForAWhile: it ends by itself, and tokens of before stay void.
func TestRevokedForAWhile(t *testing.T) {
	b := newBench(t)
	h := b.full(t, credential.Server, nobodyIsKicked)
	if a := b.call(h, "PUT", "/revocations/alice", asServer, `{"seconds":30}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	for _, tt := range []struct {
		after         int64
		server, token int
	}{{1, 403, 403}, {28, 403, 403}, {1, 200, 401}, {29, 200, 401}, {2, 200, 200}} {
		b.clock.Add(tt.after)
		server, token := b.call(h, "POST", "/usersig", asServer, `{"userID":"alice"}`), b.call(h, "POST", "/usersig", "", `{"token":"ok:alice"}`)
		if server.status != tt.server || token.status != tt.token {
			t.Errorf("after %d s more: %d %s, %d %s", tt.after, server.status, server.text, token.status, token.text)
		}
	}
}

// TestRevocationsThatWillNotDo change nothing; one that fails at IM holds already,
// and may be repeated.
func TestRevocationsThatWillNotDo(t *testing.T) {
	b := newBench(t)
	fails := errors.New("IM is away")
	h := b.full(t, credential.Server, func(context.Context, string) error { return fails })
	before := b.dump(t)
	for _, tt := range []struct {
		method, path, authorization, body string
		status                            int
	}{
		{"PUT", "/revocations/alice", "", `{}`, 401},
		{"PUT", "/revocations/alice", b.asUser(t, "alice"), `{}`, 403},
		{"PUT", "/revocations/two%20words", asServer, `{}`, 400},
		{"PUT", "/revocations/" + strings.Repeat("x", 33), asServer, `{}`, 400},
		{"PUT", "/revocations/alice", asServer, `{"seconds":-1}`, 400},
		{"PUT", "/revocations/alice", asServer, `{"seconds":1e18}`, 400},
		{"PUT", "/revocations/alice", asServer, `{"for":"ever"}`, 400},
		{"PUT", "/revocations/alice", asServer, `{"reason":"` + strings.Repeat("x", 501) + `"}`, 400},
		{"GET", "/revocations/alice", asServer, ``, 404},
		{"DELETE", "/revocations/alice", asServer, ``, 404},
		{"GET", "/revocations?limit=101", asServer, ``, 400},
		{"GET", "/revocations", "", ``, 401},
	} {
		if a := b.call(h, tt.method, tt.path, tt.authorization, tt.body); a.status != tt.status {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, a.status, a.text, tt.status)
		}
	}
	if b.dump(t) != before {
		t.Error("the store changed")
	}
	if a := b.call(h, "PUT", "/revocations/alice", asServer, `{}`); a.status != 503 {
		t.Errorf("%d %s", a.status, a.text)
	}
	if a := b.call(h, "POST", "/usersig", asServer, `{"userID":"alice"}`); a.status != 403 {
		t.Errorf("meanwhile: %d %s", a.status, a.text)
	}
	fails = nil
	if a := b.call(h, "PUT", "/revocations/alice", asServer, `{}`); a.status != 200 {
		t.Errorf("again: %d %s", a.status, a.text)
	}
}

// TestFlood: of 10,000 requests from one address, and of as many from one /64, as
// many become guests as may.
func TestFlood(t *testing.T) {
	requests := enginetest.Size(1000, 10_000)
	b := newBench(t)
	h := b.issuer(t, credential.Guest)
	for name, address := range map[string]func(i int) string{
		"one address": func(i int) string { return fmt.Sprintf("203.0.113.7:%d", 1024+i) },
		"one /64":     func(i int) string { return fmt.Sprintf("[2001:db8:1:2:%x:%x:%x:1]:443", i%7, i, i*31%65536) },
	} {
		var passed, refused atomic.Int64
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := worker; i < requests; i += 8 {
					switch a := post(h, `{}`, "", address(i)); a.status {
					case 200:
						passed.Add(1)
					case 429:
						refused.Add(1)
					default:
						t.Errorf("%d %s", a.status, a.text)
					}
				}
			})
		}
		all.Wait()
		if passed.Load() != 5 || refused.Load() != int64(requests-5) {
			t.Errorf("%s: %d passed, %d were refused", name, passed.Load(), refused.Load())
		}
	}
}

// TestBudget: guests from many addresses end at the budget of all. Guests of before
// and customers do not notice.
func TestBudget(t *testing.T) {
	for _, budget := range []int{20, 500} {
		b := newBench(t)
		h := b.shopIssuer(t, func(c *credential.Config) {
			c.Guests.Budget = &credential.Limit{Name: "guest-budget", Store: b.kv, Requests: budget, Span: time.Hour, Now: b.now}
		})
		passed := 0
		var first shopAnswer
		for i := range budget * 3 {
			a := visit(h, b.proxied("").Encode(), "{}", "X-Forwarded-For", fmt.Sprintf("198.%d.%d.7", i/250, i%250))
			switch a.status {
			case 200:
				passed++
				if first.UserID == "" {
					first = a
				}
			case 429:
				if a.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			default:
				t.Fatalf("%d %s", a.status, a.text)
			}
		}
		if passed != budget {
			t.Errorf("%d of %d became guests", passed, budget)
		}
		if a := visit(h, b.proxied("").Encode(), fmt.Sprintf(`{"guestToken":%q}`, first.GuestToken)); a.status != 200 || a.UserID != first.UserID {
			t.Errorf("a guest of before: %d %s", a.status, a.text)
		}
		if a := visit(h, b.proxied("4711").Encode(), "{}"); a.status != 200 {
			t.Errorf("a customer: %d %s", a.status, a.text)
		}
	}
}

// TestTrustedProxies: behind a proxy that is trusted, clients count by what it
// tells of them; nobody else is believed.
func TestTrustedProxies(t *testing.T) {
	for name, tt := range map[string]struct {
		peer, forwarded, want string
	}{
		"no proxy":                   {"203.0.113.7:1", "198.51.100.1", "203.0.113.7"},
		"a trusted proxy":            {"10.1.2.3:1", "198.51.100.1", "198.51.100.1"},
		"two of them":                {"10.1.2.3:1", "198.51.100.1, 10.9.9.9", "198.51.100.1"},
		"a liar behind it":           {"10.1.2.3:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		"a liar who names the proxy": {"10.1.2.3:1", "1.1.1.1, 10.0.0.1, 198.51.100.1", "198.51.100.1"},
		"it tells nothing":           {"10.1.2.3:1", "", "10.1.2.3"},
		"it tells garbage":           {"10.1.2.3:1", "1.1.1.1, unknown", "10.1.2.3"},
		"IPv6 with a port":           {"[2001:db8::1]:1", "[2001:db9:1:2::7]:443", "2001:db9:1:2::7"},
		"IPv4 in IPv6":               {"[::ffff:10.1.2.3]:1", "::ffff:198.51.100.1", "198.51.100.1"},
		"the peer is repeated":       {"203.0.113.7:1", "198.51.100.1, 203.0.113.7", "203.0.113.7"},
		"no address":                 {"@", "198.51.100.1", ""},
		"a very long list":           {"10.1.2.3:1", strings.Repeat("1.1.1.1, ", 5000) + "198.51.100.1", "198.51.100.1"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/usersig", nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := credential.ClientAddress(r, "10.0.0.0/8", "2001:db8::/32"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
