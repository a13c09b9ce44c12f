package desk

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/api"
)

// OpenFor opens a ticket for a user whom a robot cannot help, and returns the ticket's
// id and its group. The same key opens the same ticket, whatever the text is: after a
// crash the model's summary has other words. Errors are those of Open.
func (t *Tickets) OpenFor(ctx context.Context, key, userID, subject, text string) (ticketID, groupID string, err error) {
	asked := Asked{UserID: userID, Ticket: Ticket{Subject: cut(subject, MaxSubject), Text: cut(text, MaxText), Name: cut(userID, MaxName)}, sameKey: true}
	if err := asked.check(api.Caller{Server: "robot"}); err != nil {
		return "", "", err
	}
	opened, err := t.Open(ctx, api.Caller{Server: "robot"}, key, asked)
	return opened.TicketID, opened.GroupID, err
}

// cut returns the start of a text, of at most so many characters.
func cut(text string, characters int) string {
	if r := []rune(text); len(r) > characters {
		return string(r[:characters])
	}
	return text
}

// Over reports whether a ticket is solved, closed or deleted.
func (t *Tickets) Over(ctx context.Context, ticketID string) (bool, error) {
	var tk ticket
	if _, err := t.read(ctx, ticketBox(ticketID), ticketItem, &tk); err != nil {
		return false, err
	}
	return tk.over() || tk.Deleted.On, nil
}
