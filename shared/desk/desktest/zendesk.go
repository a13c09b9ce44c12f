package desktest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ZendeskConfig configures an account of the fake.
type ZendeskConfig struct {
	ClientID, ClientSecret string   // of an OAuth client
	Email, APIToken        string   // legacy; "": none
	GroupField             int64    // id of the custom field for the group
	WebhookSecret          string   // of both webhooks
	Agents                 []string // who takes tickets; nil: anybody
	FirstTicket            int      // number of the first ticket; 0 means 35001
	Now                    func() time.Time
}

// Zendesk is a fake of Zendesk's Ticketing API and of its webhooks. Its tickets
// have the statuses new, open, pending, hold, solved and closed.
type Zendesk struct {
	account
	conf ZendeskConfig
	mux  *http.ServeMux
	keys map[string]remembered // by Idempotency-Key
	ups  map[string]File       // uploads by token

	things map[string][]thing // webhooks and triggers, by kind
	made   int                // of both
}

// remembered is the first answer to an Idempotency-Key.
type remembered struct {
	at     time.Time
	asked  []byte
	answer answer
}

// keysKept is how long Zendesk knows an Idempotency-Key.
const keysKept = 2 * time.Hour

var _ Fake = (*Zendesk)(nil)

// NewZendesk returns an account without tickets.
func NewZendesk(conf ZendeskConfig) *Zendesk {
	z := &Zendesk{account: newAccount(conf.Now), conf: conf, mux: http.NewServeMux(), keys: make(map[string]remembered), ups: make(map[string]File), things: map[string][]thing{"webhook": {}, "trigger": {}}}
	z.admin()
	z.mux.HandleFunc("POST /oauth/tokens", z.login)
	z.mux.HandleFunc("POST /api/v2/tickets.json", z.admitted("create", z.create))
	z.mux.HandleFunc("GET /api/v2/tickets.json", z.admitted("find", z.find))
	z.mux.HandleFunc("GET /api/v2/tickets/{file}", z.admitted("read", z.read))
	z.mux.HandleFunc("PUT /api/v2/tickets/{file}", z.admitted("", z.update))
	z.mux.HandleFunc("POST /api/v2/uploads.json", z.admitted("file", z.upload))
	// Clients differ in whether they write the ending.
	z.mux.HandleFunc("POST /api/v2/tickets", z.admitted("create", z.create))
	z.mux.HandleFunc("GET /api/v2/tickets", z.admitted("find", z.find))
	z.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		z.serve(w, "other", "", func() answer { return problem(404, "InvalidEndpoint", "Not found") })
	})
	return z
}

// ServeHTTP implements http.Handler.
func (z *Zendesk) ServeHTTP(w http.ResponseWriter, r *http.Request) { z.mux.ServeHTTP(w, r) }

func (z *Zendesk) login(w http.ResponseWriter, r *http.Request) {
	body := read(r)
	z.serve(w, "login", "", func() answer {
		var in struct {
			GrantType    string `json:"grant_type"`
			ClientID     string `json:"client_id"`
			ClientSecret string `json:"client_secret"`
			Scope        string `json:"scope"`
			ExpiresIn    int    `json:"expires_in"`
		}
		switch err := json.Unmarshal(body, &in); {
		case err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
			return problem(400, "invalid_request", "the request is not JSON")
		case in.GrantType != "client_credentials":
			return problem(400, "unsupported_grant_type", "")
		case in.ExpiresIn <= 300 || in.ExpiresIn >= 172800:
			return problem(400, "invalid_request", "expires_in is out of range")
		case z.conf.ClientID == "" || in.ClientID != z.conf.ClientID || in.ClientSecret != z.conf.ClientSecret:
			return problem(401, "invalid_client", "Client authentication failed")
		}
		token := rand.Text()
		z.tokens[token+" "+in.Scope] = true
		return answer{status: 200, body: map[string]any{"access_token": token, "token_type": "bearer", "scope": in.Scope}}
	})
}

func problem(status int, code, description string) answer {
	return answer{status: status, body: map[string]any{"error": code, "description": description}}
}

// updateCall names a change of a ticket by what is in it.
func updateCall(body []byte) string {
	switch {
	case bytes.Contains(body, []byte(`"comment"`)):
		return "note"
	case bytes.Contains(body, []byte(`"status"`)), bytes.Contains(body, []byte(`"assignee_id"`)):
		return "update"
	}
	return "link"
}

// admitted lets a call through that proves who sends it.
func (z *Zendesk) admitted(call string, f func(r *http.Request, body []byte) answer) http.HandlerFunc {
	scope := "tickets:write"
	if call == "find" || call == "read" {
		scope = "tickets:read"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body, call := read(r), call
		if call == "" {
			call = updateCall(body)
		}
		subject := r.Header.Get("Idempotency-Key") + r.URL.Query().Get("external_id") + r.URL.Query().Get("filename") + r.PathValue("file")
		z.serve(w, call, subject, func() answer {
			if !z.knows(r.Header.Get("Authorization"), scope) {
				return problem(401, "invalid_token", "The access token provided is expired, revoked, malformed or invalid for other reasons.")
			}
			return f(r, body)
		})
	}
}

func (z *Zendesk) knows(authorization, scope string) bool {
	if token, is := strings.CutPrefix(authorization, "Bearer "); is {
		for known := range z.tokens {
			value, scopes, _ := strings.Cut(known, " ")
			if value == token && strings.Contains(scopes, scope) {
				return true
			}
		}
		return false
	}
	basic := base64.StdEncoding.EncodeToString([]byte(z.conf.Email + "/token:" + z.conf.APIToken))
	return z.conf.APIToken != "" && authorization == "Basic "+basic
}

func (z *Zendesk) create(r *http.Request, body []byte) answer {
	key := r.Header.Get("Idempotency-Key")
	if known, is := z.keys[key]; is && key != "" && z.now().Sub(known.at) < keysKept {
		if !bytes.Equal(known.asked, body) {
			return problem(400, "IdempotentRequestError", "Request parameters are not the same as for the first request")
		}
		a := known.answer
		a.header = http.Header{"X-Idempotency-Lookup": {"hit"}}
		return a
	}
	a := z.make(body)
	if key != "" && a.status == 201 {
		z.keys[key] = remembered{z.now(), body, a}
		a.header = http.Header{"X-Idempotency-Lookup": {"miss"}}
	}
	return a
}

func (z *Zendesk) make(body []byte) answer {
	var in struct {
		Ticket struct {
			Subject string `json:"subject"`
			Comment struct {
				Body   string
				Public *bool
			} `json:"comment"`
			Status     string                        `json:"status"`
			Requester  *struct{ Name, Email string } `json:"requester"`
			ExternalID string                        `json:"external_id"`
			Tags       []string                      `json:"tags"`
			FollowUpOf int64                         `json:"via_followup_source_id"`

			CustomFields []customField `json:"custom_fields"`
		} `json:"ticket"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return problem(400, "invalid_request", "the request is not JSON")
	}
	t := &Ticket{
		ID: strconv.Itoa(cmp.Or(z.conf.FirstTicket, 35001) + len(z.tickets)), Key: in.Ticket.ExternalID, Subject: in.Ticket.Subject, Text: in.Ticket.Comment.Body,
		Status: cmp.Or(in.Ticket.Status, "new"), Tags: in.Ticket.Tags, changed: z.now(),
		Internal: in.Ticket.Comment.Public != nil && !*in.Ticket.Comment.Public,
	}
	if in.Ticket.FollowUpOf != 0 {
		t.FollowUp = strconv.FormatInt(in.Ticket.FollowUpOf, 10)
		if source := z.ticket(t.FollowUp); source == nil || source.Status != "closed" {
			return invalid("base", "Follow-up source is not closed", "InvalidValue")
		}
	}
	if r := in.Ticket.Requester; r != nil {
		t.Name, t.Email = r.Name, r.Email
	}
	switch {
	case t.Text == "":
		return invalid("comment", "Comment: cannot be blank", "BlankValue")
	case t.Email != "" && !strings.Contains(t.Email, "."):
		return invalid("requester", "Requester: Email: "+t.Email+" is not properly formatted", "InvalidFormat")
	}
	z.setFields(t, in.Ticket.CustomFields)
	z.tickets = append(z.tickets, t)
	return answer{status: 201, body: map[string]any{"ticket": z.show(t)}}
}

// invalid is Zendesk's answer to what it does not take.
func invalid(field, description, code string) answer {
	return answer{status: 422, body: map[string]any{
		"error": "RecordInvalid", "description": "Record validation errors",
		"details": map[string]any{field: []any{map[string]any{"description": description, "error": code}}},
	}}
}

// show is a ticket as the API has it: the id is a number.
func (z *Zendesk) show(t *Ticket) map[string]any {
	return map[string]any{
		"id": json.Number(t.ID), "external_id": t.Key, "subject": t.Subject, "description": t.Text, "status": t.Status,
		"custom_fields": []any{map[string]any{"id": z.conf.GroupField, "value": t.Group}},
		"tags":          append([]string{}, t.Tags...), "updated_at": t.stamp(),
	}
}

// stamp is when a ticket was changed last, in the seconds that the API tells.
func (t *Ticket) stamp() string { return t.changed.UTC().Format(time.RFC3339) }

// find lists the tickets of an external id, or all of them.
func (z *Zendesk) find(r *http.Request, _ []byte) answer {
	list := []any{}
	found := z.tickets
	if query := r.URL.Query(); query.Has("external_id") {
		found = z.withKey(query.Get("external_id"))
	}
	for _, t := range found {
		if !t.Deleted {
			list = append(list, z.show(t))
		}
	}
	return answer{status: 200, body: map[string]any{"tickets": list, "next_page": nil, "count": len(list)}}
}

// customField is a field that the account defined.
type customField struct {
	ID    int64 `json:"id"`
	Value any   `json:"value"`
}

func (z *Zendesk) setFields(t *Ticket, fields []customField) {
	for _, f := range fields {
		if value, is := f.Value.(string); is && f.ID == z.conf.GroupField {
			t.Group = value
		}
	}
}

func (z *Zendesk) read(r *http.Request, _ []byte) answer {
	id, _ := strings.CutSuffix(r.PathValue("file"), ".json")
	t := z.ticket(id)
	if t == nil || t.Deleted {
		return problem(404, "RecordNotFound", "Not found")
	}
	return answer{status: 200, body: map[string]any{"ticket": z.show(t)}}
}

func (z *Zendesk) update(r *http.Request, body []byte) answer {
	id, _ := strings.CutSuffix(r.PathValue("file"), ".json")
	t := z.ticket(id)
	var in struct {
		Ticket struct {
			CustomFields []customField `json:"custom_fields"`
			Status       string        `json:"status"`
			AssigneeID   json.Number   `json:"assignee_id"`
			Tags         []string      `json:"additional_tags"`
			SafeUpdate   bool          `json:"safe_update"`
			Stamp        string        `json:"updated_stamp"`
			Comment      *struct {
				Body    string   `json:"body"`
				Public  *bool    `json:"public"`
				Uploads []string `json:"uploads"`
			} `json:"comment"`
		} `json:"ticket"`
	}
	err := json.Unmarshal(body, &in)
	switch {
	case t == nil || t.Deleted:
		return problem(404, "RecordNotFound", "Not found")
	case err != nil:
		return problem(400, "invalid_request", "the request is not JSON")
	case t.Status == "closed":
		return invalid("status", "Status: closed prevents ticket update", "InvalidValue")
	case in.Ticket.AssigneeID != "" && z.conf.Agents != nil && !slices.Contains(z.conf.Agents, in.Ticket.AssigneeID.String()):
		return invalid("assignee", "Assignee: is not an agent", "InvalidValue")
	case in.Ticket.SafeUpdate && in.Ticket.Stamp != t.stamp():
		return problem(409, "UpdateConflict", "Safe Update prevented the update due to outdated ticket data.")
	}
	if c := in.Ticket.Comment; c != nil {
		n := Note{Text: c.Body, Public: c.Public == nil || *c.Public}
		for _, token := range c.Uploads {
			f, known := z.ups[token]
			if !known {
				return invalid("comment", "Attachment is invalid", "InvalidValue")
			}
			n.Files = append(n.Files, f)
		}
		if c.Body == "" || len([]rune(c.Body)) > 65536 {
			return invalid("comment", "Comment is blank or too long", "InvalidValue")
		}
		t.Notes = append(t.Notes, n)
	}
	for _, tag := range in.Ticket.Tags {
		if !slices.Contains(t.Tags, tag) {
			t.Tags = append(t.Tags, tag)
		}
		if rating, is := strings.CutPrefix(tag, "im_rating_"); is {
			t.Rating, _ = strconv.Atoi(rating)
		}
	}
	if in.Ticket.AssigneeID != "" {
		t.Assignee = in.Ticket.AssigneeID.String()
	}
	if in.Ticket.Status != "" {
		t.Status = in.Ticket.Status
	}
	z.setFields(t, in.Ticket.CustomFields)
	t.changed = z.now()
	return answer{status: 200, body: map[string]any{"ticket": z.show(t)}}
}

func (z *Zendesk) upload(r *http.Request, body []byte) answer {
	token, name := rand.Text(), r.URL.Query().Get("filename")
	if name == "" || len(body) == 0 {
		return problem(422, "RecordInvalid", "the upload has no name or no content")
	}
	z.ups[token] = File{name, string(body)}
	return answer{status: 201, body: map[string]any{"upload": map[string]any{"token": token, "attachment": map[string]any{"file_name": name, "size": len(body)}}}}
}

// Solve implements [Fake].
func (z *Zendesk) Solve(id string) Delivery { return z.SetStatus(id, "solved") }

// Assign implements [Fake]; the delivery is of the event subscription.
func (z *Zendesk) Assign(id, agent string) Delivery {
	before, after := z.change(id, func(t *Ticket) {
		t.Assignee = agent
		if t.Status == "new" && agent != "" {
			t.Status = "open"
		}
	})
	return z.event("agent_assignment_changed", after, orZero(after.Assignee), orZero(before.Assignee))
}

// orZero is how events write no id.
func orZero(id string) string {
	if id == "" {
		return "0"
	}
	return id
}

// SetClosed implements [Fake].
func (z *Zendesk) SetClosed(id string, closed bool) Delivery {
	status := "open"
	if closed {
		status = "closed"
	}
	return z.SetStatus(id, status)
}

// SetStatus changes a ticket's status.
func (z *Zendesk) SetStatus(id, status string) Delivery {
	before, after := z.change(id, func(t *Ticket) { t.Status = status })
	return z.event("status_changed", after, strings.ToUpper(after.Status), strings.ToUpper(before.Status))
}

// Merge merges a ticket into another, which closes the first ticket, and returns the
// event subscription's requests about the merge and the status.
func (z *Zendesk) Merge(id, into string) (merged, closed Delivery) {
	before, after := z.change(id, func(t *Ticket) {
		t.Status = "closed"
		t.Tags = append(t.Tags, "closed_by_merge")
	})
	return z.event("merged", after, nil, nil, "target_ticket_id", into), z.event("status_changed", after, "CLOSED", strings.ToUpper(before.Status))
}

// Commented returns the event subscription's request about a comment.
func (z *Zendesk) Commented(id, text string, public bool) Delivery {
	_, after := z.change(id, func(t *Ticket) {})
	return z.event("comment_added", after, map[string]any{"body": text, "is_public": public}, nil)
}

// SetDeleted implements [Fake].
func (z *Zendesk) SetDeleted(id string, deleted bool) Delivery {
	_, after := z.change(id, func(t *Ticket) { t.Deleted = deleted })
	if deleted {
		return z.event("soft_deleted", after, nil, nil)
	}
	return z.event("undeleted", after, nil, nil)
}

// event is the delivery of an event subscription: ids are texts, states in
// capitals, and the whole ticket comes along.
func (z *Zendesk) event(kind string, t Ticket, current, previous any, more ...string) Delivery {
	at := z.now().UTC()
	detail := map[string]any{
		"id": t.ID, "assignee_id": orZero(t.Assignee), "status": strings.ToUpper(t.Status), "external_id": t.Key, "subject": t.Subject,
		"description": t.Text, "updated_at": at.Format(time.RFC3339),
	}
	change := map[string]any{"meta": map[string]any{"version": "1.0"}}
	if current != nil {
		change["current"], change["previous"] = current, previous
	}
	if len(more) == 2 {
		change[more[0]] = more[1]
	}
	return z.Sign(marshal(map[string]any{
		"type": "zen:event-type:ticket." + kind, "account_id": 12514403, "id": "evt-" + rand.Text(), "time": at.Format(time.RFC3339Nano),
		"zendesk_event_version": "2022-11-06", "subject": "zen:ticket:" + t.ID, "detail": detail, "event": change,
	}))
}

// Trigger returns the request that a trigger with the JSON body of
// functions/ticket-creator's README sends about a ticket in its present state.
func (z *Zendesk) Trigger(id string) Delivery {
	_, t := z.change(id, func(*Ticket) {})
	return z.Sign(marshal(map[string]any{
		"ticket_id": t.ID, "external_id": t.Key, "assignee_id": t.Assignee, "status": t.Status,
		"updated_at": z.now().UTC().Format(time.RFC3339),
	}))
}

// Sign signs any body as a webhook does, at the fake's time.
func (z *Zendesk) Sign(body []byte) Delivery {
	timestamp := z.now().UTC().Format(time.RFC3339)
	mac := hmac.New(sha256.New, []byte(z.conf.WebhookSecret))
	fmt.Fprint(mac, timestamp)
	mac.Write(body)
	return Delivery{Path: "/zendesk/events", Body: body, Header: http.Header{
		"Content-Type":                          {"application/json; charset=utf-8"},
		"X-Zendesk-Webhook-Signature":           {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		"X-Zendesk-Webhook-Signature-Timestamp": {timestamp},
		"X-Zendesk-Account-Id":                  {"12514403"},
		"X-Zendesk-Webhook-Invocation-Id":       {rand.Text()},
	}}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("desktest: " + err.Error())
	}
	return b
}
