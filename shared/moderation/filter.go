// Package moderation decides what may be said: a verdict on each message before
// it is delivered.
package moderation

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
)

// refusedText is what the sender of a refused message gets to read.
const refusedText = "this message was not sent"

// Filter gives verdicts by a rule set. It changes nothing and keeps nothing.
type Filter struct{ rules *Rules }

// NewFilter returns a filter for a rule set.
func NewFilter(rules *Rules) *Filter { return &Filter{rules} }

// Register adds the filter's rules. When one cannot finish in time the message
// passes: a chat that says nothing is worse than one bad word.
func (f *Filter) Register(m *callback.Mux) {
	callback.Before(m, "words", callback.FailOpen, f.c2c)
	callback.Before(m, "words", callback.FailOpen, f.group)
}

func (f *Filter) c2c(ctx context.Context, e *callback.C2CBeforeSendMsg) (v callback.C2CVerdict, err error) {
	switch action, err := f.judge(ctx, e.MsgBody); action {
	case Reject:
		return v.Reject(refusedText), nil
	case Drop:
		return v.Drop(), nil
	default:
		return v, err
	}
}

func (f *Filter) group(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
	switch action, err := f.judge(ctx, e.MsgBody); action {
	case Reject:
		return v.Reject(refusedText), nil
	case Drop:
		return v.Drop(), nil
	default:
		return v, err
	}
}

// judge returns the action of the first word found, "" for none.
func (f *Filter) judge(ctx context.Context, body im.MsgBody) (Action, error) {
	for text := range body.Texts() {
		if w, found := f.rules.Find(text); found {
			return w.Action, nil
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	return "", nil
}
