package desk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Closings is the process that checks the groups of solved tickets once their time for
// the requester's last word has passed.
var Closings = process.Name{Agenda: "ticket-closings", Job: "ticket.closing", Lane: queue.Slow}

const (
	// BestRating is the best answer to a survey; the worst is 1.
	BestRating = 5
	// MaxComment bounds the comment of an answer, in characters.
	MaxComment = 2000
	// MaxLinger is the longest Config.Linger.
	MaxLinger = 30 * 24 * time.Hour
)

func (t *Tickets) policy() policy {
	return policy{now: t.now(), linger: t.conf.Linger, keep: t.conf.KeepClosed}
}

// settleRound has the transcript of a round made, and its group looked at again
// when it has lingered. Both jobs may be made twice.
func (t *Tickets) settleRound(ctx context.Context, tk *ticket, id string) error {
	if !tk.over() || tk.Deleted.On {
		return nil
	}
	if tk.Recorded < tk.Round && !tk.Up {
		tk.Recorded = tk.Round // its group was gone before it was over
	}
	if tk.Recorded < tk.Round {
		err := t.recordLater(ctx, recording{
			TicketID: id, GroupID: tk.GroupID, UserID: tk.UserID, Made: tk.Made, Round: tk.Round, Ended: tk.Ended, Into: tk.MergedInto,
		})
		if err != nil {
			return err
		}
	}
	if until := tk.Ended.Add(t.conf.Linger); tk.Up && !tk.Closed.On && t.now().Before(until) {
		// The guard comes before the commit that it guards.
		if err := t.closings.Guard(ctx, id, until); err != nil {
			return err
		}
	}
	return nil
}

// lingers is the job that has a group looked at again.
func (t *Tickets) lingers(ctx context.Context, id string) error {
	err := t.enqueue(ctx, entry{Lingered: &lingered{TicketID: id, At: t.now()}})
	if err == nil {
		t.closings.Done(ctx, id)
	}
	return err
}

// ofUs marks what we say in a ticket's group, for clients that show it otherwise
// and for transcripts that leave it out.
func ofUs(event, data string) string {
	return `{"businessID":"backchannel","event":"` + event + `","data":` + data + `}`
}

const ourMark = `{"businessID":"backchannel",`

// tell says something in a ticket's group once. A group that is gone, or a text
// that IM does not take, is no error: nothing depends on it.
func (t *Tickets) tell(ctx context.Context, event string, m im.GroupMsg) error {
	m.From = t.conf.Greeter
	_, err := t.conf.Sends.Group(ctx, event, m)
	if im.Lasting(err) || errors.Is(err, once.ErrUnknown) || errors.Is(err, once.ErrInvalid) {
		slog.WarnContext(ctx, "requester not notified about a ticket", "error", err.Error())
		return nil
	}
	return err
}

// askSurvey asks the requester how it was.
func (t *Tickets) askSurvey(ctx context.Context, r recording) error {
	if t.conf.Survey == "" {
		return nil
	}
	var tk ticket
	if _, err := t.read(ctx, ticketBox(r.TicketID), ticketItem, &tk); err != nil {
		return err
	}
	if tk.Round == r.Round && tk.Ended.IsZero() || tk.Round > r.Round || tk.Closed.On {
		return nil // reopened meanwhile, or closed for good: then the group goes
	}
	data := fmt.Sprintf(`{"ticketId":%q,"round":%d,"scale":%d}`, r.TicketID, r.Round, BestRating)
	return t.tell(ctx, fmt.Sprintf("desk/%s/survey/%d", r.TicketID, r.Round), im.GroupMsg{
		GroupID: r.GroupID, Body: im.Text(t.conf.Survey), CloudCustomData: ofUs("survey", data),
	})
}

// Register adds the rule of requesters' messages in a ticket's group: answers to a
// survey, the reopening of a solved ticket, and the notice outside business hours.
func (t *Tickets) Register(m *callback.Mux) {
	about := t.conf.IsGroup
	if about == nil {
		about = func(groupID string) bool {
			_, may := t.ticketOfGroup(groupID)
			return may
		}
	}
	callback.AfterAbout(m, "desk", func(e *callback.GroupAfterSendMsg) bool { return about(e.GroupID) }, t.heard)
}

// heard looks at a message of a requester. It is idempotent by the message: what
// follows is an entry of the ticket's mailbox, named by it, or a send of package
// once.
func (t *Tickets) heard(ctx context.Context, e *callback.GroupAfterSendMsg) error {
	id, may := t.ticketOfGroup(e.GroupID)
	if !may || e.OnlineOnlyFlag != 0 {
		return nil
	}
	var tk ticket
	if _, err := t.read(ctx, ticketBox(id), ticketItem, &tk); err != nil {
		return err
	}
	if tk.GroupID != e.GroupID || e.From != tk.UserID {
		return nil
	}
	at := e.MsgTime.Time()
	if tk.over() {
		return t.enqueue(ctx, entry{Said: saidBy(id, tk.Made, e.MsgSeq, at, e.MsgBody)})
	}
	return t.away(ctx, &tk, id, at)
}

// saidBy is what a message of the requester is to a ticket that is over.
func saidBy(ticketID string, made int, seq uint32, at time.Time, body im.MsgBody) *said {
	text := strings.TrimSpace(body.PlainText())
	return &said{
		TicketID: ticketID, ID: fmt.Sprintf("%d/%d/%d", made, seq, at.Unix()), At: at, Rating: readRating(text), Text: cutRunes(text, MaxComment),
	}
}

// readRating returns the rating that a whole message is, or 0.
func readRating(text string) int {
	r, size := utf8.DecodeRuneInString(text)
	if size != len(text) || !unicode.IsDigit(r) {
		return 0
	}
	if '０' <= r && r <= '９' {
		r -= '０' - '0'
	}
	n, err := strconv.Atoi(string(r))
	if err != nil || n < 1 || n > BestRating {
		return 0
	}
	return n
}

func cutRunes(s string, most int) string {
	for i := range s {
		if most--; most < 0 {
			return s[:i]
		}
	}
	return s
}

// hear takes in what the requester said when his ticket was over: his rating, or
// that he is back.
func (t *Tickets) hear(ctx context.Context, tk *ticket, s said) error {
	// IM's times are whole seconds.
	if !tk.over() || tk.Deleted.On || s.At.Add(time.Second).Before(tk.Ended) {
		return nil
	}
	if s.Rating > 0 && t.conf.Survey != "" {
		return t.rate(ctx, tk, rated{s.TicketID, Rating{Round: tk.Round, Rating: s.Rating, At: s.At}})
	}
	if tk.MergedInto != "" {
		return t.passOn(ctx, tk, s)
	}
	return t.reopen(ctx, tk, s)
}

// passOn has a message in the group of a merged ticket noted at the one that goes on
// with it, and that one opened.
func (t *Tickets) passOn(ctx context.Context, tk *ticket, s said) error {
	text := s.Text
	if text == "" {
		text = "(no text)"
	}
	err := t.conf.Desk.AddNote(ctx, tk.MergedInto, Note{
		Key: "message-" + digest(s.TicketID, s.ID)[:24], Title: "Message", Text: fmt.Sprintf("%s writes in the chat of ticket %s:\n\n%s", tk.UserID, s.TicketID, text),
	})
	if err == nil {
		err = t.conf.Desk.Update(ctx, tk.MergedInto, Update{Status: Reopened})
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // deleted
	case errors.Is(err, ErrRefused):
		return t.followUp(ctx, tk, s) // closed for good, as this one is
	}
	return err
}

// rated reports whether the round has its rating.
func (t *ticket) rated() bool { return t.Rating != nil && t.Rating.Round == t.Round }

// rate notes a rating and has it written at the desk. The first of a round counts.
func (t *Tickets) rate(ctx context.Context, tk *ticket, r rated) error {
	if r.Round != tk.Round || tk.rated() {
		return nil
	}
	rating := r.Rating
	tk.Rating = &rating
	return t.recordLater(ctx, recording{TicketID: r.TicketID, GroupID: tk.GroupID, UserID: tk.UserID, Round: r.Round, Ended: r.At, Rated: &rating})
}

// reopen opens a ticket again because its requester came back. One that the desk
// has closed for good gets a follow-up, with a group of its own.
func (t *Tickets) reopen(ctx context.Context, tk *ticket, s said) error {
	err := t.conf.Desk.Update(ctx, s.TicketID, Update{Status: Reopened})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // deleted, as the desk will tell
	case errors.Is(err, ErrRefused):
		return t.followUp(ctx, tk, s)
	case err != nil:
		return err
	}
	tk.apply(Change{What: Reopened, TicketID: s.TicketID, At: t.now()})
	return nil
}

// followUp opens a ticket that follows a closed one: one for each round, however
// much the requester writes.
func (t *Tickets) followUp(ctx context.Context, tk *ticket, s said) error {
	text := s.Text
	if text == "" {
		text = "(no text)"
	}
	_, err := t.Open(ctx, api.Caller{Server: "follow-up"}, fmt.Sprintf("%s/%d", s.TicketID, tk.Round), Asked{
		UserID: tk.UserID, Zone: tk.Zone, Ticket: Ticket{Subject: tk.Name, Text: text, FollowUp: s.TicketID},
	})
	if f, is := errors.AsType[*fault.Error](err); is && (f.Code == fault.IdempotencyMismatch || f.Code == fault.Invalid) {
		return nil // it was made of an earlier message, or the desk takes none
	}
	return err
}
