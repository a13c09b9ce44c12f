package friend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community/friend"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// Users ask for friends, list them page by page and end friendships; servers do so for
// anybody, without asking; fields are kept by IM.
func TestFriends(t *testing.T) {
	clock := kvtest.NewClock()
	w := rulestest.New(t, clock, rulestest.Options{})
	mux := http.NewServeMux()
	friend.New(w.Client()).Routes(mux, api.RoutesConfig{Gate: w.Gate("shop")})
	do := func(user, method, path, body string) (int, string) {
		t.Helper()
		a := httptest.NewRecorder()
		mux.ServeHTTP(a, w.Request(user, method, path, body))
		return a.Code, a.Body.String()
	}
	const many = 25
	for i := range many {
		w.Login(fmt.Sprintf("user%02d", i))
	}
	w.Login("ann")
	w.Login("shy")
	w.Must(w.Client().SetPortrait(t.Context(), "shy", im.TextItem("Tag_Profile_IM_AllowType", "AllowType_Type_NeedConfirm")))
	if status, text := do("ann", "PUT", "/friends/user00", `{"remark":"a colleague","fields":{"team":"red"}}`); status != 200 || !strings.Contains(text, `"state":"friends"`) {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := do("ann", "PUT", "/friends/user00", `{"remark":"a friend"}`); status != 200 || !strings.Contains(text, `"state":"friends"`) {
		t.Errorf("twice: %d %s", status, text)
	}
	if status, text := do("ann", "PUT", "/friends/shy", `{"wording":"it is me"}`); status != 200 || !strings.Contains(text, `"state":"pending"`) {
		t.Errorf("%d %s", status, text)
	}
	for i := 1; i < many; i++ {
		if status, text := do("", "PUT", fmt.Sprintf("/friends/user%02d?userId=ann", i), `{}`); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	var all []friend.Friend
	for after := ""; ; {
		_, text := do("ann", "GET", "/friends?limit=10&after="+after, ``)
		var page struct {
			Friends []friend.Friend
			Next    string
		}
		w.Must(json.Unmarshal([]byte(text), &page))
		all = append(all, page.Friends...)
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all) != many {
		t.Errorf("%d friends", len(all))
	}
	for _, f := range all {
		if f.UserID == "user00" && (f.Remark != "a friend" || f.Fields["team"] != "red") {
			t.Errorf("%+v", f)
		}
	}
	for _, c := range []struct {
		who, method, path, body string
		status                  int
	}{
		{"ann", "DELETE", "/friends/user00", ``, 200},
		{"ann", "DELETE", "/friends/user00", ``, 200},
		{"ann", "GET", "/friends?userId=bob", ``, 403},
		{"", "GET", "/friends", ``, 400},
		{"", "GET", "/friends?userId=ann", ``, 200},
		{"ann", "GET", "/friends?after=x", ``, 400},
		{"ann", "PUT", "/friends/ann", `{}`, 400},
		{"ann", "PUT", "/friends/nobody", `{}`, 404},
		{"ann", "PUT", "/friends/user01", `{"remark":"` + strings.Repeat("x", 97) + `"}`, 400},
		{"ann", "PUT", "/friends/user01", `{"fields":{"ninebytes":"x"}}`, 400},
		{"ann", "PUT", "/friends/user01", `{"note":"x"}`, 400},
	} {
		if status, text := do(c.who, c.method, c.path, c.body); status != c.status {
			t.Errorf("%+v: %d %s", c, status, text)
		}
	}
}
