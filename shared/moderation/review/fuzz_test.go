package review_test

import (
	"net/http"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

// fuzzed is one process for all executions of a fuzz test: a world of its own for
// each would cost a hundred times what is tested.
func fuzzed(f *testing.F) *process {
	clock := kvtest.NewClock()
	store, err := boltkv.Open(f.TempDir()+"/state", boltkv.Options{Now: clock.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	return newWorld(f, store, clock).process(store)
}

// FuzzHold: whatever a callback says, it is refused, or comes back to moderators
// as it was; and the queue can be read.
func FuzzHold(f *testing.F) {
	f.Add("00112233445566778899aabbccddeeff", "jane", "", "room", "", "hello", "{}")
	f.Add("00112233445566778899AABBCCDDEEFF", "a/b", "joe", "", "topic", "<&>\u2028", "\x00")
	f.Add("", "", "", "", "", "", "")
	all := fuzzed(f)
	f.Fuzz(func(t *testing.T, id, from, to, groupID, topicID, text, custom string) {
		if !utf8.ValidString(from + to + groupID + topicID) {
			return // no callback's JSON has such an id
		}
		p := all.with(t)
		h := moderation.Held{
			ID: id, At: p.Clock.Now(), From: from, To: to, GroupID: groupID, TopicID: topicID, MsgBody: im.Text(text), CloudCustomData: custom,
		}
		err := p.reviews.Hold(t.Context(), h)
		views, _ := p.list("?limit=100")
		if err != nil || len(views) == 0 {
			return
		}
		for _, v := range views {
			if _, err := p.reviews.Show(t.Context(), v.ID); err != nil {
				t.Errorf("%q: %v", v.ID, err)
			}
			if status, _ := p.decides(v.ID, "reject"); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			if v.From != from || v.To != to || v.GroupID != groupID {
				t.Errorf("%+v of %+v", v, h)
			}
		}
	})
}

// FuzzRequests: whatever is asked, the answer is never a fault of ours.
func FuzzRequests(f *testing.F) {
	f.Add("000112233445566778899aabbccddeeff", `{"reason":"x","weight":1}`, "after=1&limit=2&order=newest")
	f.Add("x", `{"reason":null}`, "after=%00")
	all := fuzzed(f)
	f.Fuzz(func(t *testing.T, id, body, query string) {
		p := all.with(t)
		path := "/" + url.PathEscape(id)
		for _, request := range []struct{ method, path string }{
			{"GET", "?" + url.PathEscape(query)},
			{"GET", "?after=" + url.QueryEscape(query)},
			{"GET", path},
			{"POST", path + "/approve"},
			{"POST", path + "/reject"},
		} {
			if got := p.ask(request.method, request.path, body); got.Code >= 500 {
				t.Errorf("%s %s: %d %s", request.method, request.path, got.Code, got.Body)
			}
		}
	})
}
