package liveroom_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// push is the name of a room's stream, as its push URL has it.
func (p *process) push(id string) string {
	p.Helper()
	a := rulestest.Into[liveroom.Access](p, p.do("ann", "POST", "/rooms/"+id+"/media", `{"role":"anchor"}`))
	u, err := url.Parse(a.PushURL)
	p.Must(err)
	return path.Base(u.Path)
}

// TestStreamDrivesStatus: a stream that starts makes a room live; one that ends and
// does not start within the grace period pauses it.
func TestStreamDrivesStatus(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	stream := p.push("show")
	ok := func(a rulestest.Reply) {
		t.Helper()
		if a.Status != http.StatusOK || strings.TrimSpace(a.Text) != `{"code":0}` {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		p.work()
	}
	status := func(want liveroom.Status) {
		t.Helper()
		if got := p.room("show").Status; got != want {
			t.Errorf("the room is %s, want %s", got, want)
		}
	}
	start := w.Clock.Now()
	ok(p.css(stream, 1, start, "s1"))
	status(liveroom.Live)
	ok(p.css(stream, 1, start, "s1")) // repeated
	for _, other := range []int{100, 200, 321, 341, 332} {
		ok(p.css(stream, other, start.Add(time.Hour), "s9"))
	}
	// A reconnect within the grace period is no news.
	w.Advance(time.Minute)
	ok(p.css(stream, 0, w.Clock.Now(), "s1"))
	p.after(grace - 2*time.Second)
	ok(p.css("show", 1, w.Clock.Now(), "s2")) // by the roomId, too
	p.minutes(3)
	status(liveroom.Live)
	if got := w.statuses("show"); got != "live" {
		t.Errorf("told %s", got)
	}
	// A new push replaces the old one: the end of the old one, told late, ends nothing.
	ok(p.css(stream, 0, w.Clock.Now(), "s1"))
	p.minutes(2)
	status(liveroom.Live)
	// The end, to the second.
	ok(p.css(stream, 0, w.Clock.Now(), "s2"))
	p.after(grace - time.Second)
	status(liveroom.Live)
	p.after(2 * time.Second)
	status(liveroom.Paused)
	// An older event never wins.
	ok(p.css(stream, 1, start, "s1"))
	ok(p.css(stream, 1, start.Add(time.Minute), "s2"))
	status(liveroom.Paused)
	// The end of a push comes before its start.
	at := w.Clock.Now()
	ok(p.css(stream, 0, at.Add(time.Second), "s3"))
	ok(p.css(stream, 1, at, "s3"))
	status(liveroom.Paused)
	ok(p.css(stream, 1, at.Add(2*time.Second), "s4"))
	status(liveroom.Live)
	p.inStep("show")
	// An ended room stays ended.
	p.becomes("show", liveroom.Ended)
	ok(p.css(stream, 0, at.Add(3*time.Second), "s4"))
	ok(p.css(stream, 1, at.Add(4*time.Second), "s5"))
	p.minutes(2)
	status(liveroom.Ended)
	if got := w.statuses("show"); got != "live paused live ended" {
		t.Errorf("told %s", got)
	}
	// Streams of no room, and of a room that had the id before, are acknowledged.
	ok(p.css("nobody", 1, w.Clock.Now(), "s1"))
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/show/close", `{}`))
	p.work()
	w.Advance(2 * time.Second)
	p.opens2("show")
	ok(p.css(stream, 1, w.Clock.Now(), "s6"))
	ok(p.css("show", 1, start, "s7")) // told very late
	status(liveroom.Waiting)
	ok(p.css(p.push("show"), 1, w.Clock.Now(), "s8"))
	status(liveroom.Live)
	p.minutes(2)
	p.Quiet(p.ledger)
}

// TestEventsAreSigned: what CSS did not sign, or signed for another time, changes
// nothing.
func TestEventsAreSigned(t *testing.T) {
	w := onBolt(t)
	store := &watched{Store: w.store}
	p := w.process(store)
	p.opens("show")
	store.changes()
	future := w.Clock.Now().Add(time.Minute).Unix()
	event := `{"stream_id":"show","event_type":1,"event_time":%d,"sequence":"s","t":%d,"sign":%q}`
	for name, body := range map[string]string{
		"no signature":    fmt.Sprintf(event, future, future, ""),
		"a wrong one":     fmt.Sprintf(event, future, future, strings.Repeat("0", 32)),
		"nothing":         ``,
		"a list":          `[]`,
		"a text for t":    `{"stream_id":"show","event_type":1,"t":"x","sign":""}`,
		"no type":         `{}`,
		"too long a body": `{"stream_id":"` + strings.Repeat("x", 70<<10) + `"}`,
	} {
		if a := p.cssRaw(body); a.Status < 400 || a.Status >= 500 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	signed := w.Clock.Now()
	a := p.css("show", 0, signed, "s0")
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	store.changes()
	w.conf.Media.CallbackKey = ""
	q := w.process(store)
	if a := q.css("show", 1, w.Clock.Now(), "s1"); a.Status != http.StatusForbidden {
		t.Errorf("without a key of ours: %d %s", a.Status, a.Text)
	}
	if changed := store.changes(); len(changed) > 0 {
		t.Errorf("changed %s", changed)
	}
	if got := p.room("show").Status; got != liveroom.Waiting {
		t.Errorf("the room is %s", got)
	}
}

// TestEventsOfTheManual: events with every field of CSS's manual (267/38081), and as
// others have logged them, start and end a stream. Only the stream's name, the times
// and the signature are of this test.
func TestEventsOfTheManual(t *testing.T) {
	const (
		started = `{"app":"test.domain.com","appid":12345678,"appname":"live","channel_id":%[1]q,"errcode":0,"errmsg":"ok","event_time":%[2]d,` +
			`"event_type":1,"height":0,"idc_id":34,"node":"42.81.194.37","sequence":"2210464508206756938","set_id":2,"sign":%[4]q,"stream_id":%[1]q,` +
			`"stream_param":"stream_param=test","t":%[3]d,"user_ip":"1.1.1.1","width":0}`
		ended = `{"app":"test.domain.com","appid":12345678,"appname":"live","channel_id":%[1]q,"errcode":1,"errmsg":"The push client actively stopped the push",` +
			`"event_time":%[2]d,"event_type":0,"height":480,"idc_id":34,"node":"42.81.194.37","push_duration":"13500","sequence":"2210464508206756938",` +
			`"set_id":2,"sign":%[4]q,"stream_id":%[1]q,"stream_param":"stream_param=test","t":%[3]d,"user_ip":"1.1.1.1","width":640}`
		// A push of 2017, and its end by the RTMP connection.
		startedThen = `{"app":"push.example.com ","appid":1251457656,"appname":"live","channel_id":%[1]q,"errcode":0,"errmsg":"Maybe Error return Data no record!",` +
			`"event_time":%[2]d,"event_type":1,"idc_id":34,"node":"125.39.15.21","sequence":"7037777160241957731","set_id":2,"sign":%[4]q,` +
			`"stream_id":%[1]q,"stream_param":"bizid=1&txSecret=secret&txTime=59c91afc&record=hls","t":%[3]d,"user_ip":"61.135.194.200"}`
		endedThen = `{"app":"push.example.com","appid":1251457656,"appname":"live","channel_id":%[1]q,"errcode":2,"errmsg":"recv rtmp closeStream",` +
			`"event_time":%[2]d,"event_type":0,"idc_id":34,"node":"125.39.15.21","sequence":"7037777160241957731","set_id":2,"sign":%[4]q,` +
			`"stream_id":%[1]q,"stream_param":"bizid=1&txSecret=secret","t":%[3]d,"user_ip":"61.135.194.200"}`
	)
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	stream := p.push("show")
	for _, step := range []struct {
		event string
		want  liveroom.Status
	}{{started, liveroom.Live}, {ended, liveroom.Paused}, {startedThen, liveroom.Live}, {endedThen, liveroom.Paused}} {
		w.Advance(time.Minute)
		until := w.Clock.Now().Add(10 * time.Minute).Unix()
		sum := md5.Sum(fmt.Appendf(nil, "%s%d", cssKey, until))
		if a := p.cssRaw(fmt.Sprintf(step.event, stream, w.Clock.Now().Unix(), until, hex.EncodeToString(sum[:]))); a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		p.minutes(2)
		if got := p.room("show").Status; got != step.want {
			t.Errorf("after %s: %s, want %s", step.event, got, step.want)
		}
	}
}

// TestLateSignatureIsRefused: the signature is right, and its time is over.
func TestLateSignatureIsRefused(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	body := p.signedEvent("show", 1, w.Clock.Now(), "s1", w.Clock.Now().Add(10*time.Minute))
	w.Advance(10*time.Minute + time.Second)
	if a := p.cssRaw(body); a.Status != http.StatusForbidden {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	if got := p.room("show").Status; got != liveroom.Waiting {
		t.Errorf("the room is %s", got)
	}
}

// TestMedia: who may broadcast gets a URL to push to, everybody what to watch with.
func TestMedia(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("a_room/of@ann")
	id := url.PathEscape("a_room/of@ann")
	get := func(user, role string) rulestest.Reply {
		return p.do(user, "POST", "/rooms/"+id+"/media", fmt.Sprintf(`{"role":%q}`, role))
	}
	anchor, viewer := rulestest.Into[liveroom.Access](p, get("mod", "anchor")), rulestest.Into[liveroom.Access](p, get("bob", "audience"))
	until := w.Clock.Now().Add(10 * time.Minute).UTC()
	if !anchor.ExpiresAt.Equal(until) || anchor.PrivateMapKey == "" || viewer.PrivateMapKey == "" || viewer.PushURL != "" {
		t.Errorf("%+v %+v", anchor, viewer)
	}
	hex := fmt.Sprintf("%X", until.Unix())
	form := regexp.MustCompile(`^rtmp://push\.example\.com/live/([a-z0-9]+)\?txSecret=[0-9a-f]{32}&txTime=` + hex + `$`)
	m := form.FindStringSubmatch(anchor.PushURL)
	if m == nil {
		t.Fatalf("the push URL %s", anchor.PushURL)
	}
	for scheme, got := range map[string]string{"rtmp": viewer.PlayURLs.RTMP, "https": viewer.PlayURLs.FLV, "https ": viewer.PlayURLs.HLS} {
		if !strings.HasPrefix(got, strings.TrimSpace(scheme)+"://play.example.com/live/"+m[1]) || !strings.Contains(got, "&txTime="+hex) {
			t.Errorf("%s: %s", scheme, got)
		}
	}
	if strings.Contains(viewer.PlayURLs.RTMP, strings.Split(strings.Split(anchor.PushURL, "txSecret=")[1], "&")[0]) {
		t.Error("the key to push is the key to play")
	}
	// A PrivateMapKey is no login.
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/rooms/"+id, nil)
	r.Header.Set("Authorization", "UserSig bob:"+viewer.PrivateMapKey)
	if a := p.send(r); a.Status != http.StatusUnauthorized {
		t.Errorf("a PrivateMapKey proves a user: %d %s", a.Status, a.Text)
	}
	for user, want := range map[string]int{"bob": 403, server: 403, "ann": 200} {
		if a := get(user, "anchor"); a.Status != want {
			t.Errorf("%q as anchor: %d %s", user, a.Status, a.Text)
		}
	}
	if a := get("bob", "owner"); a.Status != 400 {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/"+id+"/close", `{}`))
	if a := get("bob", "audience"); a.Code != "room_closed" {
		t.Errorf("%d %s", a.Status, a.Text)
	}
}

// TestTRTCAlone: without CSS there is a PrivateMapKey and no URL.
func TestTRTCAlone(t *testing.T) {
	w := onBolt(t)
	w.conf.Media = liveroom.Media{Signer: w.Users, TTL: time.Minute}
	p := w.process(w.store)
	p.opens("show")
	a := p.do("ann", "POST", "/rooms/show/media", `{"role":"anchor"}`)
	if got := rulestest.Into[map[string]any](p, a); len(got) != 2 || got["privateMapKey"] == "" {
		t.Errorf("%s", a.Text)
	}
}
