package liveroom_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// model is what a room is to be, in a few lines of its own: the status machine of
// the contract, with the events of a stream.
type model struct {
	exists   bool
	status   liveroom.Status
	version  int64
	stream   int       // the push that goes on, or went on last; 0: none was heard of
	on       bool      // it goes on
	pauseAt  time.Time // when the room pauses; zero: it does not
	lastPush int
}

var legal = map[liveroom.Status]map[liveroom.Status]bool{
	"waiting": {"live": true},
	"live":    {"paused": true, "ended": true},
	"paused":  {"live": true, "ended": true},
	"ended":   {"replay": true},
	"replay":  {"ended": true},
}

func (m *model) become(s liveroom.Status) { m.status, m.version = s, m.version+1 }

// passes lets time reach a moment.
func (m *model) passes(now time.Time) {
	if !m.pauseAt.IsZero() && !now.Before(m.pauseAt) {
		if m.status == liveroom.Live && !m.on {
			m.become(liveroom.Paused)
		}
		m.pauseAt = time.Time{}
	}
}

// TestStatusMachineIsTheModel drives a room by routes, streams and time, at random
// and with a misbehaving IM, and compares each answer with the model, and at the end
// of each run what IM shows.
func TestStatusMachineIsTheModel(t *testing.T) {
	runs := 12
	if testing.Short() {
		runs = 4
	}
	for seed := range runs {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := onBolt(t)
			p := w.process(w.store)
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			w.App.Misbehave(imtest.Chaos{LoseAnswer: 0.1})
			var m model
			all := []liveroom.Status{"waiting", "live", "paused", "ended", "replay"}
			for step := range 150 {
				m.passes(w.Clock.Now())
				what := random.IntN(10)
				if !m.exists {
					what = 0
				}
				switch what {
				case 0: // created, or closed
					if m.exists && random.IntN(4) > 0 {
						continue
					}
					if m.exists {
						rulestest.Into[any](p, p.do("ann", "POST", "/rooms/show/close", `{}`))
						m = model{}
						w.Advance(2 * time.Second)
						continue
					}
					a := p.do(server, "POST", "/rooms", `{"roomId":"show","name":"Show","owner":"ann"}`, fmt.Sprint("k", step))
					for range 10 {
						if a.Status == http.StatusCreated {
							break
						}
						w.Advance(5 * time.Second)
						a = p.do(server, "POST", "/rooms", `{"roomId":"show","name":"Show","owner":"ann"}`, fmt.Sprint("k", step))
					}
					rulestest.Into[any](p, a)
					m = model{exists: true, status: "waiting", version: 1}
				case 1, 2, 3: // asked for
					next, version := all[random.IntN(len(all))], m.version
					if random.IntN(5) == 0 {
						version -= int64(random.IntN(3) - 1)
					}
					a := p.do("ann", "PUT", "/rooms/show/status", fmt.Sprintf(`{"status":%q,"version":%d}`, next, version))
					want := ""
					switch {
					case version != m.version:
						want = "conflict"
					case !legal[m.status][next]:
						want = "illegal_transition"
					default:
						m.become(next)
					}
					if a.Code != want {
						t.Fatalf("step %d: %s of version %d to %s of %d: %d %s", step, m.status, m.version, next, version, a.Status, a.Text)
					}
				case 4, 5: // a push starts
					m.lastPush++
					m.stream, m.on, m.pauseAt = m.lastPush, true, time.Time{}
					if m.status == "waiting" || m.status == "paused" {
						m.become("live")
					}
					p.heard(1, w.Clock.Now(), m.stream, random)
				case 6, 7: // it ends, or an earlier one did
					push := m.stream
					if push > 1 && random.IntN(3) == 0 {
						push--
					} else if push > 0 && m.on {
						m.on = false
						if m.status == liveroom.Live {
							m.pauseAt = w.Clock.Now().Add(grace)
						}
					}
					if push > 0 {
						p.heard(0, w.Clock.Now(), push, random)
					}
				default: // time
					d := time.Duration(1+random.IntN(25)) * time.Second
					// To the moment, where the room pauses in between: it may change later.
					if until := m.pauseAt.Sub(w.Clock.Now()); !m.pauseAt.IsZero() && until > 0 && until <= d {
						w.Advance(until)
						p.work()
						m.passes(w.Clock.Now())
						d -= until
					}
					w.Advance(d)
				}
				p.sweep()
				p.work()
				m.passes(w.Clock.Now())
				if !m.exists {
					continue
				}
				if got := p.room("show"); got.Status != m.status || got.Version != m.version {
					t.Fatalf("step %d (%d): %s of version %d, the model says %s of %d", step, what, got.Status, got.Version, m.status, m.version)
				}
			}
			w.App.Misbehave(imtest.Chaos{})
			p.minutes(15)
			m.passes(w.Clock.Now())
			if m.exists {
				if got := p.room("show"); got.Status != m.status {
					t.Errorf("%s, the model says %s", got.Status, m.status)
				}
				p.inStep("show")
			}
			p.Quiet(p.ledger)
		})
	}
}

// heard is an event of CSS, perhaps repeated.
func (p *process) heard(kind int, at time.Time, push int, random *rand.Rand) {
	p.Helper()
	for range 1 + random.IntN(2) {
		if a := p.css("show", kind, at, fmt.Sprint(push)); a.Status != http.StatusOK {
			p.Fatalf("%d %s", a.Status, a.Text)
		}
	}
}
