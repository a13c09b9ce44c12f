package moderation_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

const rules = `{"version":"1","words":[
	{"text":"Casino","category":"gambling"},
	{"text":"赌场","category":"gambling","action":"reject"},
	{"text":"buy followers","category":"spam","action":"drop"}]}`

func TestVerdicts(t *testing.T) {
	parsed, err := moderation.ParseRules([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	mux := callback.NewMux()
	moderation.NewFilter(parsed).Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: 1, Token: "t", Mux: mux})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		body im.MsgBody
		code int
	}{
		{"clean", im.Text("good evening"), 0},
		{"a word", im.Text("join my casino now"), 1},
		{"other case", im.Text("CaSiNo"), 1},
		{"chinese", im.Text("来我的赌场吧"), 1},
		{"dropped", im.Text("Buy followers here"), 2},
		{"in the second element", append(im.Text("hello"), im.Text("casino")...), 1},
		{"in a custom element", im.Custom(`{"note":"casino"}`, "", ""), 1},
		{"in a custom element's description", im.Custom("{}", "casino", ""), 1},
		{"beside a field of the wrong type", im.MsgBody{{MsgType: im.TextElem, MsgContent: json.RawMessage(`{"Desc":5,"Text":"casino"}`)}}, 1},
		{"in a relayed message", im.MsgBody{{MsgType: im.RelayElem, MsgContent: json.RawMessage(
			`{"Title":"t","MsgList":[{"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"casino"}}]}]}`,
		)}}, 1},
		{"an element nobody knows", im.MsgBody{{MsgType: "TIMTomorrowElem", MsgContent: json.RawMessage(`{"Text":"casino"}`)}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range []callback.Event{
				&callback.C2CBeforeSendMsg{Base: callback.Base{CallbackCommand: "C2C.CallbackBeforeSendMsg"}, From: "a", To: "b", MsgBody: tt.body},
				&callback.GroupBeforeSendMsg{Base: callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"}, GroupID: "g", MsgBody: tt.body},
			} {
				if code := ask(t, endpoint, e); code != tt.code {
					t.Errorf("%s: ErrorCode %d, want %d", e.Command(), code, tt.code)
				}
			}
		})
	}
}

// ask sends an event as IM does and returns the verdict.
func ask(t *testing.T, endpoint *callback.Endpoint, e callback.Event) int {
	t.Helper()
	body, err := callback.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	r, err := callback.Signer{SDKAppID: 1, Token: "t"}.Request(context.Background(), "http://filter.invalid/im", "", body)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	var a struct{ ErrorCode *int }
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.ErrorCode == nil {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	return *a.ErrorCode
}

func TestBadRuleSets(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"no JSON":          {`words: casino`, "rule set"},
		"no version":       {`{"words":[]}`, "version"},
		"empty word":       {`{"version":"1","words":[{"text":" "}]}`, "word 1"},
		"misspelt field":   {`{"version":"1","words":[{"text":"x","acton":"drop"}]}`, "acton"},
		"unknown action":   {`{"version":"1","words":[{"text":"x","action":"explode"}]}`, "explode"},
		"more behind":      {`{"version":"1"} {"version":"2"}`, "closing brace"},
		"larger than 1MiB": {`{"version":"` + strings.Repeat("1", moderation.MaxRules) + `"}`, "bytes"},
	} {
		if _, err := moderation.ParseRules([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
		}
	}
}

func TestDefaultRulesWork(t *testing.T) {
	if _, found := moderation.DefaultRules().Find("come to my casino"); !found {
		t.Error("the example of the front page is not found")
	}
}
