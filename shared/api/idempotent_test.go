package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

// shop serves two routes to two servers, and counts what is ordered.
type shop struct {
	http.Handler
	orders int
	answer func(w http.ResponseWriter, r *http.Request) error // nil: 201
}

func newShop(t testing.TB) *shop {
	t.Helper()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := api.ParseKeys([]string{"one:" + hash("one"), "two:" + hash("two")})
	if err != nil {
		t.Fatal(err)
	}
	gate, keeper := &api.Gate{Keys: keys}, idem.New(store, nil)
	s := new(shop)
	order := api.Idempotent(keeper, func(w http.ResponseWriter, r *http.Request) error {
		s.orders++
		if s.answer != nil {
			return s.answer(w, r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		w.Header().Set("Location", fmt.Sprint("/orders/", s.orders))
		api.Reply(w, http.StatusCreated, map[string]any{"order": s.orders, "of": string(body), "raw": "\n<\u2028>"})
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /rooms/{id}/gifts", gate.Server(order))
	mux.Handle("POST /mail", gate.Server(order))
	mux.Handle("POST /open", order)
	s.Handler = mux
	return s
}

// send posts a body with the API key and idempotency keys given.
func (s *shop) send(path, server, body string, keys ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+server)
	r.Header["Idempotency-Key"] = keys
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestIdempotentReplays(t *testing.T) {
	s := newShop(t)
	first := s.send("/mail", "one", "ten coins", "k-1")
	if first.Code != 201 || !strings.Contains(first.Body.String(), "ten coins") || first.Header().Get("Idempotent-Replayed") != "" {
		t.Fatalf("%d %v %s", first.Code, first.Header(), first.Body)
	}
	for range 2 {
		again := s.send("/mail", "one", "ten coins", "k-1")
		if again.Code != 201 || again.Body.String() != first.Body.String() || again.Header().Get("Location") != "/orders/1" || again.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %v %s", again.Code, again.Header(), again.Body)
		}
		if again.Header().Get("Idempotent-Replayed") != "true" {
			t.Error("not marked")
		}
	}
	if s.orders != 1 {
		t.Errorf("%d orders", s.orders)
	}
	for n, other := range []*httptest.ResponseRecorder{
		s.send("/mail", "one", "ten coins", "k-2"),
		s.send("/mail", "two", "ten coins", "k-1"),
		s.send("/rooms/1/gifts", "one", "ten coins", "k-1"),
		s.send("/mail", "one", "ten coins"),
		s.send("/mail", "one", "ten coins"),
	} {
		if want := fmt.Sprint("/orders/", n+2); other.Header().Get("Location") != want {
			t.Errorf("%v, want %s", other.Header(), want)
		}
	}
}

func TestIdempotentRefuses(t *testing.T) {
	s := newShop(t)
	if w := s.send("/rooms/1/gifts", "one", "a rose", "k"); w.Code != 201 {
		t.Fatal(w.Code)
	}
	for name, tt := range map[string]struct {
		got    *httptest.ResponseRecorder
		status int
	}{
		"another body":     {s.send("/rooms/1/gifts", "one", "a car", "k"), 422},
		"another room":     {s.send("/rooms/2/gifts", "one", "a rose", "k"), 422},
		"another query":    {s.send("/rooms/1/gifts?x=1", "one", "a rose", "k"), 422},
		"two keys":         {s.send("/mail", "one", "", "k", "k"), 400},
		"an empty key":     {s.send("/mail", "one", "", ""), 400},
		"a space":          {s.send("/mail", "one", "", "a b"), 400},
		"no ASCII":         {s.send("/mail", "one", "", "schlüssel"), 400},
		"a long key":       {s.send("/mail", "one", "", strings.Repeat("k", api.MaxIdempotencyKey+1)), 400},
		"nobody":           {s.send("/open", "one", "", "k"), 401},
		"a body too large": {s.send("/mail", "one", strings.Repeat("x", api.MaxBody+1), "k"), 413},
	} {
		if tt.got.Code != tt.status || !strings.HasPrefix(tt.got.Body.String(), `{"error":{"code":"`) {
			t.Errorf("%s: %d %s, want %d", name, tt.got.Code, tt.got.Body, tt.status)
		}
	}
	if s.orders != 1 {
		t.Errorf("%d orders", s.orders)
	}
	if w := s.send("/mail", "one", "", strings.Repeat("~", api.MaxIdempotencyKey)); w.Code != 201 {
		t.Errorf("the longest key: %d %s", w.Code, w.Body)
	}
}

func TestIdempotentInProgress(t *testing.T) {
	s := newShop(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) error {
		again := s.send("/mail", "one", "x", "k")
		if again.Code != 409 || again.Header().Get("Retry-After") == "" || again.Header().Get("Retry-After") == "0" {
			t.Errorf("%d %v", again.Code, again.Header())
		}
		return fault.New(fault.Invalid, "no such user")
	}
	first := s.send("/mail", "one", "x", "k")
	again := s.send("/mail", "one", "x", "k")
	if first.Code != 400 || again.Code != 400 || again.Body.String() != first.Body.String() || s.orders != 1 {
		t.Errorf("%d %s, then %d %s after %d orders", first.Code, first.Body, again.Code, again.Body, s.orders)
	}
}

// TestIdempotentForgets: what may go better next time is tried again.
func TestIdempotentForgets(t *testing.T) {
	s := newShop(t)
	failures := []error{
		fault.New(fault.Unavailable, "later"), fault.New(fault.Throttled, "later"), fault.New(fault.Conflict, "later"), io.ErrUnexpectedEOF,
		fault.New(fault.UnsupportedMedia, "send JSON"),
	}
	s.answer = func(http.ResponseWriter, *http.Request) error { return failures[s.orders-1] }
	for _, failure := range failures {
		w := s.send("/mail", "one", "x", "k")
		if w.Code != fault.CodeOf(failure).Status() || w.Header().Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %v for %v", w.Code, w.Header(), failure)
		}
	}
	s.answer, s.orders = func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }, 0
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		s.send("/mail", "one", "x", "k")
	}()
	s.answer = func(http.ResponseWriter, *http.Request) error { return nil } // an empty 200
	if w := s.send("/mail", "one", "x", "k"); w.Code != 200 || s.orders != 2 {
		t.Errorf("%d after %d orders", w.Code, s.orders)
	}
	if w := s.send("/mail", "one", "x", "k"); w.Code != 200 || w.Body.Len() > 0 || s.orders != 2 || w.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s after %d orders", w.Code, w.Body, s.orders)
	}
}

// FuzzIdempotent: a request is refused both times, or done once and answered
// twice the same.
func FuzzIdempotent(f *testing.F) {
	for _, key := range []string{"k", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "", " ", "a\x00b", "é", strings.Repeat("x", 200)} {
		f.Add(key, "body")
	}
	s := newShop(f)
	f.Fuzz(func(t *testing.T, key, body string) {
		key = "fuzz" + key
		before := s.orders
		first := s.send("/mail", "one", body, key)
		again := s.send("/mail", "one", body, key)
		same := first.Code == again.Code && first.Body.String() == again.Body.String()
		switch {
		case first.Code == 422: // an input before had this key and another body
		case !same, first.Code == 201 && s.orders > before+1, first.Code != 201 && s.orders > before, first.Code >= 500:
			t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
		}
	})
}

// TestKeyed: a route that makes something refuses a request without a key of its
// own, and one with a key that is none.
func TestKeyed(t *testing.T) {
	h := api.Keyed(func(w http.ResponseWriter, _ *http.Request) error {
		api.Reply(w, http.StatusCreated, struct{}{})
		return nil
	})
	for key, want := range map[string]int{"": http.StatusBadRequest, "one": http.StatusCreated, "two words": http.StatusBadRequest} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		res := httptest.NewRecorder()
		h.ServeHTTP(res, r)
		if res.Code != want || (want == http.StatusBadRequest) != strings.Contains(res.Body.String(), "Idempotency-Key") {
			t.Errorf("%q: %d %s", key, res.Code, res.Body)
		}
	}
}
