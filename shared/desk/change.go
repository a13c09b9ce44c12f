package desk

import (
	"maps"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Kinds of changes.
type What string

// The changes. A ticket has one assignee, or none; beside it agents may join and
// leave one by one.
const (
	Assigned  What = "assigned"  // to UserID alone, or to nobody if that is ""
	Joined    What = "joined"    // UserID
	Left      What = "left"      // UserID
	Solved    What = "solved"    // as far as the agent knows: its requester may come back
	Closed    What = "closed"    // for good, as far as the desk knows
	Reopened  What = "reopened"  // or never closed
	Merged    What = "merged"    // into Into, which goes on with it; it is closed
	Deleted   What = "deleted"   //
	Undeleted What = "undeleted" //
)

// Change is a change of a ticket at its desk. Desks report changes twice, late, and
// out of order: ID is the idempotency key, and At gives the order.
type Change struct {
	ID       string    `json:"id"` // of the event; at most 128 bytes
	TicketID string    `json:"ticketId"`
	What     What      `json:"what"`
	UserID   string    `json:"userId,omitempty"`
	Into     string    `json:"into,omitempty"` // the ticket that goes on with it
	At       time.Time `json:"at"`
	// Previous is the assignee before the change, if the desk says so; [Nobody] where
	// there was none. Previous gives the order of two changes of the same moment,
	// unless they undo each other.
	Previous string `json:"previous,omitempty"`
}

// Nobody in Previous means that no agent had the ticket.
const Nobody = "-"

const maxChangeID = 128

// check refuses a change that cannot be, with a sentence for whoever sent it.
func (c Change) check() error {
	if err := CheckID(c.TicketID); err != nil {
		return fault.New(fault.Invalid, "the ticket's id cannot be one: %v", err)
	}
	needsUser := false
	switch c.What {
	case Joined, Left:
		needsUser = true
	case Assigned:
		needsUser = c.UserID != ""
	case Merged:
		if err := CheckID(c.Into); err != nil || c.Into == c.TicketID {
			return fault.New(fault.Invalid, "a ticket is merged into another, by its id")
		}
	case Solved, Closed, Reopened, Deleted, Undeleted:
	default:
		return fault.New(fault.Invalid, "a ticket can be assigned, joined, left, solved, closed, reopened, deleted or undeleted")
	}
	switch {
	case needsUser && usersig.CheckUserID(c.UserID) != nil:
		return fault.New(fault.Invalid, "the agent's id cannot be a UserID: it has 1 to 32 visible ASCII characters")
	case c.ID == "" || len(c.ID) > maxChangeID:
		return fault.New(fault.Invalid, "an event's id has 1 to %d bytes", maxChangeID)
	}
	return nil
}

// ticket is what we know of a ticket: what the desk said last, and what we made
// of it in IM.
type ticket struct {
	// What its request said; "" as long as we do not know of one. Then the
	// ticket is somebody else's, or its request is still under way.
	UserID  string `json:"userId,omitempty"` // the requester
	GroupID string `json:"groupId,omitempty"`
	Name    string `json:"name,omitempty"` // of the group
	// Since is when the requester asked, and Zone his time zone, if he said it.
	Since time.Time `json:"since,omitzero"`
	Zone  string    `json:"zone,omitempty"`

	Assignee assignee         `json:"assignee"`
	Agents   map[string]agent `json:"agents,omitempty"`
	Solved   state            `json:"solved,omitzero"` // or closed
	Closed   state            `json:"closed"`
	Deleted  state            `json:"deleted"`

	Up   bool            `json:"up"`             // the group is there
	In   map[string]bool `json:"in,omitempty"`   // agents who are in it, or may be
	Made int             `json:"made,omitempty"` // how often the group was made after the first time
	// Shown: agents see what was said in the group before they came into it.
	Shown bool `json:"shown,omitempty"`

	// Round counts how often the ticket was solved or closed, and Ended is when, the
	// zero time while it is open. Each round ends with a survey and a transcript.
	Round    int       `json:"round,omitempty"`
	Ended    time.Time `json:"ended,omitzero"`
	Recorded int       `json:"recorded,omitempty"` // last round whose transcript the desk has
	// Unrecorded: the desk took no transcript of its last round, and its group stays.
	Unrecorded bool    `json:"unrecorded,omitempty"`
	MergedInto string  `json:"mergedInto,omitempty"` // the ticket that goes on with it
	Rating     *Rating `json:"rating,omitempty"`     // of the last round that was rated

	Waiting bool `json:"waiting,omitempty"` // it is among those that wait for an agent
	Noticed bool `json:"noticed,omitempty"` // its requester was told so
	Told    int  `json:"told,omitempty"`    // the place that he was told then
	Indexed bool `json:"indexed,omitempty"` // among the tickets of its requester
}

// Rating is a requester's answer to the survey of a round.
type Rating struct {
	Round   int       `json:"round"`
	Rating  int       `json:"rating"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// assignee is who has the ticket since when.
type assignee struct {
	UserID string    `json:"userId,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// agent says whether somebody works on a ticket, since when.
type agent struct {
	In bool      `json:"in"`
	At time.Time `json:"at"`
}

// state is a fact and since when it is so.
type state struct {
	On bool      `json:"on,omitempty"`
	At time.Time `json:"at,omitzero"`
}

func (s *state) set(on bool, at time.Time) {
	if !at.Before(s.At) {
		*s = state{on, at}
	}
}

// goneAfter is how long it is remembered when an agent left; what comes later
// than that about him is news.
const goneAfter = 24 * time.Hour

// apply takes in a change, unless something newer is known.
func (t *ticket) apply(c Change) {
	switch c.What {
	case Solved, Closed, Reopened:
		t.Closed.set(c.What == Closed, c.At)
		t.Solved.set(c.What != Reopened, c.At)
	case Merged:
		t.merge(c)
	case Deleted, Undeleted:
		t.Deleted.set(c.What == Deleted, c.At)
	case Assigned:
		t.assign(c)
	case Joined, Left:
		// A later assignment has decided who is a member.
		if !c.At.Before(t.Assignee.At) {
			t.mark(c.UserID, c.What == Joined, c.At)
		}
	}
	maps.DeleteFunc(t.Agents, func(_ string, a agent) bool { return !a.In && c.At.Sub(a.At) > goneAfter })
}

// assign gives the ticket to one agent, or to none.
func (t *ticket) assign(c Change) {
	switch {
	case c.At.Before(t.Assignee.At):
		return
	case c.At.Equal(t.Assignee.At) && c.Previous != "" && c.Previous != t.Assignee.previous():
		return // of the same moment, and the other way round
	}
	t.Assignee = assignee{c.UserID, c.At}
	for id, a := range t.Agents {
		if a.In && id != c.UserID {
			t.mark(id, false, c.At)
		}
	}
	if c.UserID != "" {
		t.mark(c.UserID, true, c.At)
	}
}

// previous is the assignee as a change names him that came after.
func (a assignee) previous() string {
	if a.UserID == "" {
		return Nobody
	}
	return a.UserID
}

// mark notes an agent's coming or going, unless something newer is known.
func (t *ticket) mark(id string, in bool, at time.Time) {
	if at.Before(t.Agents[id].At) {
		return
	}
	if t.Agents == nil {
		t.Agents = make(map[string]agent)
	}
	t.Agents[id] = agent{in, at}
}

// merge closes a ticket that another goes on with. A transcript that the closed one
// did not take is the other's.
func (t *ticket) merge(c Change) {
	if t.MergedInto != "" {
		return // as told before
	}
	t.MergedInto = c.Into
	t.Closed.set(true, c.At)
	t.Solved.set(true, c.At)
	if t.Unrecorded {
		t.Unrecorded, t.Recorded = false, max(t.Round-1, 0)
	}
}

// over reports whether the ticket is solved or closed.
func (t *ticket) over() bool { return t.Closed.On || t.Solved.On }

// unassigned reports whether the ticket waits for an agent.
func (t *ticket) unassigned() bool {
	if t.over() || t.Deleted.On {
		return false
	}
	for id, a := range t.Agents {
		if a.In && id != t.UserID {
			return false
		}
	}
	return true
}

// turn begins a round when the ticket was solved or closed, and ends it when it
// was reopened.
func (t *ticket) turn() {
	switch {
	case !t.over():
		t.Ended = time.Time{}
	case t.Ended.IsZero():
		t.Round++
		t.Ended = t.Solved.At
		if t.Ended.IsZero() || t.Closed.On && t.Closed.At.Before(t.Ended) {
			t.Ended = t.Closed.At
		}
	}
}

// policy says what happens to groups of closed tickets.
type policy struct {
	now    time.Time
	linger time.Duration // how long the group of a solved ticket waits for its requester's last word
	keep   bool          // groups of tickets that are over
}

// wanted returns whether the group should be there, and which agents should be
// in it.
func (t *ticket) wanted(p policy) (up bool, in map[string]bool) {
	in = make(map[string]bool)
	switch {
	case t.Deleted.On:
		return false, in
	case t.Closed.On, t.Solved.On && !p.now.Before(t.Ended.Add(p.linger)):
		// A group that is to go waits for its transcript.
		return p.keep || t.Up && (t.Recorded < t.Round || t.Unrecorded), in
	}
	for id, a := range t.Agents {
		if a.In && id != t.UserID { // who asks for help is in anyway, and stays
			in[id] = true
		}
	}
	return true, in
}
