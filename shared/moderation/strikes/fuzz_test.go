package strikes_test

import (
	"net/http"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// FuzzBodies: whatever stands in a request's body, it is answered, never with a
// fault of ours, and adds a strike exactly where the answer says so.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{`{}`, `{"weight":3,"reason":"spam"}`, `{"key":"a","reason":""}`, `{"weight":1e9}`, `{"weight":null}`, `[]`, `{"key":"\u0000"}`} {
		f.Add(seed)
	}
	clock := kvtest.NewClock()
	store, err := boltkv.Open(f.TempDir()+"/state", boltkv.Options{Now: clock.Now})
	if err != nil {
		f.Fatal(err)
	}
	defer store.Close()
	f.Fuzz(func(t *testing.T, body string) {
		p := newWorld(t, store, clock).process(store)
		p.add("jane", "first", `{}`)
		_, before := p.ask(http.MethodGet, "jane", "", "")
		status, after := p.ask(http.MethodPost, "jane", "", body)
		switch {
		case status >= 500:
			t.Errorf("status %d", status)
		case status != http.StatusOK:
			_, after = p.ask(http.MethodGet, "jane", "", "")
			if len(after.Strikes) != len(before.Strikes) {
				t.Errorf("refused with %d, and added", status)
			}
		case after.Strikes[0].Key == before.Strikes[0].Key:
			t.Error("answered well, and not added")
		}
		if status, _ := p.ask(http.MethodPost, "jane/forgive", "", body); status >= 500 {
			t.Errorf("forgiving: status %d", status)
		}
	})
}
