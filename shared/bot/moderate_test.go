package bot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// strict is a moderation that knows three words, and two that are bad together.
type strict struct {
	mu    sync.Mutex
	heard []bot.Passage
	away  bool
}

func (s *strict) Judge(_ context.Context, p bot.Passage) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, p)
	if s.away {
		return "", false, errors.New("no opinion")
	}
	bad := strings.Contains(p.Text, "forbidden") || strings.Contains(p.Text, "left.") && strings.Contains(p.Text, "right.")
	return strings.ReplaceAll(p.Text, "darn", "****"), !bad, nil
}

func TestModeration(t *testing.T) {
	var tests []enginetest.Test
	for name, test := range map[string]func(*world){"Moderation": testModeration, "BlockedLate": testBlockedLate, "Subject": testSubject} {
		tests = append(tests, enginetest.Test{Name: name, Long: true, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) { test(newWorld(t, store, clock)) }})
	}
	enginetest.Run(t, tests)
}

// testSubject: a ticket's group is named after the summary that the model writes, unless
// that may not be shown, or nobody can say whether it may.
func testSubject(w *world) {
	moderation := &strict{}
	w.conf.Moderation = moderation
	for n, tt := range []struct{ summary, want string }{
		{"Torn jacket", "Torn jacket"}, {"A darn jacket\nthat is torn", "A **** jacket"}, {"forbidden words", "a person, please"}, {"", "a person, please"},
	} {
		desk := &people{}
		w.conf.HandOver = desk
		w.restart(w.store)
		w.model.Next(call(bot.HandOverTool, fmt.Sprintf(`{"summary":%q}`, tt.summary)))
		w.ask(w.Login(fmt.Sprint("jane", n)), "a person, please")
		if got := desk.tickets["1"].Subject; got != tt.want {
			w.Errorf("a ticket with the summary %q is called %q, want %q", tt.summary, got, tt.want)
		}
	}
}

// testBlockedLate: an answer in several messages is blocked in the end. Whenever the
// process dies, nothing of it stays in sight, one-to-one or in a group.
func testBlockedLate(w *world) {
	w.conf.Moderation = &strict{}
	w.conf.Stream.GroupEvery = time.Nanosecond
	w.restart(w.store)
	jane := w.Login("jane")
	w.Room("room", jane, robot)
	pieces := []string{"Turn left. "}
	for n := range 10 {
		pieces = append(pieces, fmt.Sprintf("Then go on for %d. ", n)+strings.Repeat("And on. ", 110))
	}
	pieces = append(pieces, "Then right. Yes.")
	var before int
	var now *mortal
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Pieces: pieces, Before: func(n int) {
			for n == len(pieces)-1 && len(said(jane)) < before+2 && now.alive() == nil { // two messages show some of it
				time.Sleep(time.Millisecond)
			}
		}}
	})
	for _, group := range []bool{false, true} {
		life := func(m *mortal) {
			before, now = len(said(jane)), m
			w.around = m.around
			w.restart(w.store)
			w.Advance(time.Minute)
			if group {
				_, err := jane.Send("room", imtest.Draft{Text: "where to?", Mentions: []string{robot}})
				w.Must(err)
			} else {
				w.tell(jane, "where to?")
			}
			w.Must(w.App.Settle(w.Context()))
			_ = w.Queue.Work(w.Context(), w.ledger, w.Clock.Now)
			w.around = nil
			w.restart(w.store)
			w.hour()
			w.redeliver()
			got := said(jane)[before:]
			if len(got) == 0 || !strings.HasSuffix(got[0], bot.DefaultRefused) {
				w.Errorf("group %v, call %d, after %v: the user sees %q", group, m.n, m.after, got)
			}
			for _, text := range got[min(len(got), 1):] {
				if text != "…" {
					w.Errorf("group %v, call %d, after %v: the user sees %.60q", group, m.n, m.after, text)
				}
			}
			if m.n == 0 && len(got) < 2 {
				w.Errorf("group %v: %d messages show the answer", group, len(got))
			}
		}
		whole := &mortal{}
		life(whole)
		// The last calls are those that take it back.
		for n := max(whole.calls-5, 1); n <= whole.calls+1; n++ {
			for _, after := range []bool{false, true} {
				life(&mortal{n: n, after: after})
			}
		}
	}
	w.quiet()
}

// testModeration: what was asked and what is answered is judged; while an answer is
// written, a sentence is shown only after it passed.
func testModeration(w *world) {
	m := &strict{}
	w.conf.Moderation = m
	w.restart(w.store)
	jane := w.Login("jane")
	ask := func(text string, b modeltest.Behaviour) (last string, asked int) {
		w.Helper()
		before := len(w.model.Asked())
		w.model.Always(func(modeltest.Asked) modeltest.Behaviour { return b })
		n := len(said(jane))
		w.tell(jane, text)
		w.work()
		w.redeliver()
		if got := said(jane); len(got) != n+1 {
			w.Fatalf("%q is answered by %q", text, got[n:])
		} else {
			last = got[n]
		}
		return last, len(w.model.Asked()) - before
	}
	if got, asked := ask("something forbidden", modeltest.Behaviour{}); got != bot.DefaultRefused || asked != 0 {
		w.Errorf("a forbidden question: %q, the model was asked %d times", got, asked)
	}
	if p := m.heard[0]; p.From != "jane" || p.To != robot || p.Text != "something forbidden" {
		w.Errorf("judged %+v", p)
	}
	if got, _ := ask("darn it", modeltest.Behaviour{}); got != "You said: **** it" {
		w.Errorf("a masked question: %q", got)
	}
	for name, tt := range map[string]struct {
		pieces []string
		seen   string // before the last piece
		want   string
	}{
		"sentences":           {[]string{"This is fine. And th", "is. Yes"}, "This is fine.", "This is fine. And this. Yes"},
		"a word in pieces":    {[]string{"This is fine. This is for", "bidden. Yes."}, "This is fine.", bot.DefaultRefused},
		"masked":              {[]string{"All fine. Oh da", "rn. Yes."}, "All fine.", "All fine. Oh ****. Yes."},
		"two sentences":       {[]string{"Turn left. The", "n right. Yes."}, "Turn left.", bot.DefaultRefused},
		"a list":              {[]string{"Fine:\n- one\n- tw", "o"}, "Fine:\n- one", "Fine:\n- one\n- two"},
		"没有空格":                {[]string{"很好。再", "见。"}, "很好。", "很好。再见。"},
		"bad from the outset": {[]string{"forbidden wor", "ds."}, "", bot.DefaultRefused},
	} {
		n := len(said(jane))
		last := len(tt.pieces) - 1
		got, _ := ask("go on", modeltest.Behaviour{Pieces: tt.pieces, Before: func(i int) {
			if i != last || tt.seen == "" {
				return
			}
			w.until(jane, func(texts []string) bool { return len(texts) > n && strings.TrimSuffix(texts[n], "⋯") == tt.seen })
		}})
		if got != tt.want {
			w.Errorf("%s: the user sees %q, want %q", name, got, tt.want)
		}
	}
	for _, e := range jane.Events() {
		if e.Message != nil && e.Message.From == robot && strings.Contains(shown(e.Message), "forbidden") {
			w.Errorf("jane saw %q", shown(e.Message))
		}
	}
	w.model.Always(nil)
	m.away = true
	n := len(said(jane))
	w.tell(jane, "hello")
	w.work()
	if got := said(jane); len(got) != n {
		w.Errorf("without an opinion on the question, the user sees %q", got[n:])
	}
	m.away = false
	w.hour()
	if got := said(jane); len(got) != n+1 || got[n] != you("hello") {
		w.Errorf("in the end the user sees %q", got[n:])
	}
	// A late block recalls what a group was shown.
	w.Room("room", jane, robot)
	w.model.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Pieces: []string{"Turn left. ", "Then right. Yes."}}
	})
	_, err := jane.Send("room", imtest.Draft{Text: "where to?", Mentions: []string{robot}})
	w.Must(err)
	w.work()
	if got := said(jane); !strings.HasSuffix(got[len(got)-1], bot.DefaultRefused) {
		w.Errorf("in the group jane sees %q", got[len(got)-1])
	}
	w.quiet()
}
