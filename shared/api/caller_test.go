package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func TestParseKeys(t *testing.T) {
	k, err := api.ParseKeys([]string{"shop:" + hash("one"), "game:" + strings.ToUpper(hash("two"))})
	if err != nil || !k.HasKey("one") || !k.HasKey("two") || k.HasKey("three") || k.HasKey("") {
		t.Errorf("%v", err)
	}
	for name, list := range map[string][]string{
		"no name":       {":" + hash("one")},
		"no hash":       {"shop"},
		"the key":       {"shop:one-secret-key"},
		"a short hash":  {"shop:abcd"},
		"a second name": {"shop:" + hash("one"), "shop:" + hash("two")},
	} {
		if _, err := api.ParseKeys(list); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGate(t *testing.T) {
	now := time.Unix(1700000000, 0)
	users, err := usersig.NewSignerAt(1400000001, "a-key-of-this-test", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id string) string {
		sig, err := users.Sign(id, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	keys, err := api.ParseKeys([]string{"shop:" + hash("one")})
	if err != nil {
		t.Fatal(err)
	}
	alice := sign("alice")
	open := &api.Gate{Keys: keys, Users: users}
	closed := &api.Gate{Keys: keys}
	later := &api.Gate{Keys: keys}
	if later.Users, err = usersig.NewSignerAt(1400000001, "a-key-of-this-test", func() time.Time { return now.Add(2 * time.Hour) }); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		gate   *api.Gate
		header string
		caller api.Caller
		any    int // status through Any
		server int // status through Server
		says   string
	}{
		{"nobody", open, "", api.Caller{}, 401, 401, "who is calling"},
		{"a server", open, "Bearer one", api.Caller{Server: "shop"}, 200, 200, ""},
		{"a server, other case", open, "bearer one", api.Caller{Server: "shop"}, 200, 200, ""},
		{"a wrong key", open, "Bearer two", api.Caller{}, 401, 401, "not known"},
		{"an empty key", open, "Bearer ", api.Caller{}, 401, 401, "who is calling"},
		{"a hash for a key", open, "Bearer " + hash("one"), api.Caller{}, 401, 401, "not known"},
		{"a user", open, "UserSig alice:" + alice, api.Caller{UserID: "alice", Issued: now, Expires: now.Add(time.Hour)}, 200, 403, "only servers"},
		{"a user with a colon", open, "UserSig a:b:" + sign("a:b"), api.Caller{UserID: "a:b", Issued: now, Expires: now.Add(time.Hour)}, 200, 403, "only servers"},
		{"as another", open, "UserSig bob:" + alice, api.Caller{}, 401, 401, "not accepted"},
		{"no signature", open, "UserSig alice", api.Caller{}, 401, 401, "who is calling"},
		{"expired", later, "UserSig alice:" + alice, api.Caller{}, 401, 401, "expired"},
		{"users not accepted", closed, "UserSig alice:" + alice, api.Caller{}, 401, 401, "API key"},
		{"another scheme", open, "Basic b25lOm9uZQ==", api.Caller{}, 401, 401, "who is calling"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			caller, err := tt.gate.Caller(r)
			if caller != tt.caller || (err == nil) != (tt.any == 200) {
				t.Errorf("%+v, %v", caller, err)
			}
			if err != nil && fault.CodeOf(err) != fault.Unauthenticated {
				t.Errorf("code %s", fault.CodeOf(err))
			}
			h := api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				if api.CallerFrom(r.Context()) != tt.caller {
					t.Errorf("the handler sees %+v", api.CallerFrom(r.Context()))
				}
				api.Reply(w, 200, nil)
				return nil
			})
			for _, through := range []struct {
				http.Handler
				want int
			}{{tt.gate.Any(h), tt.any}, {tt.gate.Server(h), tt.server}} {
				w := httptest.NewRecorder()
				through.ServeHTTP(w, r)
				if w.Code != through.want || w.Code != 200 && !strings.Contains(w.Body.String(), tt.says) {
					t.Errorf("%d %s, want %d saying %q", w.Code, w.Body, through.want, tt.says)
				}
			}
		})
	}
}
