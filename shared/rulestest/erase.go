package rulestest

import (
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// Erase has a user's records of a source erased as far as that goes now, and returns
// the last answer.
func (w *World) Erase(store kv.Store, s userdata.Source, userID string) (done userdata.Erased) {
	w.Helper()
	eraser := userdata.NewEraser(store, []userdata.Source{s}, nil, w.Clock.Now)
	for range 20 {
		var err error
		done, err = eraser.Erase(w.Context(), userID)
		w.Must(err)
		if !done.More {
			return done
		}
	}
	w.Fatal("an erasure without an end")
	return done
}

// Left returns where a store names any of these users or words outside of what runs
// out by itself: jobs that are done, sent messages, stored answers.
func (w *World) Left(r *kvtest.Recorder, words ...string) (found []string) {
	w.Helper()
	for _, is := range r.Dump(w) {
		text := is.Partition + " " + is.Key + " " + is.Text
		runsOut := !is.Expires.IsZero() && slices.ContainsFunc([]string{"jobs/", "sends/", "idem/"}, func(p string) bool { return strings.HasPrefix(is.Partition, p) })
		if !runsOut && slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }) {
			found = append(found, text)
		}
	}
	return found
}

// EachErasure has a process die at each commit of an erasure. Another one finishes
// it, after which nothing names the user. made makes the records of a user, which are
// of something that is over, and what must still hold of them afterwards.
func (w *World) EachErasure(r *kvtest.Recorder, s userdata.Source, made func(w *World, userID string) (holds func())) {
	enginetest.EachDeath(w.T(), r, func(t *testing.T, name string, mortal kv.Store) {
		w := w.With(t)
		userID := "zz-" + strings.ReplaceAll(name, " ", "")
		holds := made(w, userID)
		_, _ = userdata.NewEraser(mortal, []userdata.Source{s}, nil, w.Clock.Now).Erase(w.Context(), userID)
		for range 2 {
			if done := w.Erase(r, s, userID); len(done.Waits) > 0 {
				t.Errorf("waits for %+v", done.Waits)
			}
			w.Advance(userdata.Settled)
		}
		if found := w.Left(r, userID); len(found) > 0 {
			t.Errorf("left of the user:\n%s", strings.Join(found, "\n"))
		}
		holds()
	})
}
