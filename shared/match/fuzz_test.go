package match

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/queue"
)

func posted(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func callerOf(server bool) api.Caller {
	if server {
		return api.Caller{Server: "game"}
	}
	return api.Caller{UserID: "ann"}
}

// FuzzAsked: what is accepted is a team that IM can make, of the user who asks.
func FuzzAsked(f *testing.F) {
	for _, seed := range []string{
		`{"mode":"ranked","size":3,"captain":"ann"}`, `{"size":2}`, `{"size":1e2}`, `{"size":-1,"captain":"@RBT#1"}`, `{"size":"3"}`,
		`{"mode":"a\nb","size":3}`, `{"size":3,"captain":"a b"}`, `[]`, ``, `{"size":9223372036854775808}`, `{"size":null}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, server bool) {
		a, err := readAsked(posted(body), callerOf(server))
		if err != nil {
			if fault.CodeOf(err).Status() >= 500 {
				t.Errorf("%v is somebody else's fault", err)
			}
			return
		}
		if usersig.CheckUserID(a.Captain) != nil || !server && a.Captain != "ann" || a.Size < MinSize || a.Size > MaxSize || len(a.Mode) > MaxMode ||
			strings.ContainsAny(a.Mode, "\r\n\x00") {
			t.Errorf("accepted %+v", a)
		}
	})
}

// FuzzUsers: what is accepted are users whom IM can let in at once.
func FuzzUsers(f *testing.F) {
	for _, seed := range []string{`{}`, `{"userIds":["ann","bob"]}`, `{"userIds":[]}`, `{"userIds":["a b"]}`, `{"userIds":[null]}`, `{"userIds":7}`, `[]`} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, server bool) {
		users, err := readUsers(posted(body), callerOf(server))
		if err != nil {
			if fault.CodeOf(err).Status() >= 500 || users != nil {
				t.Errorf("%v with %q", err, users)
			}
			return
		}
		if n := len(users); n == 0 || n > MaxJoin || slices.ContainsFunc(users, func(id string) bool { return checkUser("a user", id) != nil }) {
			t.Errorf("accepted %q", users)
		}
	})
}

// FuzzOrder: what a job brings names a group that can be one, or is refused.
func FuzzOrder(f *testing.F) {
	for _, seed := range []string{`{"groupId":"team-1"}`, `{"groupId":"@TGS#2J4","full":true}`, `{"groupId":""}`, `{"groupId":"a\u0000"}`, `7`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := orderOf(queue.Job{Body: body})
		if (err == nil) != isGroupID(o.GroupID) || len(o.GroupID) > im.MaxGroupID && err == nil {
			t.Errorf("%+v: %v", o, err)
		}
	})
}

// FuzzTeam: whoever comes and goes, and whatever the hook answers, a team keeps
// to its own rules: it starts with those it has, each start has a number of its
// own, and after a call that may have been taken no other is made.
func FuzzTeam(f *testing.F) {
	for _, seed := range []string{"\x00\x07\x20\x07\x10", "\x07\x11\x07\x05\x07\x13\x03\x21", "\x07\x20\x20\x22\x06\x07", "\x07\x40\x40\x40\x40"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, moves []byte) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		conf := Config{Wait: 30 * time.Minute, Life: time.Hour, GiveUp: 10 * time.Minute}
		tm := team{Size: 3, Status: Open, Until: now.Add(conf.Wait), Captain: "a", Members: []Member{{"a", 0}}}
		tm.Told = told{Status: Open, Captain: "a", Members: []string{"a"}}
		var taken []string // starts that the hook may have taken
		seen := make(map[string]string)
		for _, move := range moves {
			switch move >> 4 {
			case 0: // bits say who is in the group
				var g group
				for i, id := range []string{"a", "b", "c", "d"} {
					if move>>i&1 == 1 {
						g.members = append(g.members, Member{id, int64(i)})
					}
				}
				if len(g.members) > 0 {
					g.captain = g.members[0].UserID
				}
				tm.see("team", g, now, conf.Wait)
			case 1, 2: // a call, answered somehow
				if tm.Status != Starting && tm.Status != Calling {
					continue
				}
				doubt := tm.Status == Calling
				tm.Status = Calling
				a := answer(move & 3)
				if (a == unknown || a == accepted) && !slices.Contains(taken, tm.Start.ID) {
					taken = append(taken, tm.Start.ID)
				}
				if a == refused {
					taken = slices.DeleteFunc(taken, func(id string) bool { return id == tm.Start.ID })
				}
				tm.answered(a, 0, doubt, now, conf)
				if !tm.Start.Next.After(now) {
					t.Errorf("%+v: the next call is not later", tm)
				}
			case 3:
				now = now.Add(time.Duration(move&15) * time.Minute)
			case 4:
				tm.tell("team")
				if tm.Notice != nil {
					tm.hear()
				}
			}
			if len(taken) > 1 {
				t.Fatalf("after %q perhaps taken: %s", moves, taken)
			}
			if at := tm.lookAt(now); !tm.over() && !at.After(now) && tm.Until.After(now) {
				t.Errorf("%+v is looked at at %v, and it is %v", tm, at, now)
			}
			if tm.Start == nil {
				continue
			}
			value, err := json.Marshal(tm.Start.Start)
			if err != nil {
				t.Fatal(err)
			}
			if was, is := seen[tm.Start.ID]; is && was != string(value) || len(tm.Start.Members) < tm.Size {
				t.Errorf("start %s, before %s", value, was)
			}
			seen[tm.Start.ID] = string(value)
		}
	})
}
