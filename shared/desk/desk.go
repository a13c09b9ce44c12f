// Package desk joins support tickets and chat groups: a requester gets a ticket at the
// merchant's [Desk] and a chat group, and the group's members follow the ticket's
// agents at the desk.
//
// A [Desk] is a port. Its adapters are zendesk and salesforce, and both pass the
// suite of desktest, against fakes of both desks.
package desk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// The errors of a Desk, each of an [*Error]. Test with errors.Is. Any other error is
// the context's own, possibly wrapped; the outcome of the call is unknown then.
var (
	// ErrNotFound: the desk has no such ticket.
	ErrNotFound = errors.New("no such ticket")
	// ErrRefused: the desk refuses the call, and would refuse a retry. Nothing was
	// changed.
	ErrRefused = errors.New("refused")
	// ErrAccess: the desk rejects our credentials or their permissions; an operator
	// must act. Nothing was changed.
	ErrAccess = errors.New("no access")
	// ErrUnavailable: no answer, or an answer that asks for a retry. The call may have
	// worked: retry the same call, after Error.RetryAfter if that is set.
	ErrUnavailable = errors.New("unavailable")
)

// Error is a call that failed at a desk. Its text contains no secret, no URL, and no
// text of a ticket.
type Error struct {
	Op         string // what was tried, as "zendesk: create"
	Kind       error  // one of the errors above
	Detail     string // the desk's codes and names of fields
	RetryAfter time.Duration
	Merged     bool  // refused because the ticket was merged into another
	Cause      error // where there was no answer
}

func (e *Error) Error() string {
	s := e.Op + ": " + e.Kind.Error()
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns kind and cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// shortestRetry is the least Retry-After of an answer that a desk's trouble made.
const shortestRetry = 5 * time.Second

// As gives the error its public face, a [*fault.Error]: Unavailable where the
// desk may do it later, otherwise Upstream, for the operator to mend.
func (e *Error) As(target any) bool {
	public, is := target.(**fault.Error)
	if !is {
		return false
	}
	code, problem := fault.Upstream, "the desk does not accept our requests"
	if e.Kind == ErrUnavailable {
		code, problem = fault.Unavailable, "the desk does not answer now"
	}
	*public = fault.Wrap(e.Cause, code, "%s; your request is kept and retried, send the same request again for its answer", problem).
		After(max(e.RetryAfter, shortestRetry))
	return true
}

// Limits of a ticket. The narrowest desk decides; Salesforce's fields of a Case.
const (
	MaxSubject = 255   // characters
	MaxText    = 32000 // characters
	MaxName    = 80    // characters
	MaxEmail   = 80    // bytes
)

// keyPrefix begins every key, so that a desk's other tickets are known by theirs.
const keyPrefix = "im-"

// IsKey reports whether a ticket's external id has the form of [Ticket.Key].
func IsKey(externalID string) bool {
	return len(externalID) > len(keyPrefix) && strings.EqualFold(externalID[:len(keyPrefix)], keyPrefix)
}

// Ticket is a request for help.
type Ticket struct {
	// Key is our idempotency key of the ticket, which the desk keeps as the ticket's
	// external id. Desks compare it without regard to case.
	Key     string `json:"key"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	Name    string `json:"name,omitempty"`  // of the requester
	Email   string `json:"email,omitempty"` // of the requester
	// FollowUp is the id of the closed ticket that this one follows, if any.
	FollowUp string `json:"followUp,omitempty"`
	// Internal: only the people of the desk read the ticket, nobody is notified, and
	// the ticket is solved from the start. An internal ticket holds notes that the
	// closed ticket before it no longer takes.
	Internal bool `json:"internal,omitempty"`
}

// MaxNote is the longest text of a Note, in characters. Longer ones go into files.
const MaxNote = 60_000

// File is a plain text file for a Note.
type File struct {
	// Key names the file among those of its ticket. Adding the same file again is a
	// no-op.
	Key  string
	Name string // as people see it, with its ending
	Text string
}

// Note is a text for the people of the desk; the requester cannot read it.
type Note struct {
	// Key names the note among those of its ticket: lower-case letters, digits and
	// hyphens, at most 40. Notes of a ticket are deduplicated by Key; notes with the
	// Key "" are not.
	Key   string
	Title string
	Text  string   // at most MaxNote characters
	Files []string // what AddFile returned, in order

	// Rating is the requester's answer to the survey, from 1 to 5, with the
	// requester's comment; 0: none.
	Rating  int
	Comment string
}

// Update is a change of a ticket. Zero fields change nothing.
type Update struct {
	Assignee string // who is to have it
	Status   What   // Solved or Reopened
}

// Desk is a support desk. It is safe for concurrent use.
type Desk interface {
	// Create makes a ticket and returns the desk's id of it, or the id of the ticket
	// that was made with this key and the same content a short time ago. Desks forget
	// keys, the first after two hours: call Find before a retry that is over an hour
	// late. Errors are ErrRefused, also where the desk needs no internal tickets
	// because its closed ones take notes, ErrAccess and ErrUnavailable.
	Create(ctx context.Context, t Ticket) (id string, err error)
	// Find returns the id of the ticket with this key. Errors are ErrNotFound,
	// ErrRefused where the desk has several, ErrAccess and ErrUnavailable.
	Find(ctx context.Context, key string) (id string, err error)
	// Link writes the ticket's chat group into the ticket. Repeating Link is a no-op.
	// Errors are all four.
	Link(ctx context.Context, id, groupID string) error

	// Update changes a ticket. Repeating an update is a no-op. Errors are all four,
	// ErrRefused for a ticket that is closed for good.
	Update(ctx context.Context, id string, u Update) error
	// AddFile stores a file for a note, and returns the file's name for [Note.Files].
	// Errors are all four.
	AddFile(ctx context.Context, id string, f File) (handle string, err error)
	// AddNote adds a note, unless the ticket has a note of its Key. AddNote notifies
	// nobody and changes no status. Errors are all four, ErrRefused for a ticket that
	// is closed for good.
	AddNote(ctx context.Context, id string, n Note) error
}

// CheckID returns an error unless id can be a desk's id of a ticket: letters and
// digits, at most 40 of them.
func CheckID(id string) error {
	if id == "" || len(id) > 40 {
		return fmt.Errorf("an id has 1 to 40 letters and digits")
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Errorf("an id has letters and digits only")
		}
	}
	return nil
}
