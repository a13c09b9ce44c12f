package strikes_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/strikes"
	"github.com/backchannel-im/backchannel/shared/rulestest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

// TestErase: being erased is no way out of a ban, nor around the next one. Strikes
// expire by themselves; those that were all forgiven go at once.
func TestErase(t *testing.T) {
	clock := kvtest.NewClock()
	r := kvtest.Record(rulestest.Store(t, clock))
	w := newWorld(t, r, clock)
	w.Login("jane-zz")
	p := w.process(w.store)
	erased := func(want int, why string) {
		t.Helper()
		done := w.Erase(r, strikes.UserData, "jane-zz")
		last := ""
		if n := len(done.Kept); n > 0 {
			last = done.Kept[n-1].Why
		}
		if done.Erased != want || why != "" && !strings.Contains(last, why) || why == "" && strings.Contains(last, "erasure is") {
			t.Errorf("%+v, want %d erased, and to hear %q", done, want, why)
		}
	}
	p.add("jane-zz", "1", `{"weight":7,"reason":"spam"}`)
	p.work()
	until, err := p.strikes.Banned(w.Context(), "jane-zz")
	if w.Must(err); until.IsZero() {
		t.Fatal("not banned")
	}
	erased(0, "banned until "+until.UTC().Format(time.RFC3339))
	if now, err := p.strikes.Banned(w.Context(), "jane-zz"); err != nil || !now.Equal(until) {
		t.Errorf("after the erasure the user is banned until %v, %v", now, err)
	}
	w.Advance(8 * 24 * time.Hour) // the ban is over, and its strike still counts
	erased(0, "strikes expire by themselves at ")
	if _, v := p.ask(http.MethodGet, "jane-zz", "", ""); v.Points != 7 {
		t.Errorf("%d points after the erasure", v.Points)
	}
	if status, _ := p.ask(http.MethodPost, "jane-zz/forgive", "", `{}`); status != http.StatusOK {
		t.Errorf("%d", status)
	}
	p.hour()
	erased(1, "")
	w.Advance(userdata.Settled)
	erased(0, "")
	for _, found := range w.Left(r, "jane-zz") {
		if !strings.HasPrefix(found, "moderation/trail") {
			t.Errorf("left of the user: %s", found)
		}
	}

	p.add("jane-zz", "2", `{"weight":1,"reason":"spam"}`)
	w.Advance(301 * 24 * time.Hour) // 10 times a point's life, and a day
	if _, v := p.ask(http.MethodGet, "jane-zz", "", ""); len(v.Strikes) != 0 {
		t.Errorf("strikes that have expired: %+v", v)
	}
}
