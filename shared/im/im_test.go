package im_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

func TestGroupTypesHaveTwoNames(t *testing.T) {
	for name, want := range map[im.GroupType]im.GroupType{
		"Private": im.Work, "Work": im.Work, "ChatRoom": im.Meeting, "Meeting": im.Meeting,
		"Public": im.Public, "AVChatRoom": im.AVRoom, "Community": im.Community, "Live": im.Live, "Later": "Later",
	} {
		if got := name.Normal(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestPlainTextIsWhatWasTyped(t *testing.T) {
	b := append(im.Text("see "), im.Custom("data", "desc", "ext")...)
	b = append(b, im.Text("this")...)
	if got := b.PlainText(); got != "see this" {
		t.Errorf("got %q", got)
	}
}

func TestElementsEncodeAsIMWantsThem(t *testing.T) {
	got, err := json.Marshal(append(im.Text("hi"), im.Custom("d", "", "e")...))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}},{"MsgType":"TIMCustomElem","MsgContent":{"Data":"d","Desc":"","Ext":"e"}}]`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestRobots(t *testing.T) {
	if !im.IsRobot("@RBT#001") || im.IsRobot("jared") || im.IsRobot(strings.ToLower("@RBT#001")) {
		t.Error("robots are those whose id starts with @RBT#")
	}
}
