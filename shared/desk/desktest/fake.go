package desktest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ticket is a ticket, or case, at its desk.
type Ticket struct {
	ID       string `json:"id"`
	Key      string `json:"key"` // external id
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Group    string `json:"group"` // the chat group it was told
	Assignee string `json:"assignee"`
	Status   string `json:"status"`
	Deleted  bool   `json:"deleted,omitempty"`
	FollowUp string `json:"followUp,omitempty"` // the ticket that it follows
	Internal bool   `json:"internal,omitempty"` // its requester does not read Text

	Notes  []Note   `json:"notes"`
	Tags   []string `json:"tags,omitempty"`
	Rating int      `json:"rating,omitempty"` // by the requester

	changed time.Time
}

// Note is an internal note of a ticket, or a file of a case.
type Note struct {
	Text   string `json:"text"`
	Public bool   `json:"public"` // its requester reads it
	Files  []File `json:"files,omitempty"`

	key string
}

// File is a file of a note.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Fault is what happens to one call. The zero Fault changes nothing.
type Fault struct {
	Lost       bool   // done, then the connection is cut
	Status     int    // answered with this status; not done unless Worked
	Worked     bool   // done all the same
	Body       string // of such an answer
	RetryAfter string // header of such an answer
}

// Fake is what both fakes have in common. Calls are named "login", "create",
// "find", "read", "link", "update", "file" and "note".
type Fake interface {
	http.Handler
	// Tickets returns all tickets, in the order they were made.
	Tickets() []Ticket
	// Fail makes the next calls of that name go wrong, one fault each.
	Fail(call string, faults ...Fault)
	// Recover ends all faults.
	Recover()
	// LoseEachOnce loses the first answer to each call about each ticket.
	LoseEachOnce()
	// ExpireTokens invalidates all tokens.
	ExpireTokens()
	// Calls returns how many calls of that name came, those that went wrong
	// included.
	Calls(name string) int
	// Assign assigns a ticket to an agent, or to nobody if agent is "", and returns
	// the request that the desk would send about it.
	Assign(id, agent string) Delivery
	// Solve solves a ticket, as its agent does.
	Solve(id string) Delivery
	// SetClosed closes or reopens a ticket.
	SetClosed(id string, closed bool) Delivery
	// SetDeleted deletes or restores a ticket.
	SetDeleted(id string, deleted bool) Delivery
}

// Delivery is a request that a desk sends, for the test to deliver once, twice,
// late or never.
type Delivery struct {
	Path   string // route of ours
	Header http.Header
	Body   []byte
}

// Request returns the request to a server at that base URL.
func (d Delivery) Request(ctx context.Context, base string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+d.Path, bytes.NewReader(d.Body))
	if err != nil {
		panic("desktest: " + err.Error())
	}
	r.Header = d.Header.Clone()
	return r
}

// account is the state of a fake.
type account struct {
	now func() time.Time

	mu      sync.Mutex
	tickets []*Ticket
	tokens  map[string]bool
	calls   map[string]int
	faults  map[string][]Fault
	lossy   bool
	lost    map[string]bool // whose first answer was lost
}

func newAccount(now func() time.Time) account {
	if now == nil {
		now = time.Now
	}
	return account{
		now: now, tokens: make(map[string]bool), calls: make(map[string]int), faults: make(map[string][]Fault), lost: make(map[string]bool),
	}
}

func (a *account) Tickets() []Ticket {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Ticket, len(a.tickets))
	for i, t := range a.tickets {
		list[i] = *t
		list[i].Notes, list[i].Tags = append([]Note{}, t.Notes...), slices.Clone(t.Tags)
	}
	return list
}

func (a *account) Fail(call string, faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[call] = append(a.faults[call], faults...)
}

func (a *account) Recover() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.faults)
	a.lossy = false
}

func (a *account) LoseEachOnce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lossy = true
}

func (a *account) ExpireTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.tokens)
}

func (a *account) Calls(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[name]
}

// change changes a ticket and returns what it was and is.
func (a *account) change(id string, f func(*Ticket)) (before, after Ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.ticket(id)
	if t == nil {
		panic("desktest: no ticket " + id)
	}
	before = *t
	f(t)
	t.changed = a.now()
	return before, *t
}

// ticket returns a ticket, or nil. The caller holds the lock.
func (a *account) ticket(id string) *Ticket {
	i := slices.IndexFunc(a.tickets, func(t *Ticket) bool { return t.ID == id })
	if i < 0 {
		return nil
	}
	return a.tickets[i]
}

// withKey returns the live tickets of an external id, which has no case. The
// caller holds the lock.
func (a *account) withKey(key string) (list []*Ticket) {
	for _, t := range a.tickets {
		if strings.EqualFold(t.Key, key) && !t.Deleted {
			list = append(list, t)
		}
	}
	return list
}

// answer is what a fake answers, before anything goes wrong.
type answer struct {
	status int
	body   any // nil: none
	header http.Header
}

// serve performs a call about a subject, with whatever goes wrong. do is called
// with the lock held.
func (a *account) serve(w http.ResponseWriter, call, subject string, do func() answer) {
	a.mu.Lock()
	a.calls[call]++
	var f Fault
	if queue := a.faults[call]; len(queue) > 0 {
		f, a.faults[call] = queue[0], queue[1:]
	} else if about := call + " " + subject; a.lossy && !a.lost[about] {
		a.lost[about], f.Lost = true, true
	}
	var out answer
	if f.Status == 0 || f.Worked {
		out = do()
	}
	a.mu.Unlock()
	if f.Lost {
		panic(http.ErrAbortHandler)
	}
	if f.Status != 0 {
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
		return
	}
	for name, values := range out.header {
		w.Header()[name] = values
	}
	if out.body != nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(out.status)
	if out.body != nil {
		_ = json.NewEncoder(w).Encode(out.body)
	}
}

// read reads a request's body.
func read(r *http.Request) []byte {
	b, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return nil
	}
	return b
}
