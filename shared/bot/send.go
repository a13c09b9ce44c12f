package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
)

// send sends an answer, in as many messages as it takes. What IM refuses for
// good, such as a message into a group that is gone, is dropped.
func (b *Bots) send(ctx context.Context, m message, text string) error {
	for i, part := range Split(text, MaxPart) {
		event := fmt.Sprintf("bot/%s/%d", m.id(), i)
		var err error
		if m.GroupID != "" {
			_, err = b.c.Sends.Group(ctx, event, im.GroupMsg{
				GroupID: m.GroupID, TopicID: m.TopicID, From: m.Robot, Body: im.Text(part), AfterCallback: b.c.AfterCallback,
			})
		} else {
			_, err = b.c.Sends.C2C(ctx, event, im.C2CMsg{From: m.Robot, To: m.From, Body: im.Text(part), AfterCallback: b.c.AfterCallback})
		}
		switch {
		case errors.Is(err, once.ErrUnknown), im.Lasting(err):
			b.log(ctx, m, err)
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// log says that a message got no answer of the model's, or none at all; not what
// it was.
func (b *Bots) log(ctx context.Context, m message, err error) {
	reason := "an empty answer"
	if err != nil {
		reason = err.Error()
	}
	slog.WarnContext(ctx, "a message to a robot was not answered well", "robot", m.Robot, "group", m.GroupID, "message", m.id(), "reason", reason)
}
