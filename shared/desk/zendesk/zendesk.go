// Package zendesk is the adapter of [desk.Desk] for Zendesk's Ticketing API, and
// authenticates Zendesk's webhooks.
//
// Tickets are made as tickets, not as requests: a request made with our token would
// have us for its requester. Our tickets carry the tag [Tag] and our key as their
// external id.
package zendesk

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
)

// GroupPrefix comes before the ticket's id in the GroupID of its group: the guide's
// form, which Tencent's own app for Zendesk expects.
const GroupPrefix = "ZENDESK#"

// Tag is the tag of all our tickets, for triggers and views.
const Tag = "im_chat"

// Config makes a Desk. Either ClientID and ClientSecret are set, or Email and
// APIToken.
type Config struct {
	URL          string // such as https://example.zendesk.com
	ClientID     string // of a confidential OAuth client
	ClientSecret string
	Email        string // of an agent
	APIToken     string // Zendesk accepts none after 2027-04-30
	// GroupField is the id of the custom ticket field, of type text, that is
	// told the group.
	GroupField int64
	// Scope is what the OAuth client may do; "": read and write tickets.
	Scope string

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
}

// Desk is an account of Zendesk. It implements [desk.Desk].
type Desk struct {
	conf   Config
	client *desk.Client
}

var _ desk.Desk = (*Desk)(nil)

// New checks the settings and makes a Desk. It does not call Zendesk.
func New(conf Config) (*Desk, error) {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	d := &Desk{conf: conf, client: &desk.Client{Name: "zendesk", Transport: conf.Transport, Now: conf.Now}}
	if err := desk.CheckBase(conf.URL); err != nil {
		return nil, fmt.Errorf("zendesk: %w", err)
	}
	oauth, basic := conf.ClientID != "" && conf.ClientSecret != "", conf.Email != "" && conf.APIToken != ""
	switch {
	case oauth == basic:
		return nil, errors.New("zendesk: either an OAuth client's id and secret are needed, or e-mail and API token")
	case conf.GroupField <= 0:
		return nil, errors.New("zendesk: the id of the ticket field for the group is needed")
	case oauth:
		d.client.Login = d.login
	default:
		d.client.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(conf.Email+"/token:"+conf.APIToken))
	}
	return d, nil
}

// Tokens of ours live for an hour, and are renewed a little before.
const (
	tokenLife  = time.Hour
	tokenEarly = 5 * time.Minute
)

// login gets a token by client credentials. The request is JSON, unlike that of
// most OAuth servers.
func (d *Desk) login(ctx context.Context) (desk.Token, error) {
	call := desk.Call{Op: "login", Method: http.MethodPost, URL: d.conf.URL + "/oauth/tokens"}
	asked := d.conf.Now()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	_, err := d.do(ctx, d.client.Plain, call, map[string]any{
		"grant_type": "client_credentials", "client_id": d.conf.ClientID, "client_secret": d.conf.ClientSecret,
		"scope": cmp.Or(d.conf.Scope, "tickets:read tickets:write"), "expires_in": int(tokenLife.Seconds()),
	}, &out)
	if err == nil && out.AccessToken == "" {
		err = d.client.Unreadable(call)
	}
	if err != nil {
		return desk.Token{}, err
	}
	return desk.Token{Value: out.AccessToken, Until: asked.Add(tokenLife - tokenEarly)}, nil
}

// do sends in as JSON, if it is not nil, and reads an answer of good status.
func (d *Desk) do(ctx context.Context, send func(context.Context, desk.Call) (desk.Answer, error), call desk.Call, in, out any) (desk.Answer, error) {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return desk.Answer{}, fmt.Errorf("zendesk: %w", err)
		}
		call.Body = body
	}
	a, err := send(ctx, call)
	switch {
	case err != nil:
		return a, err
	case a.Status == http.StatusNoContent && out == nil:
		return a, nil
	case a.Status != http.StatusOK && a.Status != http.StatusCreated:
		return a, d.refusal(call, a)
	case out == nil:
		return a, nil
	case json.Unmarshal(a.Body, out) != nil:
		return a, d.client.Unreadable(call)
	}
	return a, nil
}

// invalidEndpoint is Zendesk's code for a path that it does not have: the base
// URL is wrong, and no ticket is missing.
const invalidEndpoint = "InvalidEndpoint"

// refusal is the error for an answer of a status that is no success.
func (d *Desk) refusal(call desk.Call, a desk.Answer) error {
	code, detail := readProblem(a.Body)
	err := d.client.Refusal(call, a, detail)
	if e, is := errors.AsType[*desk.Error](err); is && code == invalidEndpoint {
		e.Kind = desk.ErrAccess
	}
	return err
}

// readProblem reads the codes and fields of an error, and none of the
// descriptions, which quote what was sent. An answer 429 may be plain text, and
// the details have several shapes; what is readable of them counts.
func readProblem(body []byte) (code, detail string) {
	var e struct {
		Error   json.RawMessage `json:"error"` // a text, or an object with a title
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	if json.Unmarshal(e.Error, &code) != nil {
		code = ""
	}
	parts := []string{desk.Word(code)}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(e.Details, &fields) // a text or a list names no fields
	for field, data := range fields {
		var problems []struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(data, &problems) // a text has no codes
		for _, p := range problems {
			parts = append(parts, desk.Word(field)+": "+desk.Word(p.Error))
		}
		if len(problems) == 0 {
			parts = append(parts, desk.Word(field))
		}
	}
	slices.Sort(parts[1:])
	return code, strings.Join(parts, " ")
}

// ticket is what the API says of one.
type ticket struct {
	ID         int64  `json:"id"`
	ExternalID string `json:"external_id"`
}

func (t ticket) id() string { return strconv.FormatInt(t.ID, 10) }

// Create implements [desk.Desk]. Zendesk keeps the Idempotency-Key for about two
// hours, and refuses it with another content.
func (d *Desk) Create(ctx context.Context, t desk.Ticket) (string, error) {
	type requester struct {
		Name  string `json:"name"`
		Email string `json:"email,omitempty"`
	}
	type comment struct {
		Body   string `json:"body"`
		Public *bool  `json:"public,omitempty"` // without it, it is
	}
	in := struct {
		Subject    string     `json:"subject,omitempty"`
		Comment    comment    `json:"comment"`
		Requester  *requester `json:"requester,omitempty"`
		ExternalID string     `json:"external_id"`
		Tags       []string   `json:"tags"`
		Status     string     `json:"status,omitempty"`
		FollowUpOf int64      `json:"via_followup_source_id,omitempty"`
	}{t.Subject, comment{Body: t.Text}, nil, t.Key, []string{Tag}, "", 0}
	if t.Internal { // and it has no chat, which the tag says
		in.Comment.Public, in.Status, in.Tags = new(bool), "solved", []string{}
	}
	if t.FollowUp != "" {
		of, err := strconv.ParseInt(t.FollowUp, 10, 64)
		if err != nil {
			return "", fmt.Errorf("zendesk: create: %w: no ticket has the id that this one follows", desk.ErrRefused)
		}
		in.FollowUpOf = of
	}
	if t.Name != "" || t.Email != "" {
		in.Requester = &requester{t.Name, t.Email}
		if t.Name == "" {
			in.Requester.Name = t.Email
		}
	}
	call := desk.Call{
		Op: "create", Method: http.MethodPost, URL: d.conf.URL + "/api/v2/tickets.json",
		Header: http.Header{"Idempotency-Key": {t.Key}},
	}
	var out struct{ Ticket ticket }
	if _, err := d.do(ctx, d.client.Do, call, map[string]any{"ticket": in}, &out); err != nil {
		return "", err
	}
	if out.Ticket.ID <= 0 {
		return "", d.client.Unreadable(call)
	}
	return out.Ticket.id(), nil
}

// Find implements [desk.Desk]. Where several tickets have the key, Find returns the
// first.
func (d *Desk) Find(ctx context.Context, key string) (string, error) {
	call := desk.Call{Op: "find", Method: http.MethodGet, URL: d.conf.URL + "/api/v2/tickets.json?external_id=" + url.QueryEscape(key)}
	var out struct{ Tickets []ticket }
	a, err := d.do(ctx, d.client.Do, call, nil, &out)
	if err != nil {
		return "", err
	}
	found := ticket{}
	for _, t := range out.Tickets {
		if strings.EqualFold(t.ExternalID, key) && t.ID > 0 && (found.ID == 0 || t.ID < found.ID) {
			found = t
		}
	}
	switch {
	case out.Tickets == nil:
		return "", d.client.Unreadable(call)
	case found.ID == 0:
		a.Status = http.StatusNotFound
		return "", d.client.Refusal(call, a, "")
	}
	return found.id(), nil
}

// Link implements [desk.Desk].
func (d *Desk) Link(ctx context.Context, id, groupID string) error {
	type field struct {
		ID    int64  `json:"id"`
		Value string `json:"value"`
	}
	if err := desk.CheckID(id); err != nil {
		return fmt.Errorf("zendesk: link: %w: %w", desk.ErrNotFound, err)
	}
	call := desk.Call{Op: "link", Method: http.MethodPut, URL: d.ticketURL(id)}
	in := map[string]any{"ticket": map[string]any{"custom_fields": []field{{d.conf.GroupField, groupID}}}}
	var out struct{ Ticket ticket }
	_, err := d.do(ctx, d.client.Do, call, in, &out)
	return err
}

// ticketURL is where a ticket is changed and read.
func (d *Desk) ticketURL(id string) string { return d.conf.URL + "/api/v2/tickets/" + id + ".json" }

// Update implements [desk.Desk].
func (d *Desk) Update(ctx context.Context, id string, u desk.Update) error {
	in := make(map[string]any)
	if u.Assignee != "" {
		agent, err := strconv.ParseInt(u.Assignee, 10, 64)
		if err != nil || agent <= 0 {
			return d.refused("update", "assignee")
		}
		in["assignee_id"] = agent
	}
	switch u.Status {
	case desk.Solved:
		in["status"] = "solved"
	case desk.Reopened:
		in["status"] = "open"
	}
	if err := desk.CheckID(id); err != nil {
		return fmt.Errorf("zendesk: update: %w: %w", desk.ErrNotFound, err)
	}
	var out struct{ Ticket ticket }
	_, err := d.do(ctx, d.client.Do, desk.Call{Op: "update", Method: http.MethodPut, URL: d.ticketURL(id)}, map[string]any{"ticket": in}, &out)
	return err
}

func (d *Desk) refused(op, detail string) error {
	return &desk.Error{Op: "zendesk: " + op, Kind: desk.ErrRefused, Detail: detail}
}

// AddFile implements [desk.Desk]: an upload, which Zendesk forgets in three days
// unless a note takes it. A file that is added twice is only uploaded twice.
func (d *Desk) AddFile(ctx context.Context, _ string, f desk.File) (string, error) {
	call := desk.Call{
		Op: "add a file", Method: http.MethodPost, URL: d.conf.URL + "/api/v2/uploads.json?filename=" + url.QueryEscape(f.Name),
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: []byte(f.Text),
	}
	var out struct {
		Upload struct {
			Token string `json:"token"`
		} `json:"upload"`
	}
	if _, err := d.do(ctx, d.client.Do, call, nil, &out); err != nil {
		return "", err
	}
	if out.Upload.Token == "" {
		return "", d.client.Unreadable(call)
	}
	return out.Upload.Token, nil
}

// noteTries is how often a note is tried that others' changes come in between of.
const noteTries = 5

// noteTag is the tag of a ticket with the note of a key.
func noteTag(key string) string { return "im_" + strings.ReplaceAll(key, "-", "_") }

// mergedTag is what Zendesk tags a ticket with that it merges into another.
const mergedTag = "closed_by_merge"

// ratingTag is the tag of a ticket that its requester rated so.
func ratingTag(rating int) string { return fmt.Sprintf("im_rating_%d", rating) }

// AddNote implements [desk.Desk]: an internal comment. One update adds the comment and
// a tag that records it, and Zendesk refuses the update if the ticket was changed
// since it was read. So the note is added once, whoever else tries and whatever answer
// is lost. Tags are added, never replaced.
func (d *Desk) AddNote(ctx context.Context, id string, n desk.Note) error {
	type comment struct {
		Body    string   `json:"body"`
		Public  bool     `json:"public"`
		Uploads []string `json:"uploads,omitempty"`
	}
	if err := desk.CheckID(id); err != nil {
		return fmt.Errorf("zendesk: add a note: %w: %w", desk.ErrNotFound, err)
	}
	in := map[string]any{"comment": comment{n.Text, false, n.Files}}
	if n.Rating > 0 {
		in["additional_tags"] = []string{ratingTag(n.Rating)}
	}
	call := desk.Call{Op: "add a note", Method: http.MethodPut, URL: d.ticketURL(id)}
	merged := false
	for try := 1; ; try++ {
		if n.Key != "" {
			var out struct {
				Ticket struct {
					Tags      []string `json:"tags"`
					UpdatedAt string   `json:"updated_at"`
				} `json:"ticket"`
			}
			_, err := d.do(ctx, d.client.Do, desk.Call{Op: "read", Method: http.MethodGet, URL: d.ticketURL(id)}, nil, &out)
			if err != nil {
				return err
			}
			merged = slices.Contains(out.Ticket.Tags, mergedTag)
			tag := noteTag(n.Key)
			if slices.Contains(out.Ticket.Tags, tag) {
				return nil
			}
			tags := []string{tag}
			if n.Rating > 0 {
				tags = append(tags, ratingTag(n.Rating))
			}
			in["additional_tags"], in["safe_update"], in["updated_stamp"] = tags, true, out.Ticket.UpdatedAt
		}
		var out struct{ Ticket ticket }
		a, err := d.do(ctx, d.client.Do, call, map[string]any{"ticket": in}, &out)
		if e, is := errors.AsType[*desk.Error](err); is {
			e.Merged = merged
		}
		if err == nil || a.Status != http.StatusConflict || try == noteTries {
			return err
		}
	}
}
