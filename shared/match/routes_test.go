package match_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/match"
)

// TestBadInput: a clear 4xx, or IM's OK, and nothing has happened: no call to IM
// or to the hook, no job, not a byte of the store changed, and nothing of it in
// the log.
func TestBadInput(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))

	file := filepath.Join(t.TempDir(), "state")
	clock := kvtest.NewClock()
	store, err := boltkv.Open(file, boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w := newWorld(t, store, clock)
	p := w.process(store).serves()
	id := p.makes("ann")
	p.joins(id, "bob")
	started := p.fills("cid")
	sig, err := w.Users.Sign("dan", time.Hour)
	w.Must(err)
	stale, err := w.Users.Sign("dan", time.Minute)
	w.Must(err)
	w.Advance(2 * time.Minute)

	const secret = "what nobody else may read"
	long := strings.Repeat("x", 80<<10)
	plain := func(method, path, body string, headers ...string) *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return r
	}
	server := func(method, path, body string) *http.Request { return w.as("", method, path, body) }
	dan := func(method, path, body string) *http.Request { return w.as("dan", method, path, body) }
	named := func(names ...string) *http.Request {
		r := server("POST", "/teams", `{"size":3,"captain":"dan"}`)
		r.Header["Idempotency-Key"] = names
		return r
	}
	form := server("POST", "/teams", "size=3")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	team := "/teams/" + id

	before := w.traces(file)
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"no caller", plain("POST", "/teams", `{"size":3}`), 401},
		{"another key", plain("POST", "/teams", `{"size":3}`, "Authorization", "Bearer "+secret), 401},
		{"another's UserSig", plain("POST", "/teams", `{"size":3}`, "Authorization", "UserSig eve:"+sig), 401},
		{"an old UserSig", plain("POST", "/teams", `{"size":3}`, "Authorization", "UserSig dan:"+stale), 401},
		{"for another", dan("POST", "/teams", `{"size":3,"captain":"ann"}`), 403},
		{"no captain", server("POST", "/teams", `{"size":3}`), 400},
		{"a captain with a blank", server("POST", "/teams", `{"size":3,"captain":"a b"}`), 400},
		{"a long captain", server("POST", "/teams", `{"size":3,"captain":"`+long[:33]+`"}`), 400},
		{"a robot", server("POST", "/teams", `{"size":3,"captain":"@RBT#1"}`), 400},
		{"no size", dan("POST", "/teams", `{"mode":"`+secret+`"}`), 400},
		{"one alone", dan("POST", "/teams", `{"size":1}`), 400},
		{"fewer than nobody", dan("POST", "/teams", `{"size":-3}`), 400},
		{"too many", dan("POST", "/teams", `{"size":101}`), 400},
		{"half a player", dan("POST", "/teams", `{"size":2.5}`), 400},
		{"a size in words", dan("POST", "/teams", `{"size":"three"}`), 400},
		{"a mode of two lines", dan("POST", "/teams", `{"size":3,"mode":"a\nb"}`), 400},
		{"a long mode", dan("POST", "/teams", `{"size":3,"mode":"`+long[:65]+`"}`), 400},
		{"said twice", dan("POST", "/teams", `{"size":3,"size":4}`), 400},
		{"no JSON", dan("POST", "/teams", secret), 400},
		{"a list", dan("POST", "/teams", `[]`), 400},
		{"nothing", dan("POST", "/teams", ""), 400},
		{"not UTF-8", dan("POST", "/teams", "{\"mode\":\"\xff\",\"size\":3}"), 400},
		{"a form", form, 415},
		{"too large", dan("POST", "/teams", `{"x":"`+long+`"}`), 413},
		{"an empty name", named(""), 400},
		{"two names", named("a", "b"), 400},
		{"a long name", named(long[:129]), 400},
		{"another request under its name", func() *http.Request {
			r := w.as("ann", "POST", "/teams", `{"mode":"casual","size":3}`)
			r.Header.Set("Idempotency-Key", "team-of-ann")
			return r
		}(), 422},
		{"another method", dan("PUT", "/teams", `{"size":3}`), 405},
		{"asked by a browser that is none", dan("OPTIONS", "/teams", `{"size":3}`), 405},

		{"no caller", plain("GET", team, ""), 401},
		{"no such team", dan("GET", "/teams/team-none", ""), 404},
		{"an id that cannot be", dan("GET", "/teams/"+long[:49], ""), 404},
		{"an id with a blank", dan("GET", "/teams/a%20b", ""), 404},
		{"an id with NUL", dan("GET", "/teams/a%00b", ""), 404},
		{"another's team", dan("GET", "/teams/"+started, ""), 404},

		{"no caller", plain("POST", team+"/members", `{}`), 401},
		{"no such team", dan("POST", "/teams/team-none/members", `{}`), 404},
		{"a server for nobody", server("POST", team+"/members", `{}`), 400},
		{"for another", dan("POST", team+"/members", `{"userIds":["eve"]}`), 403},
		{"staff, by the captain", w.as("ann", "POST", team+"/members", `{"userIds":["agent7"]}`), 403},
		{"a user that cannot be", server("POST", team+"/members", `{"userIds":["eve",""]}`), 400},
		{"too many users", server("POST", team+"/members", `{"userIds":["a"`+strings.Repeat(`,"a"`, 20)+`]}`), 400},
		{"no list", server("POST", team+"/members", `{"userIds":"eve"}`), 400},
		{"a team that has started", dan("POST", "/teams/"+started+"/members", `{}`), 409},
		{"no JSON", dan("POST", team+"/members", secret), 400},

		{"no caller", plain("DELETE", team+"/members/dan", ""), 401},
		{"no such team", dan("DELETE", "/teams/team-none/members/dan", ""), 404},
		{"a member that cannot be", server("DELETE", team+"/members/a%20b", ""), 400},

		{"no caller", plain("PUT", team+"/captain", `{"userId":"bob"}`), 401},
		{"nobody", server("PUT", team+"/captain", `{}`), 400},
		{"no such team", server("PUT", "/teams/team-none/captain", `{"userId":"bob"}`), 404},

		{"no caller", plain("DELETE", team, ""), 401},
		{"no captain", dan("DELETE", team, ""), 403},
		{"of a team that has started", w.as("cid", "DELETE", "/teams/"+started, ""), 403},
		{"no such team", server("DELETE", "/teams/team-none", ""), 404},
	} {
		a := p.do(c.request)
		if a.status != c.status || !strings.Contains(a.text, `"message":"`) {
			t.Errorf("%s %.80s %s: %d %s, want %d", c.request.Method, c.request.URL.Path, c.name, a.status, a.text, c.status)
		}
		if strings.Contains(a.text, secret) {
			t.Errorf("%s %s: the answer quotes: %s", c.request.URL.Path, c.name, a.text)
		}
	}

	signer := callback.Signer{SDKAppID: appID, Token: token, Now: clock.Now}
	for name, c := range map[string]struct {
		signer callback.Signer
		body   string
		status int
	}{
		"full, of nobody's team":     {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"lobby"}`, 200},
		"full, of a team never made": {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"team-none"}`, 200},
		"full, once more":            {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"` + started + `"}`, 200},
		"full, of no group":          {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull"}`, 200},
		"a long id":                  {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"team-` + long[:50] + `"}`, 200},
		"an id with NUL":             {signer, `{"CallbackCommand":"Group.CallbackAfterMemberExit","GroupId":"team-\u0000","ExitMemberList":[]}`, 200},
		"joined, another group":      {signer, `{"CallbackCommand":"Group.CallbackAfterNewMemberJoin","GroupId":"@TGS#1","NewMemberList":[{"Member_Account":"eve"}]}`, 200},
		"not signed by IM":           {callback.Signer{SDKAppID: appID, Token: "another", Now: clock.Now}, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"` + id + `"}`, 403},
		"a number for an id":         {signer, `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":7}`, 200},
	} {
		r, err := c.signer.Request(t.Context(), "http://function.invalid/im", "", []byte(c.body))
		w.Must(err)
		res := httptest.NewRecorder()
		p.heard.ServeHTTP(res, r)
		if res.Code != c.status || c.status == 200 && !strings.Contains(res.Body.String(), `"ErrorCode":0`) {
			t.Errorf("%s: %d %s, want %d", name, res.Code, res.Body, c.status)
		}
	}
	if after := w.traces(file); !maps.Equal(before, after) {
		for what, was := range before {
			if after[what] != was {
				t.Errorf("something has happened: %s", what)
			}
		}
	}
	for _, s := range []string{secret, apiKey, hookKey, token, sig, stale} {
		if strings.Contains(log.String(), s) {
			t.Errorf("the log has %q in it: %s", s, log.String())
		}
	}
}

// traces is what shows that something has happened.
func (w *world) traces(file string) map[string]string {
	w.Helper()
	state, err := os.ReadFile(file)
	w.Must(err)
	return map[string]string{
		"store": string(state), "IM": fmt.Sprint(len(w.App.Calls())), "jobs": fmt.Sprint(len(w.Queue.All())), "hook": fmt.Sprint(w.hook.Calls()),
	}
}

// TestLostHint: where the store does not answer, IM gets no OK, so that the
// callback is not lost.
func TestLostHint(t *testing.T) {
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, store, clock)
	p := w.process(store)
	id := p.makes("ann")
	w.Must(store.Close())
	signer := callback.Signer{SDKAppID: appID, Token: token, Now: clock.Now}
	body := `{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":"` + id + `"}`
	r, err := signer.Request(t.Context(), "http://function.invalid/im", "", []byte(body))
	w.Must(err)
	res := httptest.NewRecorder()
	p.heard.ServeHTTP(res, r)
	if res.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", res.Code, res.Body)
	}
	if a := p.do(w.as("", "GET", "/teams/"+id, "")); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// TestBannedIsBroughtIn: a ban holds as well for whom a server or a captain brings
// into a team or puts at its head, and whom they may bring is not touched by it.
func TestBannedIsBroughtIn(t *testing.T) {
	clock := kvtest.NewClock()
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w := newWorld(t, store, clock)
	w.gate.Bans = &api.Bans{Until: func(_ context.Context, userID string) (until time.Time, err error) {
		if userID == "mal" {
			until = clock.Now().Add(time.Hour)
		}
		return until, nil
	}}
	p := w.process(store).serves()
	team := "/teams/" + p.makes("ann") + "/"
	for name, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"a server makes a team for him": {w.as("", "POST", "/teams", `{"mode":"ranked","size":3,"captain":"mal"}`), 403},
		"a server brings him":           {w.as("", "POST", team+"members", `{"userIds":["bob","mal"]}`), 403},
		"the captain brings him":        {w.as("ann", "POST", team+"members", `{"userIds":["mal"]}`), 403},
		"a server puts him at the head": {w.as("", "PUT", team+"captain", `{"userId":"mal"}`), 403},
		"he comes himself":              {w.as("mal", "POST", team+"members", `{}`), 403},
		"a server takes him out":        {w.as("", "DELETE", team+"members/mal", ""), 200},
	} {
		a := p.do(c.request)
		if a.status != c.status || c.status == 403 && !strings.Contains(a.text, `"banned"`) {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.text, c.status)
		}
	}
	p.whole(strings.Split(team, "/")[2], match.Open, "ann")
}
