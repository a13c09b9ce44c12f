package rulestest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// APIKey is the key of the one server of these tests.
const APIKey = "an API key for these tests"

// Server stands for that server where [World.Request] takes a UserID.
const Server = ""

// Gate admits a server of a name that has [APIKey], and users.
func (w *World) Gate(server string) *api.Gate {
	w.Helper()
	sum := sha256.Sum256([]byte(APIKey))
	keys, err := api.ParseKeys([]string{server + ":" + hex.EncodeToString(sum[:])})
	w.Must(err)
	return &api.Gate{Keys: keys, Users: w.Users}
}

// Request is a request of a user, or of [Server]. key is an Idempotency-Key.
func (w *World) Request(user, method, path, body string, key ...string) *http.Request {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, k := range key {
		r.Header.Set("Idempotency-Key", k)
	}
	r.Header.Set("Authorization", "Bearer "+APIKey)
	if user != Server {
		sig, err := w.Users.Sign(user, time.Hour)
		w.Must(err)
		r.Header.Set("Authorization", "UserSig "+user+":"+sig)
	}
	return r
}

// Store is an empty store in a file. It ends with the test.
func Store(t testing.TB, clock *kvtest.Clock) *boltkv.Store {
	t.Helper()
	store, err := boltkv.Open(t.TempDir()+"/state", boltkv.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// Reply is an answer over HTTP.
type Reply struct {
	Status int
	Code   string // of an error
	Text   string
}

// Ask sends a request to a handler.
func (w *World) Ask(h http.Handler, r *http.Request) Reply {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	var failed struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(answer.Body.Bytes(), &failed)
	return Reply{answer.Code, failed.Error.Code, answer.Body.String()}
}

// Into decodes an answer, which must be a good one.
func Into[T any](t testing.TB, a Reply) (v T) {
	t.Helper()
	if a.Status >= http.StatusMultipleChoices {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if err := json.Unmarshal([]byte(a.Text), &v); err != nil {
		t.Fatalf("%s: %v", a.Text, err)
	}
	return v
}
