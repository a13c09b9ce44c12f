package imtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// documented are the codes that IM's pages list for REST calls and that the
// emulator may answer with (1047/34348, 269/1671).
var documented = []int{
	60002, 60003, 60004, 60006, 60007, 60009, 60010, 60012, 60025, 60026,
	70001, 70003, 70005, 70009, 70013, 70014, 70020, 70052, 70107, 70399, 70402,
	50001, 50003, 30001, 30003, 31704, 40001, 40003, 40009, 40601, 40605, 40610, 130001,
	20003, 20022, 20023, 90001, 90002, 90003, 90005, 90007, 90008, 90011, 90012, 90020, 90024, 90026, 90031, 90032, 90033, 90044,
	90045, 90047, 90048, 90054, 93000, 80002,
	10004, 10005, 10007, 10008, 10010, 10014, 10015, 10019, 10021, 10023, 10025, 10030, 10035, 10036, 10045, 10046, 10047, 10048,
	10049, 10053, 10058, 10059, 10062, 10063, 11000, 110009, 110010,
}

// fuzzWorld is a furnished world that is made anew once something changed it.
type fuzzWorld struct {
	*world
	fresh  bool
	before string
	token  string // alice's, for pages
}

func newFuzzWorld(f *testing.F) *fuzzWorld {
	return &fuzzWorld{world: newWorld(f, func(c *imtest.AppConfig) { c.CallbackURL = "" })}
}

// renew furnishes the world, unless it is as furnished.
func (w *fuzzWorld) renew(t *testing.T) {
	w.t = t
	if w.fresh {
		return
	}
	w.app.Reset()
	w.app.SetConsole(imtest.Console{})
	alice, _ := furnish(w.world)
	w.token = alice.Token()
	w.before, w.fresh = asJSON(w.app.State()), true
}

// serve answers a request without a network.
func (w *fuzzWorld) serve(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return rec
}

// unchanged fails unless the world is as it was furnished.
func (w *fuzzWorld) unchanged(t *testing.T, what string) {
	if after := asJSON(w.app.State()); after != w.before {
		w.fresh = false
		t.Errorf("%s changed the state\nfrom %s\nto   %s", what, w.before, after)
	}
}

// segment reports whether a text is one segment of a path as it stands.
func segment(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/")
}

// Whatever a REST call says, IM's envelope comes back with a documented code,
// and what failed changed nothing.
func FuzzREST(f *testing.F) {
	for _, e := range examples {
		service, command, _ := strings.Cut(e.command, "/")
		f.Add(service, command, e.body)
		f.Add(service, command, `{}`)
		f.Add(service, command, strings.NewReplacer(`"alice"`, `["alice"]`, `"team"`, `"nowhere"`, `1`, `-1`).Replace(e.body))
		f.Add(service, command, strings.NewReplacer(`"bob"`, `"nobody"`, `[`, `[null,`).Replace(e.body))
	}
	f.Add("openim", "no_such_command", `{}`)
	f.Add("openim", "sendmsg", `[`)
	f.Add("openim", "sendmsg", ``)
	w := newFuzzWorld(f)
	query := url.Values{"sdkappid": {fmt.Sprint(appID)}, "identifier": {admin}, "usersig": {w.sig(admin)}, "random": {"1"}, "contenttype": {"json"}}.Encode()
	f.Fuzz(func(t *testing.T, service, command, body string) {
		if !segment(service) || !segment(command) {
			return
		}
		w.renew(t)
		r := httptest.NewRequest(http.MethodPost, "/v4/x/y?"+query, strings.NewReader(body))
		r.URL.Path = "/v4/" + service + "/" + command
		rec := w.serve(r)
		var answer struct {
			ActionStatus string
			ErrorCode    *int
			ErrorInfo    *string
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); rec.Code != http.StatusOK || err != nil || answer.ErrorCode == nil || answer.ErrorInfo == nil {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		what := fmt.Sprintf("%s/%s %.300s", service, command, body)
		switch n := *answer.ErrorCode; {
		case n == 0 && answer.ActionStatus != "FAIL":
			w.fresh = false
		case n == 0, answer.ActionStatus != "FAIL":
			t.Errorf("%s: %s", what, rec.Body)
		case !slices.Contains(documented, n):
			t.Errorf("%s: code %d is not documented", what, n)
		default:
			w.unchanged(t, what)
		}
	})
}

// Whatever a page sends, it gets JSON; an error has a status, a code and a
// sentence, and changed nothing.
func FuzzPage(f *testing.F) {
	for _, seed := range []struct{ method, path, body string }{
		{"POST", "/client/login", `{"sdkAppId":1400000000,"userId":"alice","userSig":"eJw","platform":"iOS"}`},
		{"POST", "/client/logout", `{}`},
		{"POST", "/client/disconnect", `{}`},
		{"POST", "/client/vanish", `{}`},
		{"POST", "/client/heartbeat", `{}`},
		{"POST", "/client/create", `{"type":"Public","groupId":"g","name":"G"}`},
		{"POST", "/client/create", `{"type":"Guild","name":"G"}`},
		{"POST", "/client/join", `{"groupId":"@TGS#_town"}`},
		{"POST", "/client/quit", `{"groupId":"team"}`},
		{"POST", "/client/quit", `{"groupId":"live"}`},
		{"POST", "/client/invite", `{"groupId":"team","userIds":["carol","nobody",""]}`},
		{"POST", "/client/admit", `{"groupId":"team","userId":"carol"}`},
		{"POST", "/client/send", `{"groupId":"@TGS#_town","topicId":"@TGS#_town@TOPIC#_hall","text":"hi","priority":"High","mentions":["@all"]}`},
		{"POST", "/client/send", `{"userId":"bob","body":[{"MsgType":"TIMFaceElem","MsgContent":{"Index":1}}],"random":4294967295,"custom":"c","onlineOnly":true}`},
		{"GET", "/client/history?groupId=team&count=2&before=9", ``},
		{"GET", "/client/history?userId=bob&before=1_1_1", ``},
		{"GET", "/emulator/apps", ``},
		{"GET", "/emulator/apps/1400000000/state", ``},
		{"GET", "/emulator/apps/1400000000/users/bob/seen", ``},
		{"GET", "/emulator/apps/1400000000/calls", ``},
		{"GET", "/emulator/apps/1400000000/callbacks", ``},
		{"POST", "/emulator/apps/1400000000/callbacks/1/replay", `{}`},
		{"POST", "/emulator/apps/1400000000/reset", `{}`},
		{"PUT", "/emulator/apps/1400000000/chaos", `{"duplicate":2}`},
		{"POST", "/emulator/apps/1400000000/faults", `{"command":"openim/sendmsg","faults":[{"status":200,"lateMillis":-1}]}`},
		{"PATCH", "/emulator/apps/1400000000/console", `{"callbackUrl":"http://127.0.0.1:1","callbackToken":"t","callbacks":[]}`},
		{"GET", "/emulator/clock", ``},
		{"POST", "/emulator/clock", `{"skewMillis":5}`},
	} {
		f.Add(seed.method, seed.path, seed.body)
	}
	w := newFuzzWorld(f)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || !slices.Contains([]string{"GET", "POST", "PUT", "PATCH"}, method) {
			return
		}
		if last := u.Path[strings.LastIndexByte(u.Path, '/')+1:]; last == "events" || last == "clock" || !strings.HasPrefix(u.Path, "/client/") && !strings.HasPrefix(u.Path, "/emulator/") {
			return // streams have no end, and the clock is everybody's
		}
		w.renew(t)
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL = u
		r.Header.Set("Authorization", "Bearer "+w.token)
		rec := w.serve(r)
		w.app.Misbehave(imtest.Chaos{})
		switch {
		case rec.Code < 300:
			w.fresh = false
			if !json.Valid(rec.Body.Bytes()) {
				t.Errorf("%s %s: %d %q", method, path, rec.Code, rec.Body)
			}
		case rec.Code < 400, rec.Header().Get("Content-Type") != "application/json": // the mux: another path or method
		default:
			var answer struct {
				Error struct {
					Code    int
					Message string
				}
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.Error.Code == 0 || answer.Error.Message == "" || rec.Code >= 500 {
				t.Errorf("%s %s %.300s: %d %q", method, path, body, rec.Code, rec.Body)
			}
			w.unchanged(t, fmt.Sprintf("%s %s %.300s", method, path, body))
		}
	})
}
