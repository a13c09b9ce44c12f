package bot

import (
	"context"
	"errors"
	"log/slog"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
)

// sendWhole sends a text in as many messages as it takes, the first of which is
// the answer's n-th.
func (d *draft) sendWhole(ctx context.Context, n int, text string) error {
	for i, part := range Split(text, MaxPart) {
		if n+i >= MaxParts {
			break
		}
		if err := d.sendText(ctx, n+i, part); err != nil {
			return d.dropped(ctx, err)
		}
	}
	return nil
}

// sendText sends a message of the answer as a text, once.
func (d *draft) sendText(ctx context.Context, n int, text string) error {
	if d.m.GroupID != "" {
		_, err := d.groupMessage(ctx, n, text)
		return err
	}
	_, err := d.c.Sends.C2C(ctx, d.event(n), im.C2CMsg{From: d.m.Robot, To: d.m.From, Body: im.Text(text), AfterCallback: d.c.AfterCallback})
	return err
}

// dropped is nil for an error that will be the same each time, which it logs.
func (d *draft) dropped(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, once.ErrUnknown) || im.Lasting(err) {
		d.log(ctx, d.m, err)
		return nil
	}
	return err
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
