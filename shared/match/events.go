package match

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Register adds the rules. A callback is a hint only, upon which the group is read: so
// a callback may come twice, late, and in any order.
func (t *Teams) Register(m *callback.Mux) {
	const name = "teams"
	t.lives.Register(m, "teams generation")
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterNewMemberJoin) error {
		return t.hint(ctx, order{GroupID: e.GroupID})
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterMemberExit) error {
		return t.hint(ctx, order{GroupID: e.GroupID})
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterChangeOwner) error {
		return t.hint(ctx, order{GroupID: e.GroupID})
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterDestroyed) error {
		return t.hint(ctx, order{GroupID: e.GroupID})
	})
	callback.After(m, name, func(ctx context.Context, e *callback.GroupAfterFull) error {
		return t.hint(ctx, order{GroupID: e.GroupID, Full: true})
	})
	callback.After(m, name, t.away)
}

// hint has a team looked at. IM tells of every group there is, so what has no
// team ends here.
func (t *Teams) hint(ctx context.Context, o order) error {
	if !isGroupID(o.GroupID) || !strings.HasPrefix(o.GroupID, GroupPrefix) && !t.conf.AnyGroup {
		return nil
	}
	s, err := t.load(ctx, o.GroupID)
	switch {
	case err != nil:
		return err
	case s.none() && !(o.Full && t.conf.AnyGroup), s.over():
		return nil
	case o.Full && (s.Status == Calling || s.Status == Started || s.Status == GivenUp):
		return nil // as it is with everybody who tries to join
	}
	// Under an id of its own: the same hint again may tell of another change.
	return t.put(ctx, "team/"+o.GroupID+"/look/"+rand.Text(), lookKind, queue.Fast, o)
}
