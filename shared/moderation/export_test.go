package moderation

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/im"
)

// Judge reports whether a filter refuses a message, within a context.
func Judge(ctx context.Context, f *Filter, body im.MsgBody) (refused bool) {
	return f.judge(ctx, message{Held: Held{From: "jane", MsgBody: body}}).refuse
}
