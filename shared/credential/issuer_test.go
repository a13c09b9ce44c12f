package credential_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

const apiKey = "a-key-of-this-test"

// bench is an issuer with all that it needs.
type bench struct {
	bans   *api.Bans
	signer *usersig.Signer
	store  *boltkv.Store
	kv     kv.Store     // the same, or one of another test's
	clock  atomic.Int64 // seconds
	at     func() time.Time
	n      int // of guests
}

func (b *bench) now() time.Time {
	if b.at != nil {
		return b.at()
	}
	return time.Unix(b.clock.Load(), 0)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := new(bench)
	b.clock.Store(1_700_000_000)
	var err error
	if b.signer, err = usersig.NewSignerAt(1400000001, "0123456789abcdef", b.now); err != nil {
		t.Fatal(err)
	}
	if b.store, err = boltkv.Open(filepath.Join(t.TempDir(), "state.db"), boltkv.Options{Now: b.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	b.kv = b.store
	return b
}

func (b *bench) accounts() credential.Accounts {
	return credential.Accounts{Signer: b.signer, Expire: time.Hour, Reserved: []string{"administrator", "helpdesk"}, Now: b.now}
}

func (b *bench) guests() *credential.Guests {
	return &credential.Guests{
		Key: []byte("a key of 32 bytes for guests' tokens"), Expire: time.Hour, Remember: 30 * 24 * time.Hour, Store: b.kv, Now: b.now,
		PerAddress: &credential.Limit{Name: "guests", Store: b.kv, Requests: 5, Span: 10 * time.Minute, Now: b.now},
	}
}

func testKeys(t *testing.T) api.Keys {
	t.Helper()
	sum := sha256.Sum256([]byte(apiKey))
	keys, err := api.ParseKeys([]string{"shop:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (b *bench) issuer(t *testing.T, mode credential.Mode) http.Handler {
	t.Helper()
	i, err := credential.New(credential.Config{
		Mode: mode, Accounts: b.accounts(), Gate: &api.Gate{Keys: testKeys(t), Bans: b.bans}, Origins: []string{"https://shop.example.com"},
		Guests: b.guests(), Agents: []string{"helpdesk"},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	i.Routes(mux)
	return api.Routes(mux)
}

type answer struct {
	status  int
	header  http.Header
	text    string
	UserID  string
	UserSig string
	Expires time.Time `json:"expiresAt"`
}

func post(h http.Handler, body, key, address string) answer {
	r := httptest.NewRequest(http.MethodPost, "/usersig", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = address
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a)
	return a
}

func (b *bench) dump(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.store.Dump(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestServerAndOpenMode(t *testing.T) {
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{"userID":"alice"}`, 200},
		{`{"userID":"alice","more":"refused"}`, 400},
		{`{"userID":"` + strings.Repeat("x", 32) + `"}`, 200},
		{`{"userID":"` + strings.Repeat("x", 33) + `"}`, 400},
		{`{"userID":""}`, 400},
		{`{}`, 400},
		{`{"userid":"alice","userID":7}`, 400},
		{`{"userID":null}`, 400},
		{`{"userID":"two words"}`, 400},
		{`{"userID":"ünicode"}`, 400},
		{`{"userID":"nul\u0000"}`, 400},
		{`{"userID":"a","userID":"b"}`, 400},
		{`alice`, 400},
		{`{"userID":"administrator"}`, 403},
		{`{"userID":"Administrator"}`, 403},
		{`{"userID":"helpdesk"}`, 403},
		{`{"userID":"@RBT#001"}`, 403},
		{`{"userID":"@TLS#NOT_FOUND"}`, 403},
		{`{"userID":"g_somebody"}`, 403},
		{`{"userID":"SHP_0123456789ab_7"}`, 403},
		{`{"userID":"alice","guestToken":"x"}`, 400},
		{`{"userID":"alice","name":"two\nlines"}`, 400},
		{`{"userID":"alice","name":"` + strings.Repeat("長", 300) + `"}`, 400},
		{`{"userID":"alice","name":"<b>Alice & Co</b>"}`, 200},
		{`{"userID":"alice","faceUrl":"javascript:alert(1)"}`, 400},
		{`{"token":"x"}`, 401},
		{`{"token":"x","userID":"alice"}`, 400},
		{`{"userID":"` + strings.Repeat("x", 70<<10) + `"}`, 413},
	} {
		t.Run(tt.body[:min(len(tt.body), 40)], func(t *testing.T) {
			b := newBench(t)
			before := b.dump(t)
			for mode, key := range map[credential.Mode]string{credential.Server: apiKey, credential.Open: ""} {
				a := post(b.issuer(t, mode), tt.body, key, "203.0.113.7:4711")
				if a.status != tt.status {
					t.Errorf("%s: %d %s, want %d", mode, a.status, a.text, tt.status)
				}
				if tt.status != 200 {
					if a.UserSig != "" {
						t.Errorf("%s: a UserSig all the same", mode)
					}
					continue
				}
				c, err := b.signer.Verify(a.UserID, a.UserSig)
				if err != nil || !c.Expires.Equal(a.Expires) || !a.Expires.Equal(b.now().Add(time.Hour)) {
					t.Errorf("%s: %s: %+v, %v", mode, a.text, c, err)
				}
			}
			if b.dump(t) != before {
				t.Error("the store changed")
			}
		})
	}
}

// TestBanned: a banned user gets no UserSig, whoever asks.
func TestBanned(t *testing.T) {
	b := newBench(t)
	b.bans = &api.Bans{Until: func(_ context.Context, userID string) (time.Time, error) {
		if userID == "mallory" {
			return b.now().Add(time.Hour), nil
		}
		return time.Time{}, nil
	}}
	for _, mode := range []credential.Mode{credential.Server, credential.Open} {
		h := b.issuer(t, mode)
		for userID, status := range map[string]int{"alice": 200, "mallory": 403} {
			a := post(h, `{"userID":"`+userID+`"}`, apiKey, "192.0.2.1:1")
			if a.status != status || status == 403 && (a.UserSig != "" || !strings.Contains(a.text, `"banned"`)) {
				t.Errorf("%s, %s: %d %s", mode, userID, a.status, a.text)
			}
		}
	}
}

func TestServerModeWantsAKey(t *testing.T) {
	h := newBench(t).issuer(t, credential.Server)
	for _, key := range []string{"", "guess"} {
		if a := post(h, `{"userID":"alice"}`, key, "203.0.113.7:4711"); a.status != 401 || a.UserSig != "" {
			t.Errorf("key %q: %d %s", key, a.status, a.text)
		}
	}
}

func TestGuests(t *testing.T) {
	b := newBench(t)
	h := b.issuer(t, credential.Guest)
	seen := map[string]bool{}
	for _, body := range []string{`{"userID":"administrator"}`, `{"userID":"ann@example.com"}`, `{"userID":"g_mine"}`, `{}`} {
		a := post(h, body, "", "203.0.113.7:4711")
		if a.status != 200 || !strings.HasPrefix(a.UserID, credential.GuestPrefix) || usersig.CheckUserID(a.UserID) != nil || seen[a.UserID] {
			t.Errorf("%s: %d %s", body, a.status, a.text)
		}
		if _, err := b.signer.Verify(a.UserID, a.UserSig); err != nil {
			t.Error(err)
		}
		seen[a.UserID] = true
	}
	if a := post(h, `{"userID":"`+strings.Repeat("x", credential.MaxEmail+1)+`"}`, "", "203.0.113.7:4711"); a.status != 400 {
		t.Errorf("a label that is too long: %d %s", a.status, a.text)
	}
}

// TestLimitHoldsOverInstances: of many requests at once to two instances, just
// as many pass as one address may make.
func TestLimitHoldsOverInstances(t *testing.T) {
	b := newBench(t)
	instances := []http.Handler{b.issuer(t, credential.Guest), b.issuer(t, credential.Guest)}
	passed := func(address string, requests int) int {
		var all sync.WaitGroup
		var n atomic.Int64
		for i := range requests {
			all.Go(func() {
				switch a := post(instances[i%2], `{}`, "", address); a.status {
				case 200:
					n.Add(1)
				case 429:
					if a.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				default:
					t.Errorf("%d %s", a.status, a.text)
				}
			})
		}
		all.Wait()
		return int(n.Load())
	}
	// A request that loses every race is refused too, so ask again until all
	// that may pass have passed.
	for _, tt := range []struct{ name, address, again string }{
		{"IPv4", "203.0.113.7:4711", "203.0.113.7:9"},
		{"IPv6 by network", "[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:1"},
		{"IPv4 in IPv6", "[::ffff:198.51.100.1]:1", "198.51.100.1:1"},
		{"unknown", "", "no address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := passed(tt.address, 15)
			for range 5 {
				n += passed(tt.again, 1)
			}
			if n != 5 {
				t.Errorf("%d passed, want 5", n)
			}
		})
	}
	if n := passed("203.0.113.8:1", 1); n != 1 {
		t.Error("a neighbour is refused")
	}
	b.clock.Add(600)
	if n := passed("203.0.113.7:1", 1); n != 1 {
		t.Error("refused in the next span")
	}
}

func TestWhatCannotBeCountedIsRefused(t *testing.T) {
	b := newBench(t)
	h := b.issuer(t, credential.Guest)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	if a := post(h, `{}`, "", "203.0.113.7:1"); a.status != 503 || a.UserSig != "" {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestOtherMethodsAndTypes(t *testing.T) {
	h := newBench(t).issuer(t, credential.Open)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), method, "/usersig", nil))
		if w.Code != 405 || !strings.Contains(w.Header().Get("Allow"), "POST") {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/usersig", strings.NewReader("userID=alice"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 415 {
		t.Errorf("a form: %d %s", w.Code, w.Body)
	}
}

func TestBrowsers(t *testing.T) {
	h := newBench(t).issuer(t, credential.Guest)
	for origin, want := range map[string]string{"https://shop.example.com": "https://shop.example.com", "https://evil.example.com": ""} {
		r := httptest.NewRequest(http.MethodOptions, "/usersig", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%s: %d %v", origin, w.Code, w.Header())
		}
	}
}

func TestLogsKeepQuiet(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	b := newBench(t)
	a := post(b.issuer(t, credential.Guest), `{"userID":"ann@example.com"}`, "", "203.0.113.7:1")
	_ = b.store.Close()
	post(b.issuer(t, credential.Guest), `{"userID":"ann@example.com"}`, "", "203.0.113.7:1")
	post(b.issuer(t, credential.Server), `{"userID":"alice"}`, apiKey, "203.0.113.7:1")
	if log.Len() == 0 {
		t.Error("a store that is away is worth a line")
	}
	for _, secret := range []string{a.UserSig, apiKey, "ann@example.com", "203.0.113.7"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
}

func TestConfigurationsThatWillNotDo(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]credential.Config{
		"no signer":              {Mode: credential.Open, Accounts: credential.Accounts{Expire: time.Hour}, Gate: &api.Gate{}},
		"no expiry":              {Mode: credential.Open, Accounts: credential.Accounts{Signer: b.signer}, Gate: &api.Gate{}},
		"no mode":                {Accounts: b.accounts(), Gate: &api.Gate{}},
		"no gate":                {Mode: credential.Server, Accounts: b.accounts()},
		"guest mode, no guests":  {Mode: credential.Guest, Accounts: b.accounts(), Gate: &api.Gate{}},
		"Shopify, no guests":     {Mode: credential.Server, Accounts: b.accounts(), Gate: &api.Gate{}, Shopify: &credential.Shopify{}},
		"guests without a limit": {Mode: credential.Guest, Accounts: b.accounts(), Gate: &api.Gate{}, Guests: &credential.Guests{Key: make([]byte, 32), Expire: time.Hour, Remember: time.Hour}},
	} {
		if _, err := credential.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestIssueTo(t *testing.T) {
	b := newBench(t)
	accounts := b.accounts()
	in := func(d time.Duration) time.Time { return b.now().Add(d) }
	for name, tt := range map[string]struct {
		caller  api.Caller
		asked   string
		expires time.Time
		code    fault.Code
	}{
		"a server for a user":    {api.Caller{Server: "shop"}, "alice", in(time.Hour), ""},
		"a server for an agent":  {api.Caller{Server: "shop"}, "helpdesk", time.Time{}, fault.Forbidden},
		"a server for a guest":   {api.Caller{Server: "shop"}, "g_x", time.Time{}, fault.Forbidden},
		"a server for nobody":    {api.Caller{Server: "shop"}, "", time.Time{}, fault.Invalid},
		"a user":                 {api.Caller{UserID: "alice", Expires: in(10 * time.Minute)}, "alice", in(10 * time.Minute), ""},
		"a guest":                {api.Caller{UserID: "g_x", Expires: in(time.Minute)}, "g_x", in(time.Minute), ""},
		"an agent":               {api.Caller{UserID: "helpdesk", Expires: in(time.Minute)}, "helpdesk", time.Time{}, fault.Forbidden},
		"a user of ten years":    {api.Caller{UserID: "alice", Expires: in(90000 * time.Hour)}, "alice", in(time.Hour), ""},
		"a user, last second":    {api.Caller{UserID: "alice", Expires: in(time.Millisecond)}, "alice", in(time.Second), ""},
		"a user, for another id": {api.Caller{UserID: "alice", Expires: in(time.Minute)}, "bob", in(time.Minute), ""},
	} {
		sig, err := accounts.IssueTo(tt.caller, tt.asked)
		if err != nil || tt.code != "" {
			if fault.CodeOf(err) != tt.code || sig.UserSig != "" {
				t.Errorf("%s: %+v, %v, want %q", name, sig, err, tt.code)
			}
			continue
		}
		c, err := b.signer.Verify(sig.UserID, sig.UserSig)
		if err != nil || !c.Expires.Equal(tt.expires) || !sig.ExpiresAt.Equal(tt.expires) {
			t.Errorf("%s: until %v (%v), want %v; %v", name, sig.ExpiresAt, c.Expires, tt.expires, err)
		}
		if tt.caller.UserID != "" && sig.UserID != tt.caller.UserID {
			t.Errorf("%s: issued to %s", name, sig.UserID)
		}
	}
}
