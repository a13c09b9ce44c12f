package features_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/userdata"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestBundleInOneProcess: IM asks the filter about a member's messages and tells
// the counter of those that were delivered.
func TestBundleInOneProcess(t *testing.T) {
	b := kit.OpenBundle(t, nil)
	alice, _ := b.Login("alice")
	if _, err := alice.CreateGroup("Public", "lobby", "lobby"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Send("lobby", imtest.Draft{Text: "good evening"}); err != nil {
		t.Error(err)
	}
	if _, err := alice.Send("lobby", imtest.Draft{Text: "join my casino"}); err == nil {
		t.Error("the filter let a message of the default rule set pass")
	}
	if err := b.IM.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Tick()
	if a := b.Do(kit.Get("/rooms/lobby/stats", kit.Key)); a.JSON["messages"] != 1.0 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestBannedUserGetsNowhere: whoever asks, and wherever, a banned user gets no
// credential and acts on no route.
func TestBannedUserGetsNowhere(t *testing.T) {
	desk := httptest.NewServer(desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360}))
	t.Cleanup(desk.Close)
	b := kit.OpenBundle(t, map[string]string{
		"ZENDESK_URL": desk.URL, "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s", "ZENDESK_GROUP_FIELD": "360", "ZENDESK_WEBHOOK_SECRETS": "a secret of this test",
		"MATCH_HOOK_URL": "http://127.0.0.1:1", "MATCH_HOOK_KEY": "a key of this test alone",
	})
	_, sig := b.Login("mallory")
	if a := b.Do(kit.Post("/moderation/strikes/mallory", kit.Key, `{"weight":10,"reason":"spam"}`)); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	as := func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", "UserSig mallory:"+sig)
		r.Header.Set("Idempotency-Key", rand.Text())
		return r
	}
	for name, r := range map[string]*http.Request{
		"a server asks for the UserSig":          kit.Post("/usersig", kit.Key, `{"userID":"mallory"}`),
		"a server asks for both credentials":     kit.Post("/credentials", kit.Key, `{"identity":"mallory"}`),
		"a server asks for the JWT":              kit.Post("/virgil-jwt", kit.Key, `{"identity":"mallory"}`),
		"the user asks for both credentials":     as(kit.Post("/credentials", "", "")),
		"the user asks for the JWT":              as(kit.Post("/virgil-jwt", "", "")),
		"the user makes a team":                  as(kit.Post("/teams", "", `{"size":3}`)),
		"the user opens a ticket":                as(kit.Post("/createticket", "", `{"userId":"mallory","caseInfo":{"desc":"let me in"}}`)),
		"the user looks at what a room is about": as(kit.Get("/rooms/lobby/stats", "")),
	} {
		if a := b.Do(r); a.Status != http.StatusForbidden || !strings.Contains(a.Text, `"banned"`) {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
}

// TestLists: each feature stands once, in the list that says what it has.
func TestLists(t *testing.T) {
	for i, f := range features.All() {
		hears, works := i < len(features.Hearing()), i < len(features.Working())
		if f.Callbacks != hears || (f.Callbacks || f.Queue != wiring.None || f.Jobs) != works {
			t.Errorf("%s: callbacks %v, queue %v, and it is in another list", f.Name, f.Callbacks, f.Queue != wiring.None)
		}
		for _, other := range features.All()[:i] {
			if f.Name == other.Name || f.Function == other.Function {
				t.Errorf("%s and %s have a name in common", f.Name, other.Name)
			}
		}
	}
}

// TestUserRecords: every feature says which records of a user it keeps, so that none
// is forgotten when one asks to be erased.
func TestUserRecords(t *testing.T) {
	known := map[string]bool{}
	for _, s := range users.Sources {
		known[s.Feature] = true
		if len(s.Forms) == 0 && s.Feature != "virgil" {
			t.Errorf("%s says nothing of a user", s.Feature)
		}
		for _, f := range s.Forms {
			if f.Holds == "" || f.Does == "" || f.Does == userdata.Expires && f.Within == 0 || f.Does == userdata.Keeps && f.Why == "" {
				t.Errorf("%s: %+v does not say what is held, what an erasure does, until when, or why", s.Feature, f)
			}
		}
	}
	for _, f := range features.All() {
		if !known[f.Name] {
			t.Errorf("shared/wiring/users does not say where %s keeps records of a user", f.Name)
		}
	}
}
