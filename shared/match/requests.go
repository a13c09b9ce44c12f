package match

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Asked is a request for a team.
type Asked struct {
	Mode    string // of the match, for the hook and for those who look for a team; one line, may be ""
	Size    int    // members it takes, MinSize to MaxSize
	Captain string // its first member
	Private bool   // only invited users see it and join
	// ReadyCheck has the team start when all of its members are ready, not when it is
	// full.
	ReadyCheck bool
}

// View is a team as its members see it.
type View struct {
	GroupID string       `json:"groupId"` // of the team's group, and the team's own id
	Mode    string       `json:"mode"`
	Size    int          `json:"size"`
	Status  Status       `json:"status"`
	Captain string       `json:"captain"`
	Members []ViewMember `json:"members"` // in the order in which they joined
	Private bool         `json:"private"`
	// Ready are the members who are ready; a team with ReadyCheck starts when all are.
	Ready      []string `json:"ready"`
	ReadyCheck bool     `json:"readyCheck"`
	StartID    string   `json:"startId,omitempty"` // where it starts or has started
}

// ViewMember is a member of a team as users see members.
type ViewMember struct {
	UserID   string    `json:"userId"`
	JoinedAt time.Time `json:"joinedAt"` // whole seconds, by IM's clock
}

func (s *loadedTeam) view() View {
	v := View{s.groupID, s.Mode, s.Size, s.Status.shown(), s.Captain, []ViewMember{}, s.Private, s.Ready, s.Check, ""}
	for _, m := range s.Members {
		v.Members = append(v.Members, ViewMember{m.UserID, time.Unix(m.Joined, 0).UTC()})
	}
	if v.Ready == nil {
		v.Ready = []string{}
	}
	if s.Start != nil {
		v.StartID = s.Start.ID
	}
	return v
}

// Faults that callers get.
var (
	errNoTeam   = fault.New(fault.NotFound, "there is no such team")
	errNotYours = fault.New(fault.Forbidden, "a user acts for himself; for others only the captain does, until the team starts")
	errClosed   = fault.New(fault.Conflict, "the team takes nobody any more: it has started, or is over")
	errFull     = fault.New(fault.Conflict, "the team is full")
	errBusy     = fault.New(fault.Conflict, "too many change this team at once; ask again").After(2 * time.Second)
)

// Create makes a team with its group, in which the captain is alone. The same caller
// with the same idempotency key gets the same team again, for seven days. After an
// error of the codes Unavailable and Timeout the team may be made all the same, and a
// retry returns it. The other codes are final: Invalid, Forbidden, and
// IdempotencyMismatch where the key was used for another request.
func (t *Teams) Create(ctx context.Context, caller api.Caller, name string, asked Asked) (View, error) {
	if err := asked.check(caller); err != nil {
		return View{}, err
	}
	parts := []string{fmt.Sprint(asked.Size), asked.Mode, asked.Captain}
	if asked.Private || asked.ReadyCheck {
		parts = append(parts, fmt.Sprint(asked.Private, asked.ReadyCheck))
	}
	hash := digest(parts...)
	groupID, err := t.idOf(ctx, caller, name)
	if err != nil {
		return View{}, err
	}
	for range tries {
		s, err := t.load(ctx, groupID)
		if err == nil && s.none() {
			// The list comes before the team; who reads it passes over what is not there.
			if err := t.list(ctx, groupID, asked.Mode); err != nil {
				return View{}, err
			}
			s.team = team{
				Asked: hash, Mode: asked.Mode, Size: asked.Size, Captain: asked.Captain, Status: Making, Until: t.now().Add(t.conf.Wait),
				Private: asked.Private, Check: asked.ReadyCheck,
			}
			err = s.save(ctx)
		}
		if err == nil && s.Asked != hash {
			return View{}, fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another team; use a new one")
		}
		if err == nil && s.Status == Making {
			err = s.settle(ctx)
		}
		switch {
		case errors.Is(err, kv.ErrConflict):
			continue // somebody was faster
		case err != nil:
			return View{}, err
		case s.Refused != "":
			return View{}, fault.New(fault.Invalid, "%s", s.Refused)
		}
		return s.view(), nil
	}
	return View{}, errBusy
}

// check refuses what cannot be a team, and users who speak for others.
func (a Asked) check(caller api.Caller) error {
	switch {
	case a.Captain == "":
		return fault.New(fault.Invalid, "captain is missing: say whose team it is")
	case caller.UserID != "" && a.Captain != caller.UserID:
		return errNotYours
	case a.Size < MinSize || a.Size > MaxSize:
		return fault.New(fault.Invalid, "size is a number from %d to %d", MinSize, MaxSize)
	case len(a.Mode) > MaxMode || strings.ContainsFunc(a.Mode, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fault.New(fault.Invalid, "mode is one line of at most %d bytes", MaxMode)
	}
	return checkUser("captain", a.Captain)
}

// idOf names a team so that nobody can guess it, and the same for the same
// request.
func (t *Teams) idOf(ctx context.Context, caller api.Caller, name string) (string, error) {
	id := GroupPrefix + strings.ToLower(rand.Text())
	if name == "" {
		return id, nil
	}
	const item = "team"
	partition := "match/asked/" + digest(caller.Server, caller.UserID, name)
	put := kv.Put{Key: item, Value: []byte(id), Expires: t.now().Add(kept), If: kv.Absent()}
	for {
		err := t.store.Commit(ctx, partition, kv.NewOp("match"), put)
		if !errors.Is(err, kv.ErrConflict) {
			return id, err
		}
		known, err := t.store.Get(ctx, partition, item)
		if !errors.Is(err, kv.ErrNotFound) { // or it has just expired
			return string(known.Value), err
		}
	}
}

// digest tells lists of texts apart.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// find returns a team as it was seen last.
func (t *Teams) find(ctx context.Context, groupID string) (*loadedTeam, error) {
	if !isGroupID(groupID) {
		return nil, errNoTeam
	}
	s, err := t.load(ctx, groupID)
	if err != nil {
		return nil, err
	}
	if s.none() {
		return nil, errNoTeam
	}
	return s, nil
}

// fresh has a team looked at and returns it.
func (t *Teams) fresh(ctx context.Context, groupID string) (*loadedTeam, error) {
	if _, err := t.find(ctx, groupID); err != nil {
		return nil, err
	}
	s, err := t.look(ctx, order{GroupID: groupID})
	return s, err
}

// leads reports whether the caller may act upon the members of a team.
func (s *loadedTeam) leads(caller api.Caller) bool {
	return caller.Server != "" || caller.UserID == s.Captain && (s.waiting() || s.Status == Starting)
}

// View returns a team as it was seen last. A user sees teams of his own and teams that
// wait for members; any other team is NotFound to a user. Errors are of the codes
// NotFound and Unavailable.
func (t *Teams) View(ctx context.Context, caller api.Caller, groupID string) (View, error) {
	s, err := t.find(ctx, groupID)
	switch {
	case err != nil:
		return View{}, err
	case caller.Server != "" || s.has(caller.UserID):
	case s.Private:
		if invited, err := t.invited(ctx, groupID, caller.UserID); err != nil || !invited {
			return View{}, cmp.Or(err, error(errNoTeam))
		}
	case s.Status != Open:
		return View{}, errNoTeam
	}
	return s.view(), nil
}

// Join adds users to a team. Servers may add anyone. Captains may add existing
// accounts until the match starts. Users may add themselves. Adding a member twice is
// a no-op. Errors are of the codes Invalid, Forbidden, NotFound, Conflict if nobody
// was added, and Unavailable, after which the call may be retried.
func (t *Teams) Join(ctx context.Context, caller api.Caller, groupID string, userIDs []string) (View, error) {
	s, err := t.find(ctx, groupID)
	if err != nil {
		return View{}, err
	}
	himself := len(userIDs) == 1 && userIDs[0] == caller.UserID
	switch {
	case !himself && !s.leads(caller):
		return View{}, errNotYours
	case !slices.ContainsFunc(userIDs, func(id string) bool { return !s.has(id) }):
		return s.view(), nil
	case s.Private && himself && caller.Server == "":
		if invited, err := t.invited(ctx, groupID, caller.UserID); err != nil || !invited {
			return View{}, cmp.Or(err, error(errNoTeam))
		}
	}
	if s.Status != Open && s.Status != Starting && s.Status != Failed {
		return View{}, errClosed
	}
	if himself || caller.Server != "" {
		for _, id := range userIDs {
			// A user who has never logged in has no account yet.
			if err := t.conf.IM.ImportAccount(ctx, im.Account{UserID: id}); im.Lasting(err) {
				return View{}, fault.Wrap(err, fault.Invalid, "IM does not take one of these users")
			} else if err != nil {
				return View{}, err
			}
		}
	}
	results, err := t.conf.IM.AddGroupMembers(ctx, groupID, userIDs, false)
	switch {
	case errors.Is(err, im.CodeGroupFull):
		return View{}, errFull
	case errors.Is(err, im.CodeGroupGone):
		return View{}, errClosed
	case im.Lasting(err):
		return View{}, fault.Wrap(err, fault.Conflict, "IM does not let them in")
	case err != nil:
		return View{}, err
	}
	if !slices.ContainsFunc(results, func(r im.MemberAdded) bool { return r.Result != im.NotAdded }) {
		return View{}, fault.New(fault.Conflict, "nobody got in: the team is full, or they are banned from it or unknown")
	}
	if s, err = t.fresh(ctx, groupID); err != nil {
		return View{}, err
	}
	return s.view(), nil
}

// Leave removes a user from a team. Servers may remove anyone, captains too until the
// match starts. Users may remove themselves. When the captain leaves, the member who
// joined first becomes captain; when the last member leaves, the team is over. Removing
// a user who is not a member succeeds. Errors are of the codes Forbidden, NotFound,
// Conflict and Unavailable.
func (t *Teams) Leave(ctx context.Context, caller api.Caller, groupID, userID string) error {
	s, err := t.fresh(ctx, groupID)
	switch {
	case err != nil:
		return err
	case userID != caller.UserID && !s.leads(caller):
		return errNotYours
	case !s.has(userID) || s.over():
		return nil
	}
	if userID == s.Captain {
		heir := slices.IndexFunc(s.Members, func(m Member) bool { return m.UserID != userID })
		switch {
		case heir < 0 && s.Foreign:
			return fault.New(fault.Conflict, "the last member of this group leaves it by dissolving it")
		case heir < 0:
			_, err := t.finish(ctx, groupID, func(*loadedTeam) error { return nil })
			return err
		}
		if err := t.conf.IM.ChangeGroupOwner(ctx, groupID, s.Members[heir].UserID); err != nil {
			return err
		}
	}
	if _, err := t.conf.IM.DeleteGroupMembers(ctx, groupID, []string{userID}, "", false); err != nil {
		return err
	}
	_, err = t.fresh(ctx, groupID)
	return err
}

// PassOn makes another member the captain. Servers and the captain may call it. Errors
// are of the codes Forbidden, NotFound, Conflict where the user is no member, and
// Unavailable.
func (t *Teams) PassOn(ctx context.Context, caller api.Caller, groupID, userID string) (View, error) {
	s, err := t.fresh(ctx, groupID)
	switch {
	case err != nil:
		return View{}, err
	case caller.Server == "" && caller.UserID != s.Captain:
		return View{}, errNotYours
	case s.Status == Ended:
		return View{}, errClosed
	case s.Captain == userID:
		return s.view(), nil
	case !s.has(userID):
		return View{}, fault.New(fault.Conflict, "only a member can be the captain")
	}
	if err := t.conf.IM.ChangeGroupOwner(ctx, groupID, userID); err != nil {
		return View{}, err
	}
	if s, err = t.fresh(ctx, groupID); err != nil {
		return View{}, err
	}
	return s.view(), nil
}

// End dissolves a team, and its group if we made the group. Servers may call End, and
// until the start the team's captain. Errors are of the codes Forbidden, NotFound,
// Conflict and Unavailable.
func (t *Teams) End(ctx context.Context, caller api.Caller, groupID string) (View, error) {
	return t.finish(ctx, groupID, func(s *loadedTeam) error {
		if !s.leads(caller) && (s.Status != Ended || caller.UserID != s.Captain) {
			return errNotYours
		}
		return nil
	})
}

// finish ends a team, if it may be ended.
func (t *Teams) finish(ctx context.Context, groupID string, may func(*loadedTeam) error) (View, error) {
	for range tries {
		s, err := t.find(ctx, groupID)
		if err != nil {
			return View{}, err
		}
		if err := may(s); err != nil {
			return View{}, err
		}
		if s.Status != Ended {
			s.end()
			err = s.save(ctx)
		}
		if err == nil {
			err = s.settle(ctx)
		}
		if !errors.Is(err, kv.ErrConflict) {
			return s.view(), err
		}
	}
	return View{}, errBusy
}
