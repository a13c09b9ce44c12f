package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// TestBans: a banned user calls no route of users; while nobody can tell, the
// setting decides.
func TestBans(t *testing.T) {
	users, err := usersig.NewSigner(1400000001, "a key for these tests alone")
	if err != nil {
		t.Fatal(err)
	}
	until := func(_ context.Context, userID string) (time.Time, error) {
		switch userID {
		case "mallory":
			return time.Now().Add(time.Hour), nil
		case "trent":
			return time.Time{}, errors.New("the store is away")
		}
		return time.Time{}, nil
	}
	for _, refuse := range []bool{false, true} {
		gate := &api.Gate{Users: users, Bans: &api.Bans{Until: until, RefuseUnknown: refuse}}
		h := gate.Any(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusNoContent)
			return nil
		})
		unknown := http.StatusNoContent
		if refuse {
			unknown = http.StatusServiceUnavailable
		}
		for userID, want := range map[string]int{"alice": http.StatusNoContent, "mallory": http.StatusForbidden, "trent": unknown} {
			sig, err := users.Sign(userID, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/teams", nil)
			r.Header.Set("Authorization", "UserSig "+userID+":"+sig)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("refuse %v, %s: status %d, want %d", refuse, userID, w.Code, want)
			}
		}
	}
}

// TestBansWaitForNobody: a store that hangs holds a user up for less than a
// second, and a caller who gives up gets the context's own error.
func TestBansWaitForNobody(t *testing.T) {
	var allowed time.Duration
	bans := &api.Bans{RefuseUnknown: true, Until: func(ctx context.Context, _ string) (time.Time, error) {
		deadline, _ := ctx.Deadline()
		allowed = time.Until(deadline)
		return time.Time{}, errors.New("too late")
	}}
	if err := bans.Check(t.Context(), "alice"); fault.CodeOf(err) != fault.Unavailable || allowed <= 0 || allowed >= time.Second {
		t.Errorf("%v after %v, want %s within a second", err, allowed, fault.Unavailable)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bans.Check(gone, "alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
