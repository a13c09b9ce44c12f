package imtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// One stream brings what several devices are told, from where each of them was;
// a device that is kicked ends alone.
func TestOneStreamForManyDevices(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.open("alice"), w.open("bob")
	alice.do("send", `{"userId":"bob","text":"known already"}`)
	alice.do("send", `{"userId":"bob","text":"hello bob"}`)
	bob.do("send", `{"userId":"alice","text":"hello alice"}`)
	next, end := w.listen(fmt.Sprintf("/client/devices/events?device=%s:0&device=%s:1&device=cNobody:0", alice.token, bob.token), "")
	got := make(map[string]bool)
	read := func() {
		t.Helper()
		e, ok := next()
		if !ok {
			t.Fatalf("the stream ended after %v", got)
		}
		var v struct {
			Token   string
			N, Code int
			Event   struct {
				Kind    string
				Message *struct{ From string }
			}
		}
		if err := json.Unmarshal([]byte(e.data), &v); err != nil {
			t.Fatal(err)
		}
		name := map[string]string{alice.token: "alice", bob.token: "bob"}[v.Token]
		got[fmt.Sprintf("%s %d %s %d", name, v.N, v.Event.Kind, v.Code)] = true
	}
	until := func(want ...string) {
		t.Helper()
		for _, w := range want {
			for !got[w] {
				read()
			}
		}
	}
	until("alice 3 message 0", "bob 2 message 0", " 0  6014")
	if got["bob 1 message 0"] {
		t.Error("bob was told again what he knew")
	}
	w.open("alice") // on the same platform
	until("alice 4 kickedOffline 0", "alice 0  6014")
	w.silent("bob", 0)
	end()
	w.silent("bob", 1)
	if status, _ := w.call(http.MethodGet, "/client/devices/events?device=x", "", ""); status != http.StatusBadRequest {
		t.Errorf("without a number: %d", status)
	}
}
