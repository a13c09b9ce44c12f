package imtest_test

import (
	"slices"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// Apps share a server and nothing else: not users, groups, callbacks, rates,
// logins or misbehaviour.
func TestAppsAreApart(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	other := newBackend(t)
	second := w.server.AddApp(imtest.AppConfig{SDKAppID: 1400000002, Key: "another key", CallbackURL: other.URL})
	if again := w.server.AddApp(imtest.AppConfig{SDKAppID: 1400000002, Key: "a third"}); again != second {
		t.Error("one SDKAppID, two apps")
	}
	if _, err := second.Login("alice", w.sig("alice"), imtest.Device{}); imtest.Code(err) != 70014 {
		t.Errorf("a UserSig of the other app: %v", err)
	}
	before := asJSON(second.State())
	second.Misbehave(imtest.Chaos{Refuse: 1})
	if _, err := alice.Send("team", imtest.Draft{Text: "here"}); err != nil {
		t.Fatal(err)
	}
	w.do("im_open_login_svc/kick", `{"UserID":"bob"}`)
	w.settle()
	if got := texts(bob.Received()); got[len(got)-1] != "here" {
		t.Errorf("bob received %q", got)
	}
	if after := asJSON(second.State()); after != before || len(other.calls) != 0 {
		t.Errorf("the other app noticed: %s, %d callbacks", after, len(other.calls))
	}
	second.Reset()
	if kinds := alice.Events(); slices.ContainsFunc(kinds, func(e imtest.Event) bool { return e.Kind == "kickedOffline" }) {
		t.Error("a reset of one app logged users of the other out")
	}
}
