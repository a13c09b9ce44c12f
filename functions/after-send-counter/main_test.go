package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/redistest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func TestCountsOnce(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "redis://" + redistest.Start(t).Addr})
	shape := 0
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		// All shapes share one store: each counts in a room of its own.
		shape++
		room := "room" + strings.Repeat("x", shape)
		for _, seq := range []int{31, 32, 31, 31, 32} {
			body := strings.Replace(kit.AfterSend("alice", seq), "lobby", room, 1)
			kit.Read(t, do(kit.Callback(t, body))).WantCode(t, 0)
		}
		for path, want := range map[string]float64{"/stats": 2, "/stats/users/alice": 2, "/stats/users/bob": 0} {
			if a := kit.Read(t, do(kit.Get("/rooms/"+room+path, kit.Key))); a.JSON["messages"] != want {
				t.Errorf("%s: %d %s, want %v messages", path, a.Status, a.Text, want)
			}
		}
		if a := kit.Read(t, do(kit.Get("/rooms/"+room+"/stats", ""))); a.Status != 401 {
			t.Errorf("nobody in particular: %d %s", a.Status, a.Text)
		}
	})
}

// TestStoreGone: what cannot be counted is not acknowledged, so that IM may try
// again if its console says so.
func TestStoreGone(t *testing.T) {
	redis := redistest.Start(t)
	p := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{"STATE_URL": "redis://" + redis.Addr}))
	count := func(seq int) int {
		t.Helper()
		res, err := p.Do(faastest.Plain, kit.Callback(t, kit.AfterSend("alice", seq)))
		if err != nil {
			t.Fatal(err)
		}
		return kit.Read(t, res).Status
	}
	if status := count(1); status != 200 {
		t.Errorf("status %d", status)
	}
	redis.Kill()
	if status := count(2); status != 500 {
		t.Errorf("status %d while the store is away, want 500", status)
	}
}
