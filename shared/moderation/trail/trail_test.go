package trail_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
)

func TestContract(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "Routes", Run: testRoutes}})
}

// testRoutes: entries come newest first, each once however often it was added,
// page by page, to servers, for a year.
func testRoutes(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	kept := trail.New(store)
	for n := range 7 {
		for range 2 {
			e := trail.Entry{ID: fmt.Sprint("event", n), At: clock.Now().Add(time.Duration(n) * time.Millisecond), By: "desk", What: "message approved", Note: "why"}
			if err := kept.Add(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	sum := sha256.Sum256([]byte("key"))
	keys, err := api.ParseKeys([]string{"desk:" + hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	kept.Routes(mux, &api.Gate{Keys: keys})
	get := func(query, key string) (status int, ids []string, next string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/moderation/trail"+query, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var answer struct {
			Entries []trail.Entry
			Next    string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.Entries {
			ids = append(ids, e.ID)
		}
		return w.Code, ids, answer.Next
	}
	var all []string
	for after, pages := "", 0; ; pages++ {
		status, ids, next := get("?limit=3&after="+url.QueryEscape(after), "key")
		if status != http.StatusOK || len(ids) > 3 || pages > 10 {
			t.Fatalf("%d %q on page %d", status, ids, pages)
		}
		all = append(all, ids...)
		if after = next; after == "" {
			break
		}
	}
	if got := fmt.Sprint(all); got != "[event6 event5 event4 event3 event2 event1 event0]" {
		t.Error(got)
	}
	if status, _, _ := get("", "another key"); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	for _, query := range []string{"?limit=x", "?after=%00", "?after=%ff"} {
		if status, _, _ := get(query, "key"); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
	clock.Advance(trail.Kept + time.Second)
	if _, ids, _ := get("", "key"); len(ids) != 0 {
		t.Errorf("after a year: %q", ids)
	}
}
