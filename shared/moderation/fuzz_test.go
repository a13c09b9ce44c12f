package moderation

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

// FuzzVisit: valid JSON stays valid, only the texts that were replaced differ,
// and nothing else is touched, whatever the content is.
func FuzzVisit(f *testing.F) {
	for _, content := range []string{
		`{"Text":"fuck this"}`, `{"Data":"{\"a\":[\"fuck\",1]}","Ext":""}`, `{"Text":"a\\\"b","Text":"\ud83d"}`, `[1,{"Text":"fuck"}]`,
		`{"MsgList":[{"MsgBody":[{"MsgContent":{"Text":"fuck"}}]}]}`, `{"Text":`, `{"Text"`, `"`, `{]}`, ``, `{"a":{"Text":"fuck"}`,
	} {
		f.Add(content)
	}
	list := wordlist.Default()
	f.Fuzz(func(t *testing.T, content string) {
		body := im.MsgBody{{MsgType: im.TextElem, MsgContent: json.RawMessage(content)}}
		j := newJudgement(t.Context(), list, message{Held: Held{MsgBody: body}})
		defer j.release()
		visitBody(body, j)
		masked := visitBody(body, masker{j})
		if string(body[0].MsgContent) != content {
			t.Fatal("the message that came was written to")
		}
		if !json.Valid([]byte(content)) {
			return
		}
		if !json.Valid(masked[0].MsgContent) {
			t.Fatalf("%s became %s", content, masked[0].MsgContent)
		}
		if j.action == 0 && !reflect.DeepEqual(masked, body) {
			t.Fatalf("clean %s became %s", content, masked[0].MsgContent)
		}
		// As decoded, nothing but texts may differ, and those in letters alone.
		var is, was any
		_ = json.Unmarshal([]byte(content), &was)
		_ = json.Unmarshal(masked[0].MsgContent, &is)
		if !alike(was, is) {
			t.Fatalf("%s became %s", content, masked[0].MsgContent)
		}
	})
}

// alike reports whether two values are the same but for the letters of texts.
func alike(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, is := b.(map[string]any)
		if !is || len(a) != len(b) {
			return false
		}
		for name := range a {
			if _, there := b[name]; !there || !alike(a[name], b[name]) {
				return false
			}
		}
		return true
	case []any:
		b, is := b.([]any)
		if !is || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !alike(a[i], b[i]) {
				return false
			}
		}
		return true
	case string:
		b, is := b.(string)
		return is && (a == b || strings.Contains(b, "*"))
	}
	return a == b
}

// TestCleanMessagesCostNoMemory: all of the rule, from the event to the decision.
func TestCleanMessagesCostNoMemory(t *testing.T) {
	f := New(Config{Lists: Fixed(wordlist.Default())})
	for name, body := range map[string]im.MsgBody{
		"text":   im.Text(strings.Repeat("good evening, 晚上好 ", 20)),
		"place":  {{MsgType: im.LocationElem, MsgContent: json.RawMessage(`{"Desc":"at the harbour","Latitude":1.5,"Longitude":2}`)}},
		"relay":  {{MsgType: im.RelayElem, MsgContent: json.RawMessage(`{"Title":"t","MsgList":[{"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]}]}`)}},
		"custom": im.Custom("no JSON", "a description", ""),
	} {
		m := message{Held: Held{From: "jane", GroupID: "room", GroupType: im.AVRoom, MsgBody: body}}
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() { f.judge(ctx, m) }); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	f := New(Config{Lists: Fixed(wordlist.Default())})
	for name, size := range map[string]int{"100B": 100, "12KB": 12_000} {
		b.Run(name, func(b *testing.B) {
			m := message{Held: Held{From: "jane", GroupID: "room", GroupType: im.AVRoom, MsgBody: im.Text(strings.Repeat("a red packet for you ", size/21))}}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				f.judge(b.Context(), m)
			}
		})
	}
}
