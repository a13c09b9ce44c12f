package desk_test

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
)

// testHandedOver: a robot's process dies at each commit while it opens a ticket. The next
// one opens it with the same key and another summary, as models write them, and there is
// one ticket with one group.
func testHandedOver(w *world) {
	alive := w.process(w.store)
	enginetest.EachDeath(w.T(), w.store, func(t *testing.T, name string, mortal kv.Store) {
		w, alive := w.with(t), alive.with(t)
		dying := w.process(mortal)
		_, _, _ = dying.tickets.OpenFor(w.Context(), "bot/"+name, name, "a torn jacket", "Summary: torn, of "+name)
		alive.Advance(time.Minute) // until which nobody answers in its stead
		id, group, err := alive.tickets.OpenFor(w.Context(), "bot/"+name, name, "a jacket", "Summary: a jacket that is torn, of "+name)
		w.Must(err)
		alive.hours(1)
		again, sameGroup, err := alive.tickets.OpenFor(w.Context(), "bot/"+name, name, "jacket", "Summary: of "+name)
		w.Must(err)
		if id == "" || group == "" || again != id || sameGroup != group {
			w.Errorf("ticket %s of group %s, and then %s of %s", id, group, again, sameGroup)
		}
		of := slices.DeleteFunc(w.fake.Tickets(), func(t desktest.Ticket) bool { return t.Group != group })
		if len(of) != 1 || of[0].ID != id || w.members(group) != name {
			w.Errorf("tickets %+v, in the group %s", of, w.members(group))
		}
		alive.quiet()
	})
	if tickets, users := len(w.fake.Tickets()), len(w.App.State().Groups); tickets != users {
		w.Errorf("%d tickets with %d groups", tickets, users)
	}
}
