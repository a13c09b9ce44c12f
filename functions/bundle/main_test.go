package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func TestEverythingBehindOneURL(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "bolt:{dir}/state.db"})
	faastest.Everywhere(t, faastest.Build(t, "."), env, func(t *testing.T, do func(*http.Request) *http.Response) {
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("join my casino")))).WantCode(t, 1)
		kit.Read(t, do(kit.Callback(t, kit.BeforeSend("good evening")))).WantCode(t, 0)
		for _, seq := range []int{7, 8, 7, 7, 8} {
			kit.Read(t, do(kit.Callback(t, kit.AfterSend("alice", seq)))).WantCode(t, 0)
		}
		stats := kit.Read(t, do(kit.Get("/rooms/lobby/stats", kit.Key)))
		if stats.Status != http.StatusOK || stats.JSON["messages"] != 2.0 {
			t.Errorf("stats: %d %s, want 2 messages", stats.Status, stats.Text)
		}
		issued := kit.Read(t, do(kit.Post("/usersig", kit.Key, `{"userID":"alice"}`)))
		signer, err := usersig.NewSigner(kit.AppID, kit.Secret)
		if err != nil {
			t.Fatal(err)
		}
		sig, _ := issued.JSON["userSig"].(string)
		if _, err := signer.Verify("alice", sig); err != nil {
			t.Errorf("usersig: %d %s: %v", issued.Status, issued.Text, err)
		}
		mine := kit.Get("/rooms/lobby/stats/users/alice", "")
		mine.Header.Set("Authorization", "UserSig alice:"+sig)
		if a := kit.Read(t, do(mine)); a.JSON["messages"] != 2.0 {
			t.Errorf("a user's own question: %d %s", a.Status, a.Text)
		}
	})
}

// TestBadCallbacksChangeNothing: the store is the same, byte for byte, and the
// log says why each was refused, without secrets or texts.
func TestBadCallbacksChangeNothing(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	env := kit.Settings(map[string]string{"STATE_URL": "bolt:" + state})
	bin := faastest.Build(t, ".")

	const text = "a text that is nobody's business"
	good := strings.ReplaceAll(kit.AfterSend("alice", 1), "hello", text)
	first := faastest.StartLocal(t, bin, env)
	answer(t, first, kit.Callback(t, good)).WantCode(t, 0)
	if code := first.Stop(t); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	before := dump(t, state)

	signer := kit.Signer()
	at := func(d time.Duration) callback.Signer {
		s := signer
		s.Now = func() time.Time { return time.Now().Add(d) }
		return s
	}
	otherApp, otherToken, unsigned := signer, signer, signer
	otherApp.SDKAppID++
	otherToken.Token = "not-the-token"
	unsigned.Token = ""
	next := strings.ReplaceAll(good, `"MsgSeq":1`, `"MsgSeq":2`)
	mismatch := kit.Callback(t, next)
	mismatch.URL.RawQuery = strings.Replace(mismatch.URL.RawQuery, "Group.CallbackAfterSendMsg", "Group.CallbackAfterGroupFull", 1)
	get := kit.Callback(t, next)
	get.Method = http.MethodGet
	raw := func(body string) *http.Request {
		r := kit.Callback(t, next)
		r.Body, r.ContentLength = http.NoBody, 0
		return withBody(r, body)
	}

	p := faastest.StartLocal(t, bin, env)
	for _, tt := range []struct {
		name    string
		request *http.Request
		status  int
		reason  string // in the log
	}{
		{"unsigned", kit.SignedBy(t, unsigned, next), 403, "Sign or RequestTime is missing"},
		{"expired", kit.SignedBy(t, at(-16*time.Minute), next), 403, "too long ago"},
		{"expired before", kit.SignedBy(t, at(-2*time.Minute), kit.BeforeSend(text)), 403, "too long ago"},
		{"future", kit.SignedBy(t, at(2*time.Minute), next), 403, "in the future"},
		{"wrong token", kit.SignedBy(t, otherToken, next), 403, "Sign does not fit"},
		{"other app", kit.SignedBy(t, otherApp, next), 403, "SdkAppid"},
		{"2 MiB", raw(next + strings.Repeat(" ", 2<<20)), 413, "1 MiB"},
		{"truncated", raw(next[:len(next)-9]), 400, "not a JSON object"},
		{"wrong type", raw(strings.Replace(next, `"MsgSeq":2`, `"MsgSeq":"two"`, 1)), 400, "MsgSeq"},
		{"duplicate field", raw(strings.Replace(next, `"MsgSeq":2`, `"MsgSeq":2,"MsgSeq":3`, 1)), 400, "occurs twice"},
		{"NUL bytes", raw(strings.Replace(next, "alice", "al\x00ice", 1)), 400, "not a JSON object"},
		{"a NUL in an id", raw(strings.Replace(next, "lobby", `lob\u0000by`, 1)), 200, "not counted"},
		{"unknown command", kit.Callback(t, `{"CallbackCommand":"Group.CallbackOfTomorrow","GroupId":"lobby"}`), 200, "unknown"},
		{"mismatch", mismatch, 400, "differs between query and body"},
		{"GET", get, 405, "POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := answer(t, p, tt.request); a.Status != tt.status {
				t.Errorf("answered %d %s, want %d", a.Status, a.Text, tt.status)
			}
			if !strings.Contains(p.Stdout(), tt.reason) {
				t.Errorf("the log does not say %q", tt.reason)
			}
		})
	}
	log := p.Stdout() + p.Stderr()
	for _, secret := range []string{kit.Secret, kit.Token, kit.Key, text, "Sign=", "RequestTime=", "SdkAppid="} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	if after := dump(t, state); !bytes.Equal(before, after) {
		t.Errorf("the store changed:\n%s\n%s", before, after)
	}
}

// TestDoesItsOwnJobs: jobs that a process left in its file when it died, one
// whose record was not even written, are done by the next.
func TestDoesItsOwnJobs(t *testing.T) {
	dir := t.TempDir()
	env := kit.Settings(map[string]string{"STATE_URL": "bolt:" + dir + "/state.db", "QUEUE_URL": "bolt:" + dir + "/jobs.db"})
	jobs, err := boltqueue.Open(dir+"/jobs.db", boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range 3 {
		failed, err := json.Marshal(callback.Deferred{Rule: "count", Command: "Group.CallbackAfterSendMsg", Body: []byte(kit.AfterSend("alice", seq))})
		if err != nil {
			t.Fatal(err)
		}
		left := queue.Job{ID: fmt.Sprint("left-", seq), Kind: "callback", Lane: queue.Fast, Body: failed, Unrecorded: true}
		if err := jobs.Enqueue(t.Context(), left, left); err != nil {
			t.Fatal(err)
		}
	}
	if err := jobs.Close(); err != nil {
		t.Fatal(err)
	}
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	p.WaitLog(t, "tick")
	for done := false; !done; {
		done = true
		for seq := range 3 {
			done = done && answer(t, p, kit.Get(fmt.Sprint("/jobs/left-", seq), kit.Key)).JSON["state"] == "done"
		}
	}
	if a := answer(t, p, kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 3.0 {
		t.Errorf("counted %s, want 3 messages", a.Text)
	}
	if a := answer(t, p, kit.Get("/jobs", kit.Key)); a.JSON["waiting"] != 0.0 || a.JSON["dead"] != 0.0 {
		t.Errorf("left over: %s", a.Text)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
}

// TestVirgilIsAChoice: who does not encrypt needs none of its settings, and who
// gives some has to give all.
func TestVirgilIsAChoice(t *testing.T) {
	without := map[string]string{"STATE_URL": "bolt:{dir}/state.db", "VIRGIL_APP_ID": "", "VIRGIL_APP_KEY_ID": "", "VIRGIL_APP_KEY": ""}
	p := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(without))
	for _, path := range []string{"/virgil-jwt", "/credentials", "/virgil-jwt/verify"} {
		if a := answer(t, p, kit.Post(path, kit.Key, `{"identity":"alice"}`)); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	without["VIRGIL_APP_ID"] = kit.VirgilAppID
	if out := faastest.Run(t, faastest.Build(t, "."), kit.Settings(without)); out.Code != 2 || !strings.Contains(out.Stderr, "VIRGIL_APP_KEY: required, since VIRGIL_APP_ID is given") {
		t.Errorf("half of it: status %d, %s", out.Code, out.Stderr)
	}
}

func TestUnsignedCallbacksNeedAChoice(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "bolt:{dir}/state.db", "CALLBACK_TOKEN": ""})
	if out := faastest.Run(t, faastest.Build(t, "."), env); out.Code != 2 || !strings.Contains(out.Stderr, "CALLBACK_TOKEN") {
		t.Errorf("without a token: status %d, %s", out.Code, out.Stderr)
	}
	env["CALLBACK_ALLOW_UNSIGNED"] = "1"
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	unsigned := kit.Signer()
	unsigned.Token = ""
	answer(t, p, kit.SignedBy(t, unsigned, kit.BeforeSend("good evening"))).WantCode(t, 0)
}

func TestPathSecret(t *testing.T) {
	env := kit.Settings(map[string]string{"STATE_URL": "bolt:{dir}/state.db", "CALLBACK_PATH_SECRET": "x7-secret"})
	p := faastest.StartLocal(t, faastest.Build(t, "."), env)
	for path, status := range map[string]int{"/im": 403, "/im/wrong": 403, "/im/x7-secret": 200} {
		r := kit.Callback(t, kit.BeforeSend("good evening"))
		r.URL.Path = path
		if a := answer(t, p, r); a.Status != status {
			t.Errorf("%s: status %d, want %d", path, a.Status, status)
		}
	}
	if strings.Contains(p.Stdout(), "x7-secret") {
		t.Error("the log has the path secret in it")
	}
}

func answer(t *testing.T, p *faastest.Local, r *http.Request) kit.Answer {
	t.Helper()
	res, err := p.Do(faastest.Plain, r)
	if err != nil {
		t.Fatal(err)
	}
	return kit.Read(t, res)
}

func withBody(r *http.Request, body string) *http.Request {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader(body))
	if err != nil {
		panic(err) // the URL was parsed before
	}
	return out
}

func dump(t *testing.T, file string) []byte {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	store, err := boltkv.Open(file, boltkv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var b bytes.Buffer
	if err := store.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBannedUsersStayOut: what moderators decide reaches the issuer of UserSigs.
func TestBannedUsersStayOut(t *testing.T) {
	p := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"STATE_URL": "bolt:{dir}/state.db", "QUEUE_URL": "bolt:{dir}/jobs.db", "IM_DOMAIN": "http://127.0.0.1:1",
	}))
	post := func(path, body, key string) kit.Answer {
		r := kit.Post(path, kit.Key, body)
		r.Header.Set("Idempotency-Key", key)
		res, err := p.Do(faastest.Plain, r)
		if err != nil {
			t.Fatal(err)
		}
		return kit.Read(t, res)
	}
	for _, key := range []string{"one", "one", "two"} {
		if a := post("/moderation/strikes/mallory", `{"weight":3,"reason":"spam"}`, key); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
	}
	for userID, status := range map[string]int{"mallory": http.StatusForbidden, "alice": http.StatusOK} {
		if a := post("/usersig", fmt.Sprintf(`{"userID":%q}`, userID), ""); a.Status != status {
			t.Errorf("%s: %d %s", userID, a.Status, a.Text)
		}
	}
}
