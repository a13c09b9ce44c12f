package match_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
)

func TestHook(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fake := matchtest.NewHook(hookKey, func() time.Time { return noon })
	server := httptest.NewServer(fake)
	defer server.Close()
	h := &match.Hook{URL: server.URL + "/start?for=us", Key: hookKey, Now: func() time.Time { return noon }}
	s := match.Start{ID: "team-1/1", GroupID: "team-1", Mode: "ranked", Size: 2, Captain: "ann", Members: []string{"ann", "bob"}, At: noon}
	for _, c := range []struct {
		fault match.Hook // the caller as it should not be
		name  string
	}{
		{match.Hook{URL: h.URL, Key: "another key", Now: h.Now}, "another key"},
		{match.Hook{URL: h.URL, Key: hookKey, Now: func() time.Time { return noon.Add(time.Hour) }}, "another time"},
	} {
		if err := c.fault.Start(t.Context(), s); !errors.Is(err, match.ErrNotNow) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if n := len(fake.Starts()); n != 0 || len(fake.Problems()) != 2 {
		t.Fatalf("%d starts, %s", n, fake.Problems())
	}
	for range 2 {
		if err := h.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if got := fake.Starts(); len(got) != 1 || got[0].ID != s.ID || got[0].Captain != "ann" || strings.Join(got[0].Members, " ") != "ann bob" || fake.Calls() != 2 {
		t.Errorf("%+v after %d calls", got, fake.Calls())
	}
}

// TestHookAnswers: only what cannot have been taken is ErrNotNow or ErrRefused.
func TestHookAnswers(t *testing.T) {
	const unknown = "unknown"
	kind := func(err error) string {
		switch {
		case err == nil:
			return "started"
		case errors.Is(err, match.ErrRefused):
			return "refused"
		case errors.Is(err, match.ErrNotNow):
			return "not now"
		}
		return unknown
	}
	status, cut := 0, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	h := &match.Hook{URL: server.URL, Key: hookKey, Transport: &http.Transport{DisableKeepAlives: true}}
	for want, statuses := range map[string][]int{
		"started": {200, 201, 202, 204},
		"refused": {400, 402, 410, 422},
		"not now": {301, 302, 307, 401, 403, 404, 405, 425, 429},
		unknown:   {408, 409, 500, 502, 503, 504},
	} {
		for _, status = range statuses {
			if got := kind(h.Start(t.Context(), match.Start{ID: "1"})); got != want {
				t.Errorf("status %d: %s, want %s", status, got, want)
			}
		}
	}
	cut = true
	if got := kind(h.Start(t.Context(), match.Start{ID: "1"})); got != unknown {
		t.Errorf("no answer: %s", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := kind(h.Start(ended, match.Start{ID: "1"})); got != unknown && got != "not now" {
		t.Errorf("no time: %s", got)
	}
	server.Close()
	err := h.Start(t.Context(), match.Start{ID: "1"})
	if got := kind(err); got != "not now" {
		t.Errorf("nobody there: %s: %v", got, err)
	}
	if _, is := errors.AsType[*net.OpError](err); !is || strings.Contains(err.Error(), "http://") {
		t.Errorf("%v", err)
	}
}
