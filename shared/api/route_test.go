package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

// TestMount: who may call a route, which answers are kept for an Idempotency-Key, how
// long a request lasts, and what browsers are told.
func TestMount(t *testing.T) {
	store, err := boltkv.Open(t.TempDir()+"/state", boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	keys, err := api.ParseKeys([]string{"shop:" + hash("one")})
	if err != nil {
		t.Fatal(err)
	}
	users, err := usersig.NewSigner(1400000001, "a-key-of-this-test")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id string) string {
		sig, err := users.Sign(id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return "UserSig " + id + ":" + sig
	}
	calls := 0
	do := func(ctx context.Context, c api.Caller, _ *http.Request) (any, error) {
		calls++
		if deadline, has := ctx.Deadline(); !has || time.Until(deadline) > api.RequestTime {
			t.Error("the request has no end")
		}
		if c.UserID == "late" {
			return api.Answer{Status: http.StatusAccepted, Body: calls}, nil
		}
		return calls, nil
	}
	mux := http.NewServeMux()
	api.Mount(
		mux, api.RoutesConfig{Gate: &api.Gate{Keys: keys, Users: users}, Keeper: idem.New(store, nil), Origins: []string{"https://shop.example"}},
		api.On(http.MethodPost, "/any", http.StatusCreated, 0, do),
		api.On(http.MethodPost, "/server", http.StatusCreated, api.ForServers|api.NeedsKey, do),
		api.On(http.MethodPost, "/user", http.StatusCreated, api.ForUsers, do),
		api.On(http.MethodPost, "/secret", http.StatusOK, api.Unkept, do),
		api.On(http.MethodGet, "/any", http.StatusOK, 0, do),
	)
	call := func(method, path, auth, key string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("{}"))
		r.Header.Set("Authorization", auth)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	user, late, server := sign("ann"), sign("late"), "Bearer one"
	for name, c := range map[string]struct {
		method, path, auth, key string
		want                    int
	}{
		"nobody":                 {"POST", "/any", "", "", 401},
		"a user":                 {"POST", "/any", user, "", 201},
		"another status":         {"POST", "/any", late, "", 202},
		"a user where servers":   {"POST", "/server", user, "k", 403},
		"a server without a key": {"POST", "/server", server, "", 400},
		"a server":               {"POST", "/server", server, "k", 201},
		"a server where users":   {"POST", "/user", server, "", 403},
		"reading":                {"GET", "/any", user, "", 200},
	} {
		if got, body := call(c.method, c.path, c.auth, c.key); got != c.want {
			t.Errorf("%s: %d %s, want %d", name, got, body, c.want)
		}
	}
	for path, same := range map[string]bool{"/any": true, "/user": true, "/secret": false} {
		_, first := call("POST", path, user, "again")
		if _, second := call("POST", path, user, "again"); (first == second) != same {
			t.Errorf("%s answered %s, then %s", path, first, second)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/any", nil)
	r.Header.Set("Origin", "https://shop.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if got := w.Header().Get("Access-Control-Allow-Methods"); w.Code != http.StatusNoContent || got != "POST, GET" {
		t.Errorf("a browser's question: %d, methods %q", w.Code, got)
	}
}
