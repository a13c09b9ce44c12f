package compile

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
)

func TestBadRuleSets(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"no JSON":          {`words: casino`, "rule set"},
		"more behind":      {`{"version":"1"} {"version":"2"}`, "closing brace"},
		"no version":       {`{"words":[]}`, "version"},
		"misspelt field":   {`{"version":"1","words":[{"text":"x","acton":"drop"}]}`, "acton"},
		"no text":          {`{"version":"1","words":[{"text":"x"},{"category":"y"}]}`, "word 2"},
		"no letter":        {`{"version":"1","words":[{"text":" -*- "}]}`, "no letter"},
		"invisible":        {`{"version":"1","words":[{"text":"\u200b\u0301"}]}`, "no letter"},
		"very long":        {`{"version":"1","words":[{"text":"` + strings.Repeat("a", MaxWord+1) + `"}]}`, "bytes"},
		"unknown action":   {`{"version":"1","words":[{"text":"x","action":"explode"}]}`, "explode"},
		"allowed word":     {`{"version":"1","words":[{"text":"x","action":"allow"}]}`, "allow"},
		"severity":         {`{"version":"1","words":[{"text":"x","severity":6}]}`, "severity 6"},
		"category of all":  {`{"version":"1","words":[{"text":"x","category":"*"}]}`, "stands for all categories"},
		"empty phrase":     {`{"version":"1","allow":["x",""]}`, "phrase 2"},
		"unknown scope":    {`{"version":"1","scopes":{"group":{"*":"drop"}}}`, "group"},
		"unnamed room":     {`{"version":"1","scopes":{"room:":{"*":"drop"}}}`, "room:"},
		"scope's action":   {`{"version":"1","scopes":{"c2c":{"*":"explode"}}}`, "explode"},
		"scope's category": {`{"version":"1","words":[{"text":"x","category":"y"}],"scopes":{"c2c":{"z":"drop"}}}`, `"z"`},
	} {
		if _, err := Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
		}
	}
}

// TestTooManyWays: a number of many digits is no word to write in every way.
func TestTooManyWays(t *testing.T) {
	set, err := Parse([]byte(`{"version":"1","words":[{"text":"13800138000","numerals":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Compile(set); err == nil || !strings.Contains(err.Error(), "word 1") {
		t.Errorf("compiled: %v", err)
	}
}

func TestDefaultImageIsUpToDate(t *testing.T) {
	want, err := Compile(Default())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../default.image")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("default.image is not default.json compiled: see default.go for the command")
	}
	conflicts, err := Conflicts(Default())
	if err != nil || len(conflicts) > 0 {
		t.Errorf("the default rule set: %v %v", conflicts, err)
	}
}

func TestDefaultRulesWork(t *testing.T) {
	list := wordlist.Default()
	for text, words := range map[string]int{"come to my c4s1n0": 1, "今晚一起吃饭": 0, "主办证书": 0, "來賭　場": 1, "ｶｼﾞﾉで遊ぶ": 1} {
		if hits := find(list, text); len(hits) != words {
			t.Errorf("%q: %v, want %d", text, hits, words)
		}
	}
}

func TestConflicts(t *testing.T) {
	set, err := Parse([]byte(`{"version":"1","words":[
		{"text":"casino"},{"text":"ＣＡＳＩＮＯ"},{"text":"c-a-s-i-n-o","word":false},
		{"text":"a"},{"text":"http://bad.example"},{"text":"办证"}],
		"allow":["办证","nothing"]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Conflicts(set)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`word 2 "ＣＡＳＩＮＯ" repeats word 1 "casino"`,
		`word 4 "a" is a single letter`,
		`word 5 "http://bad.example" is not hit as it stands; does it need "urls"?`,
		`word 6 "办证" is allowed by a phrase as it stands`,
		`allowed phrase 2 "nothing" has no word in it`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("conflicts\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
