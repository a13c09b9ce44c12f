package match_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/match"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

// stage is what a benchmark plays on: an IM and a hook that answer at once, and a
// store in a file.
type stage struct {
	*testing.B
	chat   *im.Client
	teams  *match.Teams
	line   *queuetest.Line
	ledger *queue.Ledger
}

func newStage(b *testing.B) stage {
	emulator := imtest.NewServer(imtest.Options{})
	b.Cleanup(emulator.Close)
	emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: appKey, RatePerAPI: -1})
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		b.Cleanup(s.Close)
		return s.URL
	}
	chat, err := im.NewClient(im.Config{Domain: serve(emulator), SDKAppID: appID, Key: appKey, Admin: admin})
	if err != nil {
		b.Fatal(err)
	}
	store, err := boltkv.Open(filepath.Join(b.TempDir(), "state"), boltkv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	line := &queuetest.Line{}
	ledger := queue.NewLedger(store, line, nil)
	return stage{b, chat, match.New(match.Config{
		Store: store, Jobs: ledger, IM: chat, Sends: once.New(store, chat, nil), Notifier: admin,
		Hook: &match.Hook{URL: serve(matchtest.NewHook(hookKey, time.Now)), Key: hookKey},
		Wait: time.Hour, Life: time.Hour, GiveUp: time.Minute,
	}), line, ledger}
}

func (s stage) must(err error) {
	if err != nil {
		s.Fatal(err)
	}
}

// BenchmarkTeam measures a team of three from its making to its start, beside the
// six calls alone that it takes at the least.
//
//	go test -run '^$' -bench Team -benchtime 300x ./shared/match
func BenchmarkTeam(b *testing.B) {
	s := newStage(b)
	server := api.Caller{Server: "game"}
	n := 0
	b.Run("calls", func(b *testing.B) {
		for b.Loop() {
			n++
			id, others := fmt.Sprint("g", n), []string{fmt.Sprint("b", n), fmt.Sprint("c", n)}
			for _, user := range append(others, fmt.Sprint("a", n)) {
				s.must(s.chat.ImportAccount(b.Context(), im.Account{UserID: user}))
			}
			_, err := s.chat.CreateGroup(b.Context(), im.NewGroup{Type: im.Public, GroupID: id, Name: "team", Owner: fmt.Sprint("a", n), MaxMemberCount: 3})
			s.must(err)
			_, err = s.chat.AddGroupMembers(b.Context(), id, others, false)
			s.must(err)
			_, err = s.chat.SendGroupMsg(b.Context(), im.GroupMsg{GroupID: id, From: admin, Random: uint32(n), Body: im.Text("started")})
			s.must(err)
		}
	})
	b.Run("team", func(b *testing.B) {
		for b.Loop() {
			n++
			v, err := s.teams.Create(b.Context(), server, "", match.Asked{Size: 3, Captain: fmt.Sprint("a", n)})
			s.must(err)
			_, err = s.teams.Join(b.Context(), server, v.GroupID, []string{fmt.Sprint("b", n), fmt.Sprint("c", n)})
			s.must(err)
			s.must(s.line.Work(b.Context(), s.ledger, time.Now))
			if v, err = s.teams.View(b.Context(), server, v.GroupID); err != nil || v.Status != match.Started {
				b.Fatal(v, err)
			}
		}
	})
}

// BenchmarkCallback measures what IM waits for: that a member joined a group of
// somebody else's, that a team is full which has started, and that somebody joined
// a team, which becomes a job.
func BenchmarkCallback(b *testing.B) {
	s := newStage(b)
	server := api.Caller{Server: "game"}
	waiting, err := s.teams.Create(b.Context(), server, "", match.Asked{Size: 2, Captain: "ann"})
	s.must(err)
	started, err := s.teams.Create(b.Context(), server, "", match.Asked{Size: 2, Captain: "bob"})
	s.must(err)
	_, err = s.teams.Join(b.Context(), server, started.GroupID, []string{"cid"})
	s.must(err)
	s.must(s.line.Work(b.Context(), s.ledger, time.Now))
	rules := callback.NewMux()
	s.teams.Register(rules)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: appID, Token: token, Mux: rules})
	s.must(err)
	signer := callback.Signer{SDKAppID: appID, Token: token}
	for _, c := range []struct{ name, command, groupID string }{
		{"another group", "Group.CallbackAfterNewMemberJoin", "lobby"},
		{"full again", "Group.CallbackAfterGroupFull", started.GroupID},
		{"joined", "Group.CallbackAfterNewMemberJoin", waiting.GroupID},
	} {
		b.Run(c.name, func(b *testing.B) {
			body := fmt.Sprintf(`{"CallbackCommand":%q,"GroupId":%q,"Type":"Public"}`, c.command, c.groupID)
			for b.Loop() {
				r, err := signer.Request(b.Context(), "http://function.invalid/im", "", []byte(body))
				s.must(err)
				w := httptest.NewRecorder()
				endpoint.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
