package desk

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Webhook is a desk's webhook about changes of its tickets.
type Webhook interface {
	// Check returns a fault unless the request comes from the desk.
	Check(h http.Header, body []byte) error
	// Read returns the changes in a body. Its errors are faults.
	Read(h http.Header, body []byte) ([]Change, error)
}

// Doors say who may call the routes of [Tickets].
type Doors struct {
	Gate    *api.Gate // users and servers
	Origins []string  // web pages that may ask for a ticket

	// Keeper keeps the answers of routes that take an Idempotency-Key; nil: they take
	// none.
	Keeper *idem.Keeper

	// Webhook receives at POST /zendesk/events; nil: there is no such route.
	Webhook Webhook
	// Org authenticates the desk, which may then call the routes of servers, in
	// another way than by an API key; nil: servers alone may call those routes.
	Org func(h http.Header, body []byte) error
}

// Routes adds the routes of tickets. Those under the guide's names answer as the
// guide's own server does.
func (t *Tickets) Routes(mux *http.ServeMux, d Doors) {
	open := api.CORS(d.Origins, http.MethodPost, d.Gate.Any(t.createTicket(d.Gate.Bans)))
	mux.Handle("POST /createticket", open)
	mux.Handle("OPTIONS /createticket", open)
	t.agentRoutes(mux, d)
	for path, read := range map[string]func(*http.Request, time.Time) ([]Change, error){
		"/joingroup":   t.member(Joined),
		"/leavegroup":  t.member(Left),
		"/deletegroup": t.group,
	} {
		mux.Handle("POST "+path, d.admit(func(w http.ResponseWriter, r *http.Request) error {
			changes, err := read(r, t.now())
			if err != nil {
				return err
			}
			if err := t.Changed(r.Context(), changes...); err != nil {
				return err
			}
			api.Reply(w, http.StatusOK, imAnswer{ActionStatus: "OK"})
			return nil
		}))
	}
	mux.Handle("POST /casechanges", d.admit(func(w http.ResponseWriter, r *http.Request) error {
		changes, err := t.caseChanges(r, t.now())
		if err != nil {
			return err
		}
		return t.accept(w, r, changes)
	}))
	if d.Webhook == nil {
		return
	}
	mux.Handle("POST /zendesk/events", api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		body, err := api.ReadBody(r, maxEvent)
		if err != nil {
			return err
		}
		if err := d.Webhook.Check(r.Header, body); err != nil {
			return err
		}
		changes, err := d.Webhook.Read(r.Header, body)
		if err != nil {
			return err
		}
		return t.accept(w, r, changes)
	}))
}

// maxEvent bounds an event of a desk, in bytes. It may bring along the whole text
// of the ticket, of 64 Ki characters.
const maxEvent = 512 << 10

// admit lets in servers, and the desk itself.
func (d Doors) admit(h api.HandlerFunc) http.Handler {
	server := d.Gate.Server(h)
	return api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if d.Org == nil || r.Header.Get("Authorization") != "" {
			server.ServeHTTP(w, r)
			return nil
		}
		body, err := api.ReadBody(r, api.MaxBody)
		if err != nil {
			return err
		}
		if err := d.Org(r.Header, body); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return h(w, r)
	})
}

// accept takes changes in and says how many.
func (t *Tickets) accept(w http.ResponseWriter, r *http.Request, changes []Change) error {
	if err := t.Changed(r.Context(), changes...); err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, struct {
		Accepted int `json:"accepted"`
	}{len(changes)})
	return nil
}

// imAnswer is what IM's REST API answers, and with it the guide's server.
type imAnswer struct {
	ActionStatus string
	ErrorCode    int
	ErrorInfo    string
	GroupID      string `json:"GroupId,omitempty"`
}

// requestTime bounds a request that makes something at the desk. What a request for
// a ticket has not done by then goes on without the caller.
const requestTime = 25 * time.Second

func (t *Tickets) createTicket(bans *api.Bans) api.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		caller := api.CallerFrom(r.Context())
		asked, reuse, err := readAsked(r, caller)
		if err != nil {
			return err
		}
		if caller.UserID == "" { // a ban holds also for whom a server asks
			if err := bans.Check(r.Context(), asked.UserID); err != nil {
				return err
			}
		}
		name, err := api.IdempotencyKey(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		opened, returned := Opened{}, false
		if reuse {
			if opened, returned, err = t.reuse(ctx, caller, name, asked); err != nil {
				return err
			}
		}
		if !returned {
			opened, err = t.Open(ctx, caller, name, asked)
		}
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusOK, struct {
			TicketID string `json:"ticketId"`
			GroupID  string `json:"groupId"`
			imAnswer
		}{opened.TicketID, opened.GroupID, imAnswer{ActionStatus: "OK", GroupID: opened.GroupID}})
		return nil
	}
}

// readAsked reads the guide's body, and beside it timeZone and reuse: whether an
// open ticket of the user will do.
func readAsked(r *http.Request, caller api.Caller) (asked Asked, reuse bool, err error) {
	var in struct {
		UserID   string `json:"userId"`
		TimeZone string `json:"timeZone"`
		Reuse    bool   `json:"reuse"`
		CaseInfo struct {
			Subject string `json:"subject"`
			Desc    string `json:"desc"`
			Name    string `json:"name"`
			Email   string `json:"email"`
		} `json:"caseInfo"`
	}
	if err := api.Decode(r, &in); err != nil {
		return Asked{}, false, err
	}
	asked = Asked{UserID: in.UserID, Zone: in.TimeZone, Ticket: Ticket{
		Subject: strings.TrimSpace(in.CaseInfo.Subject), Text: strings.TrimSpace(in.CaseInfo.Desc),
		Name: strings.TrimSpace(in.CaseInfo.Name), Email: strings.TrimSpace(in.CaseInfo.Email),
	}}
	if asked.UserID == "" {
		asked.UserID = caller.UserID
	}
	return asked, in.Reuse, asked.check(caller)
}

// isZone reports whether a text can be the name of a time zone. One that is not
// known here counts as the desk's own: browsers know more of them.
func isZone(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '/' && r != '+' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// check refuses what no desk takes, and users who speak for others.
func (a Asked) check(caller api.Caller) error {
	switch {
	case a.UserID == "":
		return fault.New(fault.Invalid, "userId is missing: say who asks for help")
	case caller.UserID != "" && a.UserID != caller.UserID:
		return fault.New(fault.Forbidden, "a user opens tickets for himself only")
	case usersig.CheckUserID(a.UserID) != nil:
		return fault.New(fault.Invalid, "userId has 1 to 32 visible ASCII characters")
	case im.IsRobot(a.UserID):
		return fault.New(fault.Invalid, "a robot needs no help")
	case !isZone(a.Zone):
		return fault.New(fault.Invalid, "timeZone is a name such as Europe/Berlin")
	case a.Ticket.Text == "":
		return fault.New(fault.Invalid, "caseInfo.desc is missing: say what it is about")
	}
	for _, f := range []struct {
		name, text string
		most       int
	}{
		{"subject", a.Ticket.Subject, MaxSubject},
		{"desc", a.Ticket.Text, MaxText},
		{"name", a.Ticket.Name, MaxName},
		{"email", a.Ticket.Email, MaxEmail},
	} {
		if utf8.RuneCountInString(f.text) > f.most {
			return fault.New(fault.Invalid, "caseInfo.%s has at most %d characters", f.name, f.most)
		}
		if f.name != "desc" && strings.ContainsFunc(f.text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault.New(fault.Invalid, "caseInfo.%s is one line of text", f.name)
		}
	}
	if at := strings.LastIndexByte(a.Ticket.Email, '@'); a.Ticket.Email != "" && (at < 1 || at == len(a.Ticket.Email)-1 || strings.Contains(a.Ticket.Email, " ")) {
		return fault.New(fault.Invalid, "caseInfo.email is not an e-mail address")
	}
	return nil
}

// ticketOf returns the ticket's id in a group's.
func (t *Tickets) ticketOf(groupID string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(groupID, t.conf.GroupPrefix), groupIDSeparator)
	return id
}

// ticketOfGroup returns the ticket whose group this may be, if any.
func (t *Tickets) ticketOfGroup(groupID string) (id string, may bool) {
	id = t.ticketOf(groupID)
	return id, strings.HasPrefix(groupID, t.conf.GroupPrefix) && strings.HasPrefix(id, t.conf.IDPrefix) && CheckID(id) == nil
}

var (
	errNoUser  = fault.New(fault.Invalid, "userId is missing")
	errNoGroup = fault.New(fault.Invalid, "groupId is missing")
)

// member reads {"groupId","userId"}.
func (t *Tickets) member(what What) func(*http.Request, time.Time) ([]Change, error) {
	return func(r *http.Request, now time.Time) ([]Change, error) {
		var in struct {
			GroupID string `json:"groupId"`
			UserID  string `json:"userId"`
		}
		if err := api.Decode(r, &in); err != nil {
			return nil, err
		}
		switch {
		case in.UserID == "":
			return nil, errNoUser
		case in.GroupID == "":
			return nil, errNoGroup
		}
		return []Change{{ID: rand.Text(), TicketID: t.ticketOf(in.GroupID), What: what, UserID: in.UserID, At: now}}, nil
	}
}

// group reads {"groupId"}.
func (t *Tickets) group(r *http.Request, now time.Time) ([]Change, error) {
	var in struct {
		GroupID string `json:"groupId"`
		UserID  string `json:"userId"` // the guide's trigger sends it; it means nothing here
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.GroupID == "" {
		return nil, errNoGroup
	}
	return []Change{{ID: rand.Text(), TicketID: t.ticketOf(in.GroupID), What: Deleted, At: now}}, nil
}

// maxChanges is how many records a trigger of Salesforce gets at once, twice.
const maxChanges = 400

// queuePrefix begins the ids of Salesforce's queues, which own cases that nobody
// has taken.
const queuePrefix = "00G"

// caseChanges reads {"changes":[{"op","caseId","userId","at"}]}. The time of a
// change is the record's; without it, it is now.
func (t *Tickets) caseChanges(r *http.Request, now time.Time) ([]Change, error) {
	var in struct {
		Changes []struct {
			Op     What      `json:"op"`
			CaseID string    `json:"caseId"`
			UserID string    `json:"userId"`
			At     time.Time `json:"at"`
		} `json:"changes"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if n := len(in.Changes); n == 0 || n > maxChanges {
		return nil, fault.New(fault.Invalid, "changes is a list of 1 to %d changes", maxChanges)
	}
	var changes []Change
	for _, in := range in.Changes {
		if strings.HasPrefix(in.UserID, queuePrefix) {
			if in.Op != Assigned {
				continue // a queue has no account to join with
			}
			in.UserID = ""
		}
		if in.Op == Closed && t.conf.ClosedIsSolved {
			in.Op = Solved
		}
		c := Change{TicketID: in.CaseID, What: in.Op, UserID: in.UserID, At: in.At}
		if c.At.IsZero() {
			c.ID, c.At = rand.Text(), now
		} else {
			c.ID = digest(string(c.What), c.TicketID, c.UserID, c.At.UTC().Format(time.RFC3339Nano))
		}
		changes = append(changes, c)
	}
	return changes, nil
}
