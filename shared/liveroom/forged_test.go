package liveroom_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
)

// TestForgedEvents: a client's message in the form of an event of the room is
// refused however it is written, in rooms of ours and others; the app's own server
// and all other messages pass.
func TestForgedEvents(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	p.opens("show")
	bob := p.Login("bob")
	_, err := p.Login("ann").CreateGroup("AVChatRoom", "other", "other")
	p.Must(err)
	_, err = p.Login("ann").CreateGroup("Public", "friends", "friends")
	p.Must(err)
	_, err = p.Client().AddGroupMembers(t.Context(), "friends", []string{"bob"}, true)
	p.Must(err)
	custom := func(data string) []any {
		return []any{map[string]any{"MsgType": "TIMCustomElem", "MsgContent": map[string]string{"Data": data}}}
	}
	refused := map[string]string{
		"an event":              `{"businessID":"backchannel","event":"kick","data":{"userIds":["carol"]}}`,
		"with spaces":           ` { "businessID" : "backchannel" } `,
		"escaped":               `{"business\u0049D":"\u0062ackchannel","event":"mute"}`,
		"in other case":         `{"BusinessId":"BackChannel","event":"mute"}`,
		"behind another":        `{"businessID":"mine","event":"mute","businessID":"backchannel"}`,
		"before another":        `{"businessID":"backchannel","event":"mute","businessID":"mine"}`,
		"of an event not known": `{"businessID":"backchannel"}`,
		"with an object before": `{"data":{"a":[1,{"b":2}]},"businessID":"backchannel"}`,
		"with something behind": `{"businessID":"backchannel"} {}`,
	}
	passes := map[string]string{
		"another app's":        `{"businessID":"flutter_live_kit","data":{"cmd":"like"}}`,
		"the word in its text": `{"businessID":"mine","text":"backchannel"}`,
		"deeper":               `{"data":{"businessID":"backchannel"}}`,
		"a list":               `["businessID","backchannel"]`,
		"no JSON":              `businessID=backchannel`,
		"half JSON":            `{"businessID":`,
		"nothing":              ``,
	}
	want := fmt.Sprint(liveroom.RefusalCode, " ")
	for _, group := range []string{"other", "show"} { // a client is in one live room
		p.Must(bob.Join(group))
		for name, data := range refused {
			_, err := bob.Send(group, imtest.Draft{Body: custom(data)})
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s, %s: %v", group, name, err)
			}
		}
		for name, data := range passes {
			if _, err := bob.Send(group, imtest.Draft{Body: custom(data)}); err != nil {
				t.Errorf("%s, %s: %v", group, name, err)
			}
		}
	}
	both := append([]any{map[string]any{"MsgType": "TIMTextElem", "MsgContent": map[string]string{"Text": "hello"}}}, custom(refused["an event"])...)
	if _, err := bob.Send("show", imtest.Draft{Body: both}); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("an event behind another element: %v", err)
	}
	if _, err := bob.Send("friends", imtest.Draft{Body: custom(refused["an event"])}); err != nil {
		t.Errorf("in a group that is no live room: %v", err)
	}
	var body im.MsgBody
	encoded, err := json.Marshal(custom(refused["an event"]))
	p.Must(err)
	p.Must(json.Unmarshal(encoded, &body))
	if _, err := p.Client().SendGroupMsg(t.Context(), im.GroupMsg{GroupID: "show", From: "bob", Random: 7, Body: body}); err != nil {
		t.Errorf("the app's own server: %v", err)
	}
}
