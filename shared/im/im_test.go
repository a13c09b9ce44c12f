package im_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

func body(t *testing.T, text string) im.MsgBody {
	t.Helper()
	var b im.MsgBody
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

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

func TestTextsMissNothingThatPeopleSee(t *testing.T) {
	b := body(t, `[
		{"MsgType":"TIMTextElem","MsgContent":{"Text":"text"}},
		{"MsgType":"TIMCustomElem","MsgContent":{"Data":"data","Desc":"desc","Ext":"ext","Sound":"dingdong.aiff"}},
		{"MsgType":"TIMLocationElem","MsgContent":{"Desc":"place","Latitude":29.3,"Longitude":105.7}},
		{"MsgType":"TIMFileElem","MsgContent":{"FileName":"name.pdf","FileSize":7}},
		{"MsgType":"TIMStreamElem","MsgContent":{"CompatibleText":"old client","Chunks":[{"Markdown":"one"},{"Markdown":""},{"Markdown":"two"}]}},
		{"MsgType":"TIMRelayElem","MsgContent":{"Title":"title","CompatibleText":"old","AbstractList":["a: first",7,"b: second"],
		  "MsgList":[{"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"relayed"}}]}]}},
		{"MsgType":"TIMTextElem","MsgContent":{"Text":7}},
		{"MsgType":"TIMImageElem","MsgContent":{"UUID":"x"}},
		{"MsgType":"TIMHologramElem","MsgContent":{"Text":"unknown"}}]`)
	want := []string{
		"text", "data", "desc", "ext", "place", "name.pdf", "old client", "one", "two",
		"title", "old", "a: first", "", "b: second", "relayed",
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	if got := slices.Collect(b.Texts()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range b.Texts() {
		break // a reader may stop anywhere
	}
}

// A message of nothing but relays within relays ends.
func TestTextsFollowRelaysOnlySoFar(t *testing.T) {
	nested := `[{"MsgType":"TIMTextElem","MsgContent":{"Text":"deep"}}]`
	wrap := func(times int) im.MsgBody {
		b := nested
		for range times {
			b = `[{"MsgType":"TIMRelayElem","MsgContent":{"MsgList":[{"MsgBody":` + b + `}]}}]`
		}
		return body(t, b)
	}
	if got := slices.Collect(wrap(8).Texts()); !slices.Equal(got, []string{"deep"}) {
		t.Errorf("eight levels: %q", got)
	}
	if got := slices.Collect(wrap(9).Texts()); len(got) > 0 {
		t.Errorf("nine levels: %q", got)
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
