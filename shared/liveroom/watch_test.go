package liveroom_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/liveroom"
)

// pushed is CSS's API.
type pushed struct {
	mu     sync.Mutex
	active map[string]bool
	asked  int
	fails  bool
}

func (p *pushed) Active(_ context.Context, name string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.fails {
		return false, errors.New("CSS is away")
	}
	return p.active[name], nil
}

func (p *pushed) set(name string, active bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active[name] = active
}

// late is an event whose signature was right and has expired.
func (p *process) late(stream string, kind int, sequence string) {
	p.Helper()
	now := p.Clock.Now()
	if a := p.cssRaw(p.signedEvent(stream, kind, now.Add(-20*time.Minute), sequence, now.Add(-time.Minute))); a.Status != http.StatusForbidden {
		p.Errorf("an expired event: %d %s", a.Status, a.Text)
	}
}

// TestLateEvents are refused and asked about: what CSS confirms is taken in, and
// what it does not is not.
func TestLateEvents(t *testing.T) {
	w := onBolt(t)
	css := &pushed{active: map[string]bool{}}
	w.conf.Streams = css
	p := w.process(w.store)
	p.opens("show")
	stream := p.push("show")
	status := func(what string, want liveroom.Status) {
		t.Helper()
		p.work()
		p.after(grace + time.Second)
		if got := p.room("show").Status; got != want {
			t.Errorf("%s: the room is %s, want %s", what, got, want)
		}
	}
	w.Advance(time.Hour)
	p.late(stream, 1, "s1")
	status("a start that CSS does not confirm", liveroom.Waiting)
	css.set(stream, true)
	p.late(stream, 1, "s2")
	status("a start that it confirms", liveroom.Live)
	p.late(stream, 0, "s2")
	status("an end that it does not confirm", liveroom.Live)
	css.set(stream, false)
	p.late("show", 0, "s1")
	status("the end of another push", liveroom.Live)
	css.fails = true
	p.late(stream, 0, "s2")
	p.work()
	if got := p.room("show").Status; got != liveroom.Live {
		t.Errorf("while CSS is away the room is %s", got)
	}
	css.fails = false
	p.minutes(5)
	status("an end that it confirms when it is back", liveroom.Paused)
	before := css.asked
	p.late("nobody", 0, "s1")
	p.late(stream, 100, "s1")
	p.work()
	p.becomes("show", liveroom.Live)
	p.becomes("show", liveroom.Ended)
	p.late(stream, 1, "s9")
	p.work()
	if css.asked != before {
		t.Errorf("CSS was asked %d times about streams that are no matter", css.asked-before)
	}
	p.minutes(30)
	p.Quiet(p.ledger)
}

// TestLostEnd: CSS never tells that a stream has ended, and the room is paused when
// it is asked next, once for each push.
func TestLostEnd(t *testing.T) {
	w := onBolt(t)
	css := &pushed{active: map[string]bool{}}
	w.conf.Streams = css
	p := w.process(w.store)
	p.opens("show")
	stream := p.push("show")
	css.set(stream, true)
	p.css(stream, 1, w.Clock.Now(), "s1")
	p.css(stream, 1, w.Clock.Now(), "s1") // repeated
	p.minutes(35)
	if css.asked != 3 || p.room("show").Status != liveroom.Live {
		t.Errorf("within 35 minutes CSS was asked %d times, and the room is %s", css.asked, p.room("show").Status)
	}
	// Another push takes over: the first one is asked about no more.
	p.css(stream, 1, w.Clock.Now(), "s2")
	css.asked = 0
	p.minutes(25)
	if css.asked != 2 {
		t.Errorf("within 25 minutes CSS was asked %d times", css.asked)
	}
	css.set(stream, false)
	p.minutes(12)
	if got := p.room("show").Status; got != liveroom.Paused {
		t.Errorf("the room is %s", got)
	}
	if got := w.statuses("show"); got != "live paused" {
		t.Errorf("told %s", got)
	}
	css.asked = 0
	p.minutes(30)
	if css.asked != 0 {
		t.Errorf("CSS was asked %d times about a stream that has ended", css.asked)
	}
	p.Quiet(p.ledger)
}
