package flood

import (
	"context"

	"github.com/backchannel-im/backchannel/shared/im"
)

// TooMuch counts a message in a group and reports whether it is one too many.
func (g *Guard) TooMuch(ctx context.Context, from, groupID string, body im.MsgBody) bool {
	return g.tooMuch(ctx, conversation{from: from, groupID: groupID}, body)
}

// Remembered is how many keys the guard holds.
func (g *Guard) Remembered() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.asked.now) + len(g.asked.before) + len(g.arrived.now) + len(g.arrived.before)
}
