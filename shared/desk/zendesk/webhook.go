package zendesk

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// StaticSecret signs the requests of Zendesk's form for testing a webhook. The manual
// publishes it.
const StaticSecret = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="

// Window is how old or how far ahead a webhook's timestamp may be. Our decision.
const Window = 5 * time.Minute

// Errors for requests that are not authenticated as a webhook's.
var (
	ErrSignature = fault.New(fault.Unauthenticated, "this is not signed as the webhooks of the desk are")
	ErrStale     = fault.New(fault.Unauthenticated, "the webhook's timestamp is more than 5 minutes away from the time here")
)

// The headers of a webhook.
const (
	signatureHeader = "X-Zendesk-Webhook-Signature"
	timestampHeader = "X-Zendesk-Webhook-Signature-Timestamp"
)

// Webhooks authenticates and reads requests of both kinds of Zendesk's webhooks: those
// that subscribe to events, and those that a trigger calls with a body of our making.
type Webhooks struct {
	Secrets []string         // the signing secret of each webhook
	Now     func() time.Time // nil: time.Now
}

// Signature returns the value of the header X-Zendesk-Webhook-Signature for a body and
// a timestamp. The bytes of the secret's text are the key.
func Signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Check returns ErrSignature or ErrStale unless the request comes from one of
// the webhooks.
func (w Webhooks) Check(h http.Header, body []byte) error {
	signature, timestamp := []byte(h.Get(signatureHeader)), h.Get(timestampHeader)
	signed := false
	for _, secret := range w.Secrets {
		if secret != "" && hmac.Equal(signature, []byte(Signature(secret, timestamp, body))) {
			signed = true
		}
	}
	if !signed {
		return ErrSignature
	}
	at, err := parseTime(timestamp)
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	if age := now().Sub(at); err != nil || age > Window || age < -Window {
		return ErrStale
	}
	return nil
}

// parseTime reads a time as Zendesk writes it: RFC 3339, at some places without
// seconds.
func parseTime(s string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04Z07:00", s)
	}
	return at, err
}

// timestamp is a time of a webhook's body; the zero time if it is unreadable.
type timestamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *timestamp) UnmarshalJSON(b []byte) error {
	var s string
	_ = json.Unmarshal(b, &s)
	t.Time, _ = parseTime(s)
	return nil
}

// id is a number that Zendesk writes as text or as number, and as 0 or nothing
// where there is none.
type id string

// UnmarshalJSON implements json.Unmarshaler.
func (i *id) UnmarshalJSON(b []byte) (err error) {
	*i, err = readID(b)
	return err
}

var errNoID = errors.New("an id has digits only")

func readID(b []byte) (id, error) {
	switch s := string(bytes.Trim(b, `"`)); {
	case s == "", s == "0", s == "null":
		return "", nil
	case strings.Trim(s, "0123456789") != "":
		return "", errNoID
	default:
		return id(s), nil
	}
}

// previous is the id as desk.Change has it.
func (i id) previous() string {
	if i == "" {
		return desk.Nobody
	}
	return string(i)
}

// eventPrefix begins the types of events about tickets.
const eventPrefix = "zen:event-type:ticket."

// message is a webhook's body of either kind.
type message struct {
	// Of an event subscription.
	Type   string    `json:"type"`
	ID     string    `json:"id"`
	Time   timestamp `json:"time"`
	Detail struct {
		ID         id      `json:"id"`
		ExternalID *string `json:"external_id"`
	} `json:"detail"`
	Event struct {
		Current  json.RawMessage `json:"current"` // of a type of the event's own
		Previous json.RawMessage `json:"previous"`
		Target   id              `json:"target_ticket_id"` // of a merge
	} `json:"event"`

	// Of a trigger: {"ticket_id":"{{ticket.id}}", ...}.
	TicketID   id      `json:"ticket_id"`
	AssigneeID *id     `json:"assignee_id"`
	Status     string  `json:"status"`
	UpdatedAt  string  `json:"updated_at"`
	ExternalID *string `json:"external_id"`
}

// Read returns the changes of a ticket of ours in a webhook's body; none, if the event
// is of another ticket or of no interest. Its errors are of the code Invalid.
func (w Webhooks) Read(h http.Header, body []byte) ([]desk.Change, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fault.New(fault.Invalid, "the body is neither an event about a ticket nor the JSON of our trigger")
	}
	switch {
	case m.Type != "":
		return m.event()
	case m.TicketID != "":
		return m.trigger(h.Get(timestampHeader), body)
	}
	return nil, fault.New(fault.Invalid, "the body has neither type nor ticket_id")
}

// others reports that a ticket has an external id, or lacks it, as none of ours.
func others(externalID *string) bool {
	return externalID != nil && !desk.IsKey(*externalID)
}

func (m message) event() ([]desk.Change, error) {
	kind, about := strings.CutPrefix(m.Type, eventPrefix)
	if !about || others(m.Detail.ExternalID) {
		return nil, nil
	}
	if m.ID == "" || m.Time.IsZero() {
		return nil, fault.New(fault.Invalid, "an event has an id and a time")
	}
	c := desk.Change{ID: digest(m.ID), TicketID: string(m.Detail.ID), At: m.Time.Time}
	switch kind {
	case "agent_assignment_changed":
		current, err := readID(m.Event.Current)
		previous, errPrevious := readID(m.Event.Previous)
		if m.Event.Current == nil || err != nil || errPrevious != nil {
			return nil, fault.New(fault.Invalid, "the event does not say who the assignee is")
		}
		c.What, c.UserID = desk.Assigned, string(current)
		if m.Event.Previous != nil {
			c.Previous = previous.previous()
		}
	case "status_changed":
		var status string
		if json.Unmarshal(m.Event.Current, &status) != nil {
			return nil, fault.New(fault.Invalid, "the event says nothing of a status")
		}
		if c.What = whatOf(status); c.What == "" {
			return nil, nil
		}
	case "merged":
		if m.Event.Target == "" {
			return nil, nil
		}
		c.What, c.Into = desk.Merged, string(m.Event.Target)
	case "soft_deleted", "permanently_deleted":
		c.What = desk.Deleted
	case "undeleted":
		c.What = desk.Undeleted
	default:
		return nil, nil
	}
	return []desk.Change{c}, nil
}

// whatOf is what a status means. A solved ticket may be reopened, a closed one never
// is.
func whatOf(status string) desk.What {
	switch strings.ToLower(status) {
	case "new", "open", "pending", "hold", "on-hold":
		return desk.Reopened
	case "solved":
		return desk.Solved
	case "closed":
		return desk.Closed
	}
	return "" // of an account in another language
}

// trigger reads the ticket as it was when the trigger ran. Without updated_at
// the webhook's own time stands in, which a repeat has later.
func (m message) trigger(timestamp string, body []byte) ([]desk.Change, error) {
	if others(m.ExternalID) {
		return nil, nil
	}
	event := body
	at, err := parseTime(m.UpdatedAt)
	if err != nil {
		event = append([]byte(timestamp), body...)
		at, err = parseTime(timestamp)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "updated_at is to be {{ticket.updated_at_with_timestamp}}")
	}
	c := desk.Change{ID: digest(string(event)), TicketID: string(m.TicketID), At: at}
	var changes []desk.Change
	if m.AssigneeID != nil {
		assigned := c
		assigned.What, assigned.UserID = desk.Assigned, string(*m.AssigneeID)
		changes = append(changes, assigned)
	}
	if what := whatOf(m.Status); what != "" {
		status := c
		status.What = what
		changes = append(changes, status)
	}
	return changes, nil
}

// digest makes an id of bounded length of whatever tells events apart.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
