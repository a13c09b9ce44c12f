package community_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

func voicePath(name string, ch community.Channel, rest string) string {
	return "/communities/" + name + "/voice/" + url.PathEscape(ch.ChannelID) + rest
}

// present is who is in which voice channels of a community, as channel:user.
func (p *process) present(name string) (list []string) {
	p.Helper()
	got := rulestest.Into[struct{ Channels []voice.Channel }](p, p.do(server, "GET", "/communities/"+name+"/voice", ``))
	for _, ch := range got.Channels {
		for _, m := range ch.Members {
			list = append(list, ch.ChannelID+":"+m.UserID)
		}
	}
	slices.Sort(list)
	return list
}

// trtc sends an event of a TRTC room.
func (p *process) trtc(kind int, room, user string, at time.Time, key string) int {
	p.Helper()
	body, err := json.Marshal(map[string]any{"EventGroupId": 1, "EventType": kind, "CallbackTs": at.UnixMilli(), "EventInfo": map[string]any{
		"RoomId": room, "EventTs": at.Unix(), "EventMsTs": at.UnixMilli(), "UserId": user, "Role": 20, "Reason": 1,
	}})
	p.Must(err)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	r := httptest.NewRequestWithContext(p.Context(), "POST", "/trtc/events", strings.NewReader(string(body)))
	r.Header.Set("Sign", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	p.routes.ServeHTTP(w, r)
	return w.Code
}

// Voice channels: one seat over all communities, with flags; every way to lose it.
func TestVoice(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("town")
	p.opens("city")
	for _, name := range []string{"town", "city"} {
		for _, user := range []string{"bob", "cat"} {
			w.Must(w.Login(user).Join(prefix + name))
		}
	}
	p.work()
	lobby, games, plaza := p.channel("town", "lobby"), p.channel("town", "games"), p.channel("city", "lobby")
	rulestest.Into[any](p, p.do("bob", "PUT", voicePath("town", lobby, "/me"), `{"muted":true}`))
	got := rulestest.Into[struct{ Channels []voice.Channel }](p, p.do("cat", "GET", "/communities/town/voice", ``))
	if len(got.Channels) != 2 || len(got.Channels[0].Members) != 1 || !got.Channels[0].Members[0].Muted || got.Channels[0].ChannelID != lobby.ChannelID {
		t.Errorf("%+v", got)
	}
	rulestest.Into[any](p, p.do("bob", "PUT", voicePath("city", plaza, "/me"), `{}`))
	if a, b := p.present("town"), p.present("city"); len(a) != 0 || len(b) != 1 {
		t.Errorf("in two servers: %v %v", a, b)
	}
	if a := p.do("bob", "POST", voicePath("town", lobby, "/me/heartbeat"), `{}`); a.Status != http.StatusConflict {
		t.Errorf("a heartbeat from where he is not: %d %s", a.Status, a.Text)
	}
	rulestest.Into[any](p, p.do("bob", "DELETE", voicePath("town", lobby, "/me"), ``)) // a leave that comes late
	if len(p.present("city")) != 1 {
		t.Error("a leave of another channel empties the seat")
	}
	// A heartbeat writes in the last third of the timeout only, and for a flag.
	dump := w.dump()
	w.Advance(voiceTimeout / 3)
	rulestest.Into[any](p, p.do("bob", "POST", voicePath("city", plaza, "/me/heartbeat"), `{}`))
	if w.dump() != dump {
		t.Error("a heartbeat writes early")
	}
	a := rulestest.Into[struct{ Channels []voice.Channel }](p, p.do("bob", "POST", voicePath("city", plaza, "/me/heartbeat"), `{"speaking":true}`))
	if !a.Channels[0].Members[0].Speaking || w.dump() == dump {
		t.Errorf("%+v", a)
	}
	w.Advance(voiceTimeout - time.Second)
	rulestest.Into[any](p, p.do("bob", "POST", voicePath("city", plaza, "/me/heartbeat"), `{}`))
	w.Advance(voiceTimeout - time.Second)
	if len(p.present("city")) != 1 {
		t.Error("a heartbeat does not prolong")
	}
	// Every way to lose a seat.
	w.Advance(time.Second)
	if len(p.present("city")) != 0 || strings.Contains(w.dump(), "community-voice/@TGS#_city") {
		t.Errorf("power off: %v\n%s", p.present("city"), w.dump())
	}
	sits := func() { rulestest.Into[any](p, p.do("bob", "PUT", voicePath("town", lobby, "/me"), `{}`)) }
	for name, lose := range map[string]func(){
		"left": func() { rulestest.Into[any](p, p.do("bob", "DELETE", voicePath("town", lobby, "/me"), ``)) },
		"exit": func() { w.Must(w.Login("bob").Quit("@TGS#_town")); p.work() },
		"kicked": func() {
			rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/kick", `{"userId":"bob"}`))
			p.work()
		},
		"no voice": func() {
			rulestest.Into[any](p, p.do("ann", "PATCH", path("town", lobby, ""), fmt.Sprintf(`{"kind":"text","version":%d}`, p.get("town").Version)))
		},
	} {
		sits()
		w.Advance(time.Second)
		lose()
		if got := p.present("town"); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
		rulestest.Into[any](p, p.do("ann", "POST", "/communities/town/unkick", `{"userId":"bob"}`))
		if !isIn(p, "@TGS#_town", "bob") {
			w.Advance(time.Second)
			w.Must(w.Login("bob").Join("@TGS#_town"))
			p.work()
		}
		if ch := p.channel("town", "lobby"); ch.Kind != community.Voice {
			rulestest.Into[any](p, p.do("ann", "PATCH", path("town", lobby, ""), fmt.Sprintf(`{"kind":"voice","version":%d}`, p.get("town").Version)))
		}
		w.Advance(time.Second)
	}
	sits()
	rulestest.Into[any](p, p.do("ann", "DELETE", path("town", lobby, ""), ``))
	if got := p.present("town"); len(got) != 0 || strings.Contains(w.dump(), lobby.Short()) {
		t.Errorf("a deleted channel: %v\n%s", got, w.dump())
	}
	// Refusals.
	rulestest.Into[any](p, p.do("ann", "PUT", "/communities/town/members/cat/role", `{"role":"writer"}`))
	for _, c := range []struct {
		who, method, path string
		status            int
	}{
		{"bob", "PUT", voicePath("town", p.channel("town", "general"), "/me"), 400},
		{"bob", "PUT", voicePath("town", lobby, "/me"), 404},
		{"bob", "PUT", voicePath("nowhere", lobby, "/me"), 404},
		{"cat", "PUT", voicePath("town", games, "/me"), 403},
		{"cat", "POST", voicePath("town", games, "/media"), 403},
		{"stranger", "PUT", voicePath("town", games, "/me"), 403},
		{server, "PUT", voicePath("town", games, "/me"), 403},
		{"bob", "PUT", voicePath("town", games, "/me"), 200},
	} {
		if a := p.do(c.who, c.method, c.path, `{}`); a.Status != c.status {
			t.Errorf("%+v: %d %s", c, a.Status, a.Text)
		}
	}
	// A key for the room, and the room's events.
	access := rulestest.Into[voice.Access](p, p.do("bob", "POST", voicePath("town", games, "/media"), `{}`))
	if claims, err := w.Users.Verify("bob", access.PrivateMapKey); err != nil || claims.Buf == nil || len(access.RoomID) > 64 {
		t.Errorf("%+v: %v", access, err)
	}
	now := w.Clock.Now()
	if code := p.trtc(104, access.RoomID, "bob", now, "another key"); code != http.StatusForbidden {
		t.Errorf("an event of somebody else: %d", code)
	}
	if p.trtc(104, access.RoomID, "bob", now.Add(-time.Minute), eventKey); len(p.present("town")) != 1 {
		t.Error("an exit from before the entry empties the seat")
	}
	w.Advance(time.Second)
	if p.trtc(104, access.RoomID, "bob", w.Clock.Now(), eventKey); len(p.present("town")) != 0 {
		t.Error("an exit from the room leaves the seat")
	}
	if p.trtc(103, access.RoomID, "bob", now, eventKey); len(p.present("town")) != 0 {
		t.Error("an entry from before the exit takes the seat")
	}
	w.Advance(time.Second)
	if p.trtc(103, access.RoomID, "bob", w.Clock.Now(), eventKey); len(p.present("town")) != 1 {
		t.Error("an entry into the room takes no seat")
	}
	if code := p.trtc(103, "bcv-unknown", "bob", w.Clock.Now(), eventKey); code != 200 {
		t.Errorf("a room of another: %d", code)
	}
}

// Users join and leave at random over 50 channels of several communities, while a part
// of the reports and events is lost, late, or comes twice: never is anybody in two
// channels at once, and within the timeout after the last change the list is the truth.
func TestVoiceConverges(t *testing.T) {
	users, steps := enginetest.Size(100, 1000), enginetest.Size(600, 8000)
	w := onBolt(t)
	p := w.process(w.store)
	var channels []community.Channel
	var rooms, names []string
	all := make([]string, users)
	for i := range all {
		all[i] = fmt.Sprintf("user%04d", i)
		w.Login(all[i])
	}
	for i := range 5 {
		name := fmt.Sprint("town", i)
		p.opens(name)
		if _, err := w.Client().AddGroupMembers(t.Context(), prefix+name, all, true); err != nil {
			t.Fatal(err)
		}
		p.work()
		for j := range 10 {
			ch := p.adds(name, fmt.Sprintf(`{"name":"voice%d","kind":"voice"}`, j), fmt.Sprint(name, j))
			channels, names = append(channels, ch), append(names, name)
			rooms = append(rooms, rulestest.Into[voice.Access](p, p.do("ann", "POST", voicePath(name, ch, "/media"), `{}`)).RoomID)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	truth := make(map[string]int) // the channel that a user is in, -1 none
	type later struct {
		due time.Time
		do  func()
	}
	var waiting []later
	// send loses, repeats and delays what a client or TRTC tells.
	send := func(do func()) {
		switch random.IntN(10) {
		case 0, 1, 2: // lost
		case 3, 4:
			do()
			fallthrough
		default:
			waiting = append(waiting, later{w.Clock.Now().Add(time.Duration(random.IntN(5000)) * time.Millisecond), do})
		}
	}
	beats := func() { // clients say where they are
		for _, user := range all {
			if i, in := truth[user]; in && i >= 0 {
				p.do(user, "POST", voicePath(names[i], channels[i], "/me/heartbeat"), `{}`)
			}
		}
	}
	once := func() {
		seen := make(map[string]string)
		for i := range 5 {
			for _, one := range p.present(fmt.Sprint("town", i)) {
				at := strings.LastIndexByte(one, ':')
				channel, user := one[:at], one[at+1:]
				if before, twice := seen[user]; twice {
					t.Fatalf("%s is in %s and %s", user, before, channel)
				}
				seen[user] = channel
			}
		}
	}
	for step := range steps {
		user := all[random.IntN(users)]
		was, in := truth[user]
		in = in && was >= 0
		at := w.Clock.Now()
		if in && random.IntN(3) == 0 {
			truth[user] = -1
			send(func() { p.do(user, "DELETE", voicePath(names[was], channels[was], "/me"), ``) })
			send(func() { p.trtc(104, rooms[was], user, at, eventKey) })
		} else {
			i := random.IntN(len(channels))
			truth[user] = i
			if random.IntN(10) > 0 { // the app waits for the answer before it enters the room
				p.do(user, "PUT", voicePath(names[i], channels[i], "/me"), `{}`)
			}
			if in {
				send(func() { p.trtc(104, rooms[was], user, at, eventKey) })
			}
			send(func() { p.trtc(103, rooms[i], user, at, eventKey) })
		}
		w.Advance(time.Duration(20+random.IntN(60)) * time.Millisecond)
		now := w.Clock.Now()
		var due []later
		waiting = slices.DeleteFunc(waiting, func(l later) bool {
			if l.due.After(now) {
				return false
			}
			due = append(due, l)
			return true
		})
		random.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
		for _, l := range due {
			l.do()
		}
		if step%(steps/6) == 0 {
			once()
			beats()
		}
	}
	for _, l := range waiting {
		l.do()
	}
	// The stated time: the timeout, with the heartbeats that clients send in it.
	for range 4 {
		once()
		w.Advance(voiceTimeout/3 + time.Second)
		beats()
	}
	for _, user := range all {
		if i, in := truth[user]; in && i >= 0 { // one that lost its seat to an older claim
			p.do(user, "POST", voicePath(names[i], channels[i], "/me/heartbeat"), `{}`)
		}
	}
	once()
	for i := range 5 {
		var want []string
		for user, at := range truth {
			if at >= 0 && names[at] == fmt.Sprint("town", i) {
				want = append(want, channels[at].ChannelID+":"+user)
			}
		}
		slices.Sort(want)
		if got := p.present(fmt.Sprint("town", i)); !slices.Equal(got, want) {
			t.Errorf("town%d: %d in channels, %d are", i, len(got), len(want))
		}
	}
}
