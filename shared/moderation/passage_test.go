package moderation_test

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

// TestPassages: what is no message of a client is judged as one, in its scope;
// nothing waits for a moderator, and nobody gets a strike.
func TestPassages(t *testing.T) {
	struck, held := &offences{}, &holder{}
	f := moderation.New(moderation.Config{Lists: moderation.Fixed(compiled()), Holder: held, Striker: struck, StrikeFrom: 1})
	for _, tt := range []struct {
		p    moderation.Passage
		text string
		ok   bool
	}{
		{moderation.Passage{Text: "hello"}, "hello", true},
		{moderation.Passage{Text: "a casino"}, "", false},
		{moderation.Passage{Text: "buy followers"}, "", false},
		{moderation.Passage{Text: "oh damn it"}, "oh **** it", true},
		{moderation.Passage{Text: "a rumour"}, "a rumour", true},
		{moderation.Passage{Text: "meet me", To: "joe"}, "meet me", true},
		{moderation.Passage{Text: "meet me", GroupID: "g", GroupType: im.Public}, "", false},
		{moderation.Passage{Text: "a casino", GroupID: "@TGS#poker", GroupType: im.Public}, "a casino", true},
	} {
		tt.p.From = "@RBT#001"
		if text, ok := f.Passage(t.Context(), tt.p); text != tt.text || ok != tt.ok {
			t.Errorf("%+v: %q, %v; want %q, %v", tt.p, text, ok, tt.text, tt.ok)
		}
	}
	if len(struck.all)+len(held.held) > 0 {
		t.Errorf("%d strikes, %d held", len(struck.all), len(held.held))
	}
}
