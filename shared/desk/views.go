package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Status is the state of a ticket as the members of its group see it.
type Status string

// The statuses.
const (
	StatusWaiting  Status = "waiting" // for an agent
	StatusAssigned Status = "assigned"
	StatusSolved   Status = "solved"
	StatusClosed   Status = "closed"
	StatusDeleted  Status = "deleted"
)

// View is the view of a ticket in our routes.
type View struct {
	TicketID  string      `json:"ticketId"`
	GroupID   string      `json:"groupId"`
	Subject   string      `json:"subject"`
	Status    Status      `json:"status"`
	UserID    string      `json:"userId"`
	Assignee  *string     `json:"assignee"` // null: nobody
	Agents    []string    `json:"agents"`
	Place     *int        `json:"place"` // in the queue, 1 is next; null: not waiting, or far behind
	CreatedAt *time.Time  `json:"createdAt"`
	Rating    *RatingView `json:"rating"` // null: none
}

// RatingView is the view of an answer to the survey in our routes.
type RatingView struct {
	Rating  int       `json:"rating"`
	Comment string    `json:"comment"`
	At      time.Time `json:"at"`
}

func (t *ticket) status() Status {
	switch {
	case t.Deleted.On:
		return StatusDeleted
	case t.Closed.On:
		return StatusClosed
	case t.Solved.On:
		return StatusSolved
	case t.unassigned():
		return StatusWaiting
	}
	return StatusAssigned
}

// members are the agents who should be in the group.
func (t *ticket) members() []string {
	ids := []string{}
	for _, id := range slices.Sorted(maps.Keys(t.Agents)) {
		if t.Agents[id].In && id != t.UserID {
			ids = append(ids, id)
		}
	}
	return ids
}

func (t *Tickets) view(ctx context.Context, tk *ticket, id string) (View, error) {
	v := View{TicketID: id, GroupID: tk.GroupID, Subject: tk.Name, Status: tk.status(), UserID: tk.UserID, Agents: tk.members()}
	if tk.Assignee.UserID != "" {
		v.Assignee = &tk.Assignee.UserID
	}
	if !tk.Since.IsZero() {
		at := tk.Since.UTC().Truncate(time.Millisecond)
		v.CreatedAt = &at
	}
	if tk.Rating != nil {
		v.Rating = &RatingView{tk.Rating.Rating, tk.Rating.Comment, tk.Rating.At.UTC()}
	}
	if !tk.Waiting || v.Status != StatusWaiting {
		return v, nil
	}
	place, err := t.place(ctx, tk, id)
	if err != nil {
		return View{}, err
	}
	if place > 0 {
		v.Place = &place
	}
	return v, nil
}

var errNoTicket = fault.New(fault.NotFound, "there is no such ticket, or it is not yours")

// find returns the ticket of an id, or of its group's id.
func (t *Tickets) find(ctx context.Context, name string) (tk *ticket, id string, err error) {
	id = t.ticketOf(name)
	if CheckID(id) != nil {
		return nil, "", errNoTicket
	}
	tk = new(ticket)
	if _, err := t.read(ctx, ticketBox(id), ticketItem, tk); err != nil {
		return nil, "", err
	}
	if tk.GroupID == "" || name != id && name != tk.GroupID {
		return nil, "", errNoTicket
	}
	return tk, id, nil
}

func userPartition(userID string) string { return "desk/user/" + userID }

// index enters a ticket among those of its requester. What stands there is no more
// than its group's id, or, from programs of before, its own: the ticket itself says
// what it is.
func (t *Tickets) index(ctx context.Context, userID, groupID, id string, since time.Time) error {
	err := t.store.Commit(ctx, userPartition(userID), kv.NewOp("desk"), kv.Put{
		Key: waitingKey(since, id), Value: []byte(groupID), Expires: t.now().Add(2 * kept), If: kv.Absent(),
	})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

// Of returns the tickets of a requester, the newest first, and the cursor of the next
// page, "" at the end.
func (t *Tickets) Of(ctx context.Context, userID string, page api.Page) (list []View, next string, err error) {
	list = []View{}
	items, err := t.store.List(ctx, userPartition(userID), kv.Range{Reverse: true, After: page.After, Limit: page.Limit})
	if err != nil {
		return nil, "", err
	}
	for _, item := range items.Items {
		tk, id, err := t.find(ctx, t.ticketOf(string(item.Value)))
		if errors.Is(err, errNoTicket) {
			continue // forgotten, or its job has not run yet
		}
		if err != nil {
			return nil, "", err
		}
		v, err := t.view(ctx, tk, id)
		if err != nil {
			return nil, "", err
		}
		list = append(list, v)
	}
	return list, items.Next, nil
}

// unsettled is how long after a request its ticket may not be written down yet: a
// job does that.
const unsettled = 10 * time.Minute

// openOf returns the newest ticket of a requester that is not over.
func (t *Tickets) openOf(ctx context.Context, userID string) (Opened, bool, error) {
	items, err := t.store.List(ctx, userPartition(userID), kv.Range{Reverse: true, Limit: 20})
	if err != nil {
		return Opened{}, false, err
	}
	recent := waitingKey(t.now().Add(-unsettled), "")
	for _, item := range items.Items {
		groupID := string(item.Value)
		tk, id, err := t.find(ctx, t.ticketOf(groupID))
		switch {
		case errors.Is(err, errNoTicket):
			if id, may := t.ticketOfGroup(groupID); may && item.Key > recent {
				return Opened{id, groupID}, true, nil
			}
		case err != nil:
			return Opened{}, false, err
		case tk.status() == StatusWaiting || tk.status() == StatusAssigned:
			return Opened{id, tk.GroupID}, true, nil
		}
	}
	return Opened{}, false, nil
}

// agentRoutes adds the routes of a ticket's life that people call.
func (t *Tickets) agentRoutes(mux *http.ServeMux, d Doors) {
	browser := func(method, path string, h api.HandlerFunc) {
		mux.Handle(method+" "+path, api.CORS(d.Origins, method, d.Gate.Any(h)))
		mux.Handle("OPTIONS "+path, api.CORS(d.Origins, method, d.Gate.Any(h)))
	}
	browser(http.MethodGet, "/tickets", t.listOwn)
	browser(http.MethodGet, "/agents/tickets", t.listOfAgent)
	browser(http.MethodGet, "/tickets/{id}", t.on(anyone, func(w http.ResponseWriter, r *http.Request, tk *ticket, id string) error {
		return t.reply(w, r, http.StatusOK, tk, id)
	}))
	browser(http.MethodPost, "/tickets/{id}/survey", t.on(requester, t.answerSurvey))
	browser(http.MethodPost, "/tickets/{id}/transfer", t.on(agents, t.handOver(Assigned)))
	browser(http.MethodPost, "/tickets/{id}/agents", t.on(agents, t.handOver(Joined)))
	browser(http.MethodPost, "/tickets/{id}/solve", t.on(agents, t.setStatus(Solved)))
	browser(http.MethodPost, "/tickets/{id}/reopen", t.on(anyone, t.setStatus(Reopened)))
	addNote := t.on(agents, t.addNote)
	if d.Keeper != nil {
		addNote = api.Idempotent(d.Keeper, addNote)
	}
	browser(http.MethodPost, "/tickets/{id}/notes", api.Within(requestTime, addNote))
}

// Who may call a route of a ticket, beside servers.
const (
	requester = 1 << iota
	agents    // who are on it
	anyone    = requester | agents
)

type ticketHandler func(w http.ResponseWriter, r *http.Request, tk *ticket, id string) error

// on finds the ticket of a request whose caller may call the route. Whoever has
// nothing to do with a ticket does not learn that it exists.
func (t *Tickets) on(who int, h ticketHandler) api.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		tk, id, err := t.find(r.Context(), r.PathValue("id"))
		if err != nil {
			return err
		}
		caller := api.CallerFrom(r.Context())
		isRequester, isAgent := caller.UserID == tk.UserID, tk.Agents[caller.UserID].In
		switch {
		case caller.Server != "":
		case !isRequester && !isAgent:
			return errNoTicket
		case isRequester && who&requester == 0:
			return fault.New(fault.Forbidden, "only agents of the ticket may do this")
		case !isRequester && who&agents == 0:
			return fault.New(fault.Forbidden, "only the requester of the ticket may do this")
		}
		return h(w, r, tk, id)
	}
}

func (t *Tickets) reply(w http.ResponseWriter, r *http.Request, status int, tk *ticket, id string) error {
	v, err := t.view(r.Context(), tk, id)
	if err != nil {
		return err
	}
	api.Reply(w, status, v)
	return nil
}

type viewPage struct {
	Tickets []View `json:"tickets"`
	Next    string `json:"next,omitempty"`
}

func (t *Tickets) listOwn(w http.ResponseWriter, r *http.Request) error {
	page, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	caller, userID := api.CallerFrom(r.Context()), r.URL.Query().Get("userId")
	if caller.UserID != "" && userID != "" && userID != caller.UserID {
		return fault.New(fault.Forbidden, "a user lists his own tickets only")
	}
	if caller.UserID != "" {
		userID = caller.UserID
	}
	if usersig.CheckUserID(userID) != nil {
		return fault.New(fault.Invalid, "userId is missing: say whose tickets")
	}
	list, next, err := t.Of(r.Context(), userID, page)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, viewPage{list, next})
	return nil
}

// listOfAgent lists the tickets of an agent: those in whose groups he is, as IM
// says, since no list of ours would follow when the desk assigns.
func (t *Tickets) listOfAgent(w http.ResponseWriter, r *http.Request) error {
	page, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	ctx, caller := r.Context(), api.CallerFrom(r.Context())
	agent := caller.UserID
	if caller.Server != "" {
		agent = r.URL.Query().Get("userId")
	}
	if usersig.CheckUserID(agent) != nil {
		return fault.New(fault.Invalid, "userId is missing: say whose tickets")
	}
	var ids []string
	for offset := 0; ; {
		groups, next, err := t.conf.IM.JoinedGroups(ctx, agent, offset)
		if im.Lasting(err) {
			break // no account: no group
		}
		if err != nil {
			return err
		}
		for _, g := range groups {
			if id, may := t.ticketOfGroup(g); may && id > page.After {
				ids = append(ids, id)
			}
		}
		if offset = next; next == 0 {
			break
		}
	}
	slices.Sort(ids)
	out := viewPage{Tickets: []View{}}
	for _, id := range slices.Compact(ids) {
		if len(out.Tickets) == page.Limit {
			out.Next = out.Tickets[len(out.Tickets)-1].TicketID
			break
		}
		tk, id, err := t.find(ctx, id)
		if errors.Is(err, errNoTicket) || err == nil && !tk.Agents[agent].In {
			continue
		}
		if err != nil {
			return err
		}
		v, err := t.view(ctx, tk, id)
		if err != nil {
			return err
		}
		out.Tickets = append(out.Tickets, v)
	}
	api.Reply(w, http.StatusOK, out)
	return nil
}

func (t *Tickets) answerSurvey(w http.ResponseWriter, r *http.Request, tk *ticket, id string) error {
	var in struct {
		Rating  int    `json:"rating"`
		Comment string `json:"comment"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	switch {
	case in.Rating < 1 || in.Rating > BestRating:
		return fault.New(fault.Invalid, "rating is a number from 1 to %d", BestRating)
	case len([]rune(in.Comment)) > MaxComment:
		return fault.New(fault.Invalid, "comment has at most %d characters", MaxComment)
	case tk.rated() && tk.Rating.Rating == in.Rating && tk.Rating.Comment == in.Comment:
		return t.reply(w, r, http.StatusAccepted, tk, id)
	case !tk.over() || tk.Deleted.On:
		return fault.New(fault.Conflict, "the ticket is not solved yet, or open again")
	case tk.rated():
		return fault.New(fault.Conflict, "the survey of this ticket was answered already")
	}
	rating := Rating{Round: tk.Round, Rating: in.Rating, Comment: in.Comment, At: t.now()}
	if err := t.enqueue(r.Context(), entry{Rated: &rated{id, rating}}); err != nil {
		return err
	}
	tk.Rating = &rating
	return t.reply(w, r, http.StatusAccepted, tk, id)
}

// handOver gives a ticket to another agent, at the desk first: it decides whom it
// takes, and tells us too. Joined lets him in beside those who are there.
func (t *Tickets) handOver(what What) ticketHandler {
	return func(w http.ResponseWriter, r *http.Request, tk *ticket, id string) error {
		var in struct {
			AgentID string `json:"agentId"`
		}
		if err := api.Decode(r, &in); err != nil {
			return err
		}
		switch {
		case usersig.CheckUserID(in.AgentID) != nil || CheckID(in.AgentID) != nil:
			return fault.New(fault.Invalid, "agentId is an agent's id at the desk")
		case in.AgentID == tk.UserID:
			return fault.New(fault.Invalid, "the requester of a ticket is no agent of it")
		case tk.over() || tk.Deleted.On:
			return fault.New(fault.Conflict, "the ticket is over; reopen it first")
		}
		c := Change{TicketID: id, What: what, UserID: in.AgentID, At: t.now()}
		c.ID = "route/" + digest(string(what), in.AgentID, fmt.Sprint(c.At.UnixNano()))[:32]
		if what == Assigned {
			if err := t.update(r.Context(), id, Update{Assignee: in.AgentID}); err != nil {
				return err
			}
		}
		return t.changed(w, r, tk, id, c)
	}
}

// update changes a ticket at its desk, for somebody who waits for it.
func (t *Tickets) update(ctx context.Context, id string, u Update) error {
	err := t.conf.Desk.Update(ctx, id, u)
	switch {
	case errors.Is(err, ErrNotFound):
		return errNoTicket
	case errors.Is(err, ErrRefused) && u.Assignee != "":
		return fault.Wrap(err, fault.Invalid, "the desk does not give the ticket to this agent")
	case errors.Is(err, ErrRefused):
		return fault.Wrap(err, fault.Conflict, "the desk does not change this ticket any more")
	}
	return err
}

// changed carries out a change that the desk has taken, and answers with the
// ticket as it will be.
func (t *Tickets) changed(w http.ResponseWriter, r *http.Request, tk *ticket, id string, c Change) error {
	if err := t.Changed(r.Context(), c); err != nil {
		return err
	}
	tk.apply(c)
	return t.reply(w, r, http.StatusAccepted, tk, id)
}

func (t *Tickets) setStatus(what What) ticketHandler {
	return func(w http.ResponseWriter, r *http.Request, tk *ticket, id string) error {
		if err := api.Decode(r, &struct{}{}); err != nil {
			return err
		}
		if tk.Deleted.On {
			return fault.New(fault.Conflict, "the ticket is deleted")
		}
		if (what == Solved) == tk.over() {
			return t.reply(w, r, http.StatusAccepted, tk, id)
		}
		if err := t.update(r.Context(), id, Update{Status: what}); err != nil {
			return err
		}
		at := t.now()
		return t.changed(w, r, tk, id, Change{ID: fmt.Sprintf("route/%d", at.UnixNano()), TicketID: id, What: what, At: at})
	}
}

func (t *Tickets) addNote(w http.ResponseWriter, r *http.Request, _ *ticket, id string) error {
	var in struct {
		Text string `json:"text"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	if n := len([]rune(in.Text)); n == 0 || n > MaxText {
		return fault.New(fault.Invalid, "text has 1 to %d characters", MaxText)
	}
	text := in.Text
	if caller := api.CallerFrom(r.Context()); caller.UserID != "" {
		text = "From " + caller.UserID + ":\n\n" + text
	}
	err := t.conf.Desk.AddNote(r.Context(), id, Note{Title: "Note", Text: text})
	switch {
	case errors.Is(err, ErrNotFound):
		return errNoTicket
	case errors.Is(err, ErrRefused):
		return fault.Wrap(err, fault.Conflict, "the desk does not change this ticket any more")
	case err != nil:
		return err
	}
	api.Reply(w, http.StatusCreated, map[string]string{"ticketId": id})
	return nil
}
