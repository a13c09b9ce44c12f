package imtest

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Chaos is the probability of each fault, from 0 (never) to 1 (always).
type Chaos struct {
	// After-callbacks.
	Duplicate float64       `json:"duplicate"` // sent twice
	Reorder   float64       `json:"reorder"`   // sent after the next one
	Delay     float64       `json:"delay"`     // held for DelayBy
	Drop      float64       `json:"drop"`      // never sent
	DelayBy   time.Duration `json:"-"`

	// Before-callbacks.
	SlowBefore float64 `json:"slowBefore"` // sent DelayBy late

	// REST calls.
	LoseAnswer float64 `json:"loseAnswer"` // takes effect, then the connection is cut
	SlowAnswer float64 `json:"slowAnswer"` // takes effect, then is answered DelayBy late
	Refuse     float64 `json:"refuse"`     // answered with Code, without effect
	Code       int     `json:"code"`       // default 60008
}

// Fault makes one REST call fail.
type Fault struct {
	LoseAnswer bool          `json:"loseAnswer"` // takes effect, then the connection is cut
	Late       time.Duration `json:"-"`          // takes effect, then is answered after this delay
	Code       int           `json:"code"`       // answered with this code; no effect unless Worked
	Status     int           `json:"status"`     // answered with this HTTP status and no JSON; no effect unless Worked
	Worked     bool          `json:"worked"`     // with Code or Status: the call takes effect all the same
}

// Misbehave sets the probabilities of the app's faults from now on. The zero Chaos ends
// them.
func (a *App) Misbehave(c Chaos) { a.chaos.set(c) }

// FailNext makes the next calls of one REST command (service/command) fail, one fault
// each, regardless of Misbehave.
func (a *App) FailNext(command string, faults ...Fault) { a.chaos.queue(command, faults) }

type chaos struct {
	mu   sync.Mutex
	c    Chaos
	rng  *rand.Rand
	next map[string][]Fault
}

func newChaos(seed uint64) *chaos {
	return &chaos{rng: rand.New(rand.NewPCG(seed, 1)), next: make(map[string][]Fault)}
}

func (c *chaos) set(to Chaos) {
	if to.Code == 0 {
		to.Code = 60008
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c = to
}

func (c *chaos) get() Chaos {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.c
}

// reset ends all misbehaviour.
func (c *chaos) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c, c.next = Chaos{}, make(map[string][]Fault)
}

func (c *chaos) queue(command string, faults []Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next[command] = append(c.next[command], faults...)
}

func (c *chaos) happens(p float64) bool { return p > 0 && c.rng.Float64() < p }

type plan struct {
	drop, hold bool
	copies     int
	delay      time.Duration
}

func (c *chaos) afterPlan() plan {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := plan{drop: c.happens(c.c.Drop), hold: c.happens(c.c.Reorder)}
	if c.happens(c.c.Duplicate) {
		p.copies = 1
	}
	if p.hold || c.happens(c.c.Delay) {
		p.delay = c.c.DelayBy
	}
	return p
}

func (c *chaos) beforeDelay() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.c.DelayBy, c.happens(c.c.SlowBefore)
}

func (c *chaos) restFault(command string) Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.next[command]; len(q) > 0 {
		c.next[command] = q[1:]
		return q[0]
	}
	switch {
	case c.happens(c.c.Refuse):
		return Fault{Code: c.c.Code}
	case c.happens(c.c.LoseAnswer):
		return Fault{LoseAnswer: true}
	case c.happens(c.c.SlowAnswer):
		return Fault{Late: c.c.DelayBy}
	}
	return Fault{}
}
