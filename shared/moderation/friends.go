package moderation

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
)

const (
	// friendsKnown is how long two people count as friends without asking again.
	// That two users are no friends is asked each time: it may change any moment.
	friendsKnown = time.Minute
	// friendsKept bounds how many pairs an instance remembers.
	friendsKept = 10_000
)

// friendRule lets only friends write to each other.
type friendRule struct {
	c     Config
	mu    sync.Mutex
	known map[[2]string]time.Time // until when
}

func newFriendRule(c Config) *friendRule {
	return &friendRule{c: c, known: make(map[[2]string]time.Time)}
}

func (r *friendRule) c2c(ctx context.Context, e *callback.C2CBeforeSendMsg) (v callback.C2CVerdict, err error) {
	if r.exempt(e.From) || r.exempt(e.To) {
		return v, nil
	}
	are, err := r.areFriends(ctx, e.From, e.To)
	switch {
	case err != nil || are:
		return v, err
	case r.c.C2CCode != 0:
		return v.RejectCode(r.c.C2CCode, r.c.FriendsText), nil
	}
	return v.Reject(r.c.FriendsText), nil
}

func (r *friendRule) exempt(userID string) bool {
	return im.IsRobot(userID) || slices.Contains(r.c.Exempt, userID)
}

func (r *friendRule) areFriends(ctx context.Context, a, b string) (bool, error) {
	pair := [2]string{min(a, b), max(a, b)}
	now := r.c.Now()
	r.mu.Lock()
	known := now.Before(r.known[pair])
	r.mu.Unlock()
	if known {
		return true, nil
	}
	are, err := r.c.Friends.AreFriends(ctx, a, b)
	if err != nil || !are {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= friendsKept {
		clear(r.known)
	}
	r.known[pair] = now.Add(friendsKnown)
	return true, nil
}
