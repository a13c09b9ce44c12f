package features_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/userdata"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

const day = 24 * time.Hour

// leftOver returns what a dump says of users outside of the records that the forms of
// all features leave: those that are kept, and those that expire in time.
func leftOver(dump []kvtest.Stored, names ...string) (found []string) {
	for _, is := range dump {
		text := is.Partition + " " + is.Key + " " + is.Text
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) }) && !stays(is) {
			found = append(found, text)
		}
	}
	return found
}

// stays reports whether a form says that such a record stays. What has no expiry is
// about to be worked off.
func stays(is kvtest.Stored) bool {
	for _, s := range users.Sources {
		for _, f := range s.Forms {
			fits := strings.HasPrefix(is.Partition, f.Partition) && (is.Segment || strings.HasPrefix(is.Key, f.Key) || f.Key != "" && f.Key[0] == '/' && strings.Contains(is.Key, f.Key))
			if fits && (f.Does == userdata.Keeps || f.Does == userdata.Expires && time.Until(is.Expires) < f.Within+day) {
				return true
			}
		}
	}
	return false
}

// TestEraseEverywhere: a user did something in every feature, and is erased. Nothing
// of the user is left but what is named, and another user lost nothing.
func TestEraseEverywhere(t *testing.T) {
	tickets := httptest.NewServer(desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360}))
	t.Cleanup(tickets.Close)
	var record *kvtest.Recorder
	b := kit.OpenBundleOver(t, func(s kv.Store) kv.Store { record = kvtest.Record(s); return record }, map[string]string{
		"ZENDESK_URL": tickets.URL, "ZENDESK_CLIENT_ID": "app", "ZENDESK_CLIENT_SECRET": "s", "ZENDESK_GROUP_FIELD": "360", "ZENDESK_WEBHOOK_SECRETS": "a secret of this test",
		"MATCH_HOOK_URL": "http://127.0.0.1:1", "MATCH_HOOK_KEY": "a key of this test alone", "ROOM_HISTORY": "100",
	})
	const erased, other, secret = "zz-erased", "zz-other", "the-text-of-who-is-erased"
	ask := func(r *http.Request, method, key string, want ...int) kit.Answer {
		t.Helper()
		r.Method = method
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		a := b.Do(r)
		if !slices.Contains(want, a.Status) {
			t.Errorf("%s %s: %d %s", method, r.URL.Path, a.Status, a.Text)
		}
		return a
	}
	server := func(method, path, key, body string) kit.Answer {
		t.Helper()
		return ask(kit.Post(path, kit.Key, body), method, key, 200, 201, 202)
	}
	boss, _ := b.Login("boss")
	server("POST", "/rooms", "r", `{"roomId":"stage","name":"Stage","owner":"boss"}`)
	server("PUT", "/rooms/stage/status", "", `{"status":"live","version":1}`)
	server("POST", "/communities", "c", `{"communityId":"town","name":"Town","owner":"boss"}`)
	server("PUT", "/communities/town/roles/helper", "", `{"permissions":["post","voice","thread"]}`)
	server("PUT", "/gifts/rose", "", `{"name":"Rose","price":10}`)
	community := server("GET", "/communities/town", "", "").Text
	channel := between(community, `"channelId":"`, `"`)
	before, _, _ := strings.Cut(community, `"kind":"voice"`)
	voice := between(before[max(0, strings.LastIndex(before, `"channelId":"`)):], `"channelId":"`, `"`)
	topic := between(community, `"topicId":"`, `"`)
	if err := boss.Join("stage"); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{erased, other} {
		text := "the-text-of-" + user
		if user == erased {
			text = secret
		}
		client, sig := b.Login(user)
		own := func(method, path, key, body string, want ...int) kit.Answer {
			t.Helper()
			r := kit.Post(path, "", body)
			r.Header.Set("Authorization", "UserSig "+user+":"+sig)
			return ask(r, method, key, append(want, 200, 201, 202, 204)...)
		}
		for _, group := range []string{"stage", "@TGS#_town"} {
			if err := client.Join(group); err != nil {
				t.Fatal(err)
			}
		}
		sent, err := client.Send("stage", imtest.Draft{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Send("stage", imtest.Draft{Text: "join my casino now " + text}); err == nil {
			t.Error("not refused")
		}
		if sent, err = client.Send("@TGS#_town", imtest.Draft{Text: text, TopicID: topic}); err != nil {
			t.Fatal(err)
		}
		if err := b.IM.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		in := "/communities/town/channels/" + url.PathEscape(channel)
		message := in + "/messages/" + fmt.Sprint(sent.Seq)
		// Live rooms and wallets.
		server("POST", "/wallets/"+user+"/topup", "t"+user, `{"amount":500}`)
		own("POST", "/rooms/stage/gifts", "g", `{"giftId":"rose","count":2,"price":10}`)
		own("PUT", "/rooms/stage/subscription", "", "")
		server("PUT", "/rooms/stage/memberships/"+user, "", `{"level":2}`)
		server("POST", "/rooms/stage/mute", "m"+user, `{"userId":"`+user+`","seconds":60}`)
		// Communities.
		server("PUT", "/communities/town/members/"+user+"/role", "", `{"role":"helper"}`)
		own("POST", in+"/read", "", `{"msgSeq":1}`)
		own("PUT", message+"/reactions/heart", "", "")
		own("PATCH", message, "", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"edited `+text+`"}}]}`)
		own("POST", "/communities/town/threads", "th", `{"channelId":"`+channel+`","name":"about","msgSeq":`+fmt.Sprint(sent.Seq)+`}`)
		own("PUT", "/communities/town/voice/"+url.PathEscape(voice)+"/me", "", `{}`)
		server("POST", "/communities/town/mute", "cm"+user, `{"userId":"`+user+`","channelId":"`+channel+`","seconds":60}`)
		// A team, a ticket, mail, a strike, a credential.
		own("POST", "/teams", "team", `{"size":3}`)
		own("POST", "/createticket", "ticket", `{"userId":"`+user+`","caseInfo":{"desc":"`+text+`"}}`)
		server("POST", "/mail", "mail"+user, `{"title":"Hello","text":"for you","to":{"users":["`+user+`"]}}`)
		server("POST", "/moderation/strikes/"+user, "", `{"weight":1,"reason":"spam"}`)
		server("POST", "/usersig", "", `{"userID":"`+user+`"}`)
	}
	b.Tick()
	if err := b.IM.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.StopWork()
	exported := server("GET", "/users/"+erased+"/records?limit=100", "", "").Text
	for _, feature := range []string{"moderation", "liveroom", "community", "roomstats", "desk", "mail"} {
		if !strings.Contains(exported, `"feature":"`+feature+`"`) {
			t.Errorf("the export has nothing of %s", feature)
		}
	}
	kept := leftOver(record.Dump(t), other, "the-text-of-"+other)
	for more := true; more; {
		a := server("DELETE", "/users/"+erased+"/records", "", "")
		more = a.JSON["more"] == true
		for _, feature := range []string{"desk", "match"} {
			waits, _ := a.JSON["waits"].([]any)
			if !more && !strings.Contains(fmt.Sprint(waits), "feature:"+feature+" why:") {
				t.Errorf("%s: nothing waits: %s", feature, a.Text)
			}
		}
	}
	found := slices.DeleteFunc(leftOver(record.Dump(t), erased, secret), func(text string) bool {
		return slices.ContainsFunc([]string{"desk/ticket/", "desk/user/", "match/team/", "userdata/"}, func(p string) bool { return strings.HasPrefix(text, p) })
	})
	if len(found) > 0 {
		t.Errorf("left of the user:\n%s", strings.Join(found, "\n"))
	}
	if after := leftOver(record.Dump(t), other, "the-text-of-"+other); !slices.Equal(kept, after) || len(kept) < 8 {
		t.Errorf("of another user, before:\n%s\nafter:\n%s", strings.Join(kept, "\n"), strings.Join(after, "\n"))
	}
	if a := server("GET", "/rooms/stage/anchor", "", ""); !strings.Contains(a.Text, `"fansNum":1`) {
		t.Errorf("fans: %s", a.Text)
	}
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}
