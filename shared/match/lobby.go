package match

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Our decisions.
const (
	// inviteLife is how long an invitation lasts.
	inviteLife = 5 * time.Minute
	// mediaLife is how long a PrivateMapKey lets a member into a team's voice.
	mediaLife = time.Hour
)

// The lists of teams, all and by mode. An entry is written before its team, and taken
// out when somebody reads it whose team is over; otherwise it expires.
const allTeams = "match/teams"

// modePartition is the list of a mode's teams. A mode may be empty and holds any text,
// so that it is escaped.
func modePartition(mode string) string { return "match/mode/" + url.QueryEscape(mode) }

// list enters a team.
func (t *Teams) list(ctx context.Context, groupID, mode string) error {
	expires := t.now().Add(t.conf.Wait + t.conf.Life + kept)
	for _, partition := range []string{allTeams, modePartition(mode)} {
		err := t.store.Commit(ctx, partition, kv.NewOp("match"), kv.Put{Key: groupID, Expires: expires, If: kv.Absent()})
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}

// List returns teams, of one mode or all, and the cursor of the next page. open leaves
// out teams that wait for no members. A user sees open public teams and the user's
// own.
func (t *Teams) List(ctx context.Context, caller api.Caller, mode *string, open bool, after string, limit int) (list []View, next string, err error) {
	partition := allTeams
	if mode != nil {
		partition = modePartition(*mode)
	}
	for {
		page, err := t.store.List(ctx, partition, kv.Range{After: after, Limit: limit})
		if err != nil {
			return nil, "", err
		}
		for i, item := range page.Items {
			s, err := t.load(ctx, item.Key)
			if err != nil {
				return nil, "", err
			}
			if s.over() {
				// Whoever is faster has taken it out.
				_ = t.store.Commit(ctx, partition, kv.NewOp("match"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
			}
			switch mine := caller.Server != "" || s.has(caller.UserID); {
			case s.none(), s.Status == Making, s.Status == Ended && !mine:
				continue
			case open && s.Status != Open && s.Status != Failed:
				continue
			case !mine && (s.Private || s.Status != Open):
				continue
			}
			if list = append(list, s.view()); len(list) == limit {
				if i < len(page.Items)-1 || page.Next != "" {
					next = item.Key
				}
				return list, next, nil
			}
		}
		if after = page.Next; after == "" {
			return list, "", nil
		}
	}
}

func (t *Teams) listed(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	var mode *string
	if q.Has("mode") && q.Get("mode") != "" {
		one := q.Get("mode")
		if len(one) > MaxMode {
			return nil, fault.New(fault.Invalid, "mode is one line of at most %d bytes", MaxMode)
		}
		mode = &one
	}
	open := q.Get("open")
	if open != "" && open != "0" && open != "1" {
		return nil, fault.New(fault.Invalid, "open is 1 or 0")
	}
	list, next, err := t.List(ctx, c, mode, open == "1", page.After, page.Limit)
	if list == nil {
		list = []View{}
	}
	return struct {
		Teams []View `json:"teams"`
		Next  string `json:"next,omitempty"`
	}{list, next}, err
}

// SetReady says whether a member is ready. A team with a ready check starts when it is
// full and all are. A team that has started stays so, and being ready is a no-op.
// Errors are of the codes Forbidden, NotFound, Conflict and Unavailable.
func (t *Teams) SetReady(ctx context.Context, caller api.Caller, groupID, userID string, ready bool) (View, error) {
	if caller.Server == "" && caller.UserID != userID {
		return View{}, errNotYours
	}
	if _, err := t.fresh(ctx, groupID); err != nil {
		return View{}, err
	}
	for range tries {
		s, err := t.find(ctx, groupID)
		if err != nil {
			return View{}, err
		}
		switch at := slices.Index(s.Ready, userID); {
		case !s.has(userID):
			return View{}, errNoTeam
		case s.Status == Ended:
			return View{}, errClosed
		case s.Status != Open && s.Status != Failed && !ready:
			return View{}, fault.New(fault.Conflict, "the team is starting or has started")
		case s.Status != Open && s.Status != Failed, ready == (at >= 0):
			return s.view(), nil
		case ready:
			s.Ready = append(slices.Clone(s.Ready), userID)
			slices.Sort(s.Ready)
		default:
			s.Ready = slices.Delete(slices.Clone(s.Ready), at, at+1)
		}
		err = s.save(ctx)
		if err == nil {
			s, err = t.fresh(ctx, groupID)
		}
		if !errors.Is(err, kv.ErrConflict) {
			if err != nil {
				return View{}, err
			}
			return s.view(), nil
		}
	}
	return View{}, errBusy
}

func (t *Teams) ready(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	in := struct {
		UserID string `json:"userId"`
		Ready  *bool  `json:"ready"`
	}{}
	if err := decodeOptional(r, &in); err != nil {
		return nil, err
	}
	user := cmp.Or(in.UserID, c.UserID)
	if err := checkUser("userId", user); err != nil {
		return nil, err
	}
	return t.SetReady(ctx, c, r.PathValue("id"), user, in.Ready == nil || *in.Ready)
}

// decodeOptional reads a body, if there is one.
func decodeOptional(r *http.Request, v any) error {
	body, err := api.ReadBody(r, api.MaxBody)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return api.Decode(r, v)
}

// Invitation lets a user see and join a team.
type Invitation struct {
	GroupID   string    `json:"groupId"`
	UserID    string    `json:"userId"`
	By        string    `json:"by"` // a UserID, or the name of a server's key
	ExpiresAt time.Time `json:"expiresAt"`
}

func inviteKey(userID string) string { return "invite/" + userID }

// invited reports whether a user has an invitation that has not expired.
func (t *Teams) invited(ctx context.Context, groupID, userID string) (bool, error) {
	_, err := t.store.Get(ctx, partition(groupID), inviteKey(userID))
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Invite invites a user into a team that waits for members, for five minutes, and
// tells the user. Servers may, and the captain. Inviting again renews the invitation.
// Errors are of the codes Invalid where IM does not know the user, Forbidden, NotFound,
// Conflict where the user is a member or the team takes nobody, and Unavailable.
func (t *Teams) Invite(ctx context.Context, caller api.Caller, groupID, userID string) (Invitation, error) {
	s, err := t.find(ctx, groupID)
	switch {
	case err != nil:
		return Invitation{}, err
	case caller.Server == "" && !s.has(caller.UserID):
		return Invitation{}, errNoTeam
	case !s.leads(caller):
		return Invitation{}, errNotYours
	case s.has(userID):
		return Invitation{}, fault.New(fault.Conflict, "this user is in the team")
	case s.Status != Open && s.Status != Failed:
		return Invitation{}, errClosed
	case len(s.Members) >= s.Size:
		return Invitation{}, errFull
	}
	in := Invitation{groupID, userID, cmp.Or(caller.UserID, caller.Server), t.now().Add(inviteLife).UTC().Truncate(time.Second)}
	if err := t.tellUser(ctx, fmt.Sprintf("team/%s/invite/%s/%d", groupID, userID, in.ExpiresAt.Unix()), userID, "team_invitation", struct {
		Invitation
		Mode string `json:"mode"`
		Size int    `json:"size"`
	}{in, s.Mode, s.Size}); err != nil {
		return Invitation{}, err
	}
	for range tries {
		cond := kv.Absent()
		item, err := t.store.Get(ctx, partition(groupID), inviteKey(userID))
		if err == nil {
			cond = kv.Rev(item.Rev)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return Invitation{}, err
		}
		err = t.store.Commit(ctx, partition(groupID), kv.NewOp("match"), kv.Put{Key: inviteKey(userID), Value: []byte(in.By), Expires: in.ExpiresAt, If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return in, err
		}
	}
	return Invitation{}, errBusy
}

func (d door) invite(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		UserID string `json:"userId"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if err := checkUser("userId", in.UserID); err != nil {
		return nil, err
	}
	if c.Server == "" && slices.Contains(d.conf.Reserved, in.UserID) {
		return nil, fault.New(fault.Forbidden, "users cannot add staff to a team")
	}
	if err := d.check(ctx, c, in.UserID); err != nil {
		return nil, err
	}
	return d.Invite(ctx, c, r.PathValue("id"), in.UserID)
}

// uninvite takes an invitation back, or declines it: for the user, servers and the
// captain. Without one it is a no-op.
func (t *Teams) uninvite(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	groupID, user := r.PathValue("id"), r.PathValue("user")
	if err := checkUser("the user", user); err != nil {
		return nil, err
	}
	s, err := t.find(ctx, groupID)
	if err != nil {
		return nil, err
	}
	if c.UserID != user && !s.leads(c) {
		return nil, errNotYours
	}
	item, err := t.store.Get(ctx, partition(groupID), inviteKey(user))
	if err == nil {
		err = t.store.Commit(ctx, partition(groupID), kv.NewOp("match"), kv.Delete{Key: inviteKey(user), If: kv.Rev(item.Rev)})
	}
	if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	return map[string]string{"groupId": groupID, "userId": user}, err
}

// tellUser sends a user a custom message once.
func (t *Teams) tellUser(ctx context.Context, event, userID, name string, data any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		BusinessID string `json:"businessID"`
		Event      string `json:"event"`
		Data       any    `json:"data"`
	}{"backchannel", name, data})
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	_, err = t.conf.Sends.C2C(ctx, event, im.C2CMsg{
		From: t.conf.Notifier, To: userID, Body: im.Custom(string(bytes.TrimSpace(b.Bytes())), "", ""), NotToSender: true,
	})
	switch {
	case errors.Is(err, im.ClassAccount):
		return fault.Wrap(err, fault.Invalid, "IM knows no such user")
	case errors.Is(err, once.ErrUnknown):
		return nil
	}
	return err
}

// Media is what a member needs for the team's voice in TRTC, whose strRoomId is the
// GroupID.
type Media struct {
	PrivateMapKey string    `json:"privateMapKey"`
	ExpiresAt     time.Time `json:"expiresAt"`
}

// media answers POST /teams/{id}/media, for members.
func (t *Teams) media(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return nil, err
	}
	if c.UserID == "" {
		return nil, fault.New(fault.Forbidden, "only members talk in a team: call with a UserSig")
	}
	groupID := r.PathValue("id")
	if _, err := t.find(ctx, groupID); err != nil {
		return nil, err
	}
	// Whoever was taken out a moment ago gets no key any more.
	s, err := t.fresh(ctx, groupID)
	switch {
	case err != nil:
		return nil, err
	case !s.has(c.UserID):
		return nil, errNoTeam
	case s.Status == Ended:
		return nil, errClosed
	case t.conf.Signer == nil:
		return nil, fault.New(fault.NotConfigured, "this deployment signs no PrivateMapKeys")
	}
	key, err := t.conf.Signer.PrivateMapKeyForName(c.UserID, groupID, usersig.Host, mediaLife)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	return Media{key, t.now().Add(mediaLife).UTC().Truncate(time.Second)}, nil
}

// The kinds of channels of the guide's table of in-game chats, with their group types.
var channels = map[string]im.GroupType{
	"world": im.Community, // everybody: a Community without topics
	"guild": im.Public,    // members apply or are invited, and history is kept
	"room":  im.AVRoom,    // whoever is there
}

const communityPrefix = "@TGS#_"

// channel answers POST /channels, for servers: it makes the group of a channel. The
// same request again finds the group.
func (t *Teams) channel(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if c.Server == "" {
		return nil, fault.New(fault.Forbidden, "only servers may call this, with an API key")
	}
	key, err := api.RequiredKey(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Kind  string `json:"kind"`
		ID    string `json:"id"`
		Name  string `json:"name"`
		Owner string `json:"owner"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	kind, known := channels[in.Kind]
	id := in.ID
	if kind == im.Community && len(id) > 0 && !isPrefixed(id) {
		id = communityPrefix + id
	}
	switch {
	case !known:
		return nil, fault.New(fault.Invalid, "kind is world, guild or room")
	case !isGroupID(id) || kind != im.Community && isReserved(id):
		return nil, fault.New(fault.Invalid, "id is a GroupID of 1 to %d visible ASCII characters; only a world's may begin with %s", im.MaxGroupID, communityPrefix)
	case len(in.Name) > im.MaxGroupName:
		return nil, fault.New(fault.Invalid, "name has at most %d bytes", im.MaxGroupName)
	case in.Owner == "" && kind == im.Public:
		return nil, fault.New(fault.Invalid, "owner is missing: a guild belongs to a player")
	}
	if in.Owner != "" {
		if err := checkUser("owner", in.Owner); err != nil {
			return nil, err
		}
	}
	content := digest(in.Kind, id, in.Name, in.Owner)
	if err := t.sameChannel(ctx, c, key, content); err != nil {
		return nil, err
	}
	group := im.NewGroup{Type: kind, GroupID: id, Name: cmp.Or(in.Name, im.CutText(in.ID, im.MaxGroupName)), Owner: cmp.Or(in.Owner, t.conf.Notifier)}
	if in.Owner != "" {
		if err := t.conf.IM.ImportAccount(ctx, im.Account{UserID: in.Owner}); im.Lasting(err) {
			return nil, fault.Wrap(err, fault.Invalid, "IM does not take this owner")
		} else if err != nil {
			return nil, err
		}
	}
	switch kind {
	case im.Community:
		group.ApplyJoin = im.FreeAccess
	case im.Public:
		group.ApplyJoin = im.NeedPermission
	}
	_, err = t.conf.IM.CreateGroup(ctx, group)
	switch {
	case errors.Is(err, im.CodeGroupIDTaken):
		return nil, fault.New(fault.Conflict, "there is a group with this id, of another owner")
	case im.Lasting(err):
		return nil, fault.Wrap(err, fault.Upstream, "IM does not make this group: its type may need another edition, or be switched off in the console")
	case err != nil:
		return nil, err
	}
	return struct {
		GroupID string       `json:"groupId"`
		Type    im.GroupType `json:"type"`
		Kind    string       `json:"kind"`
	}{id, kind, in.Kind}, nil
}

func isPrefixed(id string) bool {
	return len(id) >= len(communityPrefix) && id[:len(communityPrefix)] == communityPrefix
}
func isReserved(id string) bool { return len(id) >= 5 && id[:5] == "@TGS#" }

// sameChannel refuses a key that was used for another channel.
func (t *Teams) sameChannel(ctx context.Context, c api.Caller, key, content string) error {
	const item = "channel"
	partition := "match/channel/" + digest(c.Server, key)
	for range tries {
		err := t.store.Commit(ctx, partition, kv.NewOp("match"), kv.Put{Key: item, Value: []byte(content), Expires: t.now().Add(kept), If: kv.Absent()})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
		known, err := t.store.Get(ctx, partition, item)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			continue
		case err == nil && string(known.Value) != content:
			return fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another channel; use a new one")
		}
		return err
	}
	return errBusy
}
