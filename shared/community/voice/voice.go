// Package voice keeps the users of each voice channel. A user is in one voice channel
// at most, over all communities of the app.
//
// # The seat
//
// The truth is the user's own record, the seat: the channel, the time until which the
// seat holds, and the number of changes (the epoch). Every change is a compare-and-set
// on that record, so of two joins at once one comes after the other and no user is in
// two channels. A community has a list of users who may be in its channels, an item a
// user, written before the seat; a reader of the list reads each seat and drops
// entries that the seat does not confirm. So a crash between the two writes leaves an
// entry that is dropped.
//
// # Ghosts
//
// Clients report that they join and leave, and send a heartbeat every third of the
// timeout; TRTC reports the same by its own events. All of these may be lost, late or
// out of order. A join or leave from before the seat's last change is ignored, and a
// seat without a sign of its user for the timeout is empty. A user who leaves the
// community or is kicked from it, and a user of a channel that is deleted, loses the
// seat at once.
package voice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Our decisions.
const (
	tries = 20
	// remembered is how much longer than it holds a seat is remembered, so that older
	// events change nothing.
	remembered = time.Hour
)

// Config makes [Voice].
type Config struct {
	Store       kv.Store
	Communities *community.Communities
	// Timeout is how long a seat holds without a sign of its user.
	Timeout time.Duration
	// Signer signs PrivateMapKeys. nil: users get none.
	Signer *usersig.Signer
	// TTL is how long a PrivateMapKey is valid.
	TTL time.Duration
	// EventKey is the key of the signature of TRTC's events; "": events are refused.
	EventKey string

	Now func() time.Time // nil: time.Now
}

// Voice is all voice channels of an app. It is safe for concurrent use, also by
// several processes.
type Voice struct {
	conf  Config
	store kv.Store
	now   func() time.Time
}

// New makes Voice.
func New(conf Config) *Voice {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	return &Voice{conf: conf, store: conf.Store, now: conf.Now}
}

// seat is where a user is, in one item of his own.
type seat struct {
	CommunityID string    `json:"communityId,omitempty"` // "": in no channel
	Generation  int64     `json:"generation,omitempty"`
	Channel     string    `json:"channel,omitempty"` // its short name
	Epoch       int64     `json:"epoch"`             // how often the place has changed
	Muted       bool      `json:"muted,omitempty"`
	Speaking    bool      `json:"speaking,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	At          int64     `json:"at"`             // when the place changed last, Unix milliseconds
	Until       time.Time `json:"until,omitzero"` // without a sign of the user
}

// in reports whether the seat is a place in a channel at a time.
func (s seat) in(now time.Time) bool { return s.CommunityID != "" && s.Until.After(now) }

// is reports whether that place is in a channel of a community.
func (s seat) is(c community.Community, short string) bool {
	return s.CommunityID == c.CommunityID && s.Generation == c.Generation && s.Channel == short
}

const seatItem = "seat"

func seatOf(userID string) string { return "community-seat/" + userID }

// SeatOf returns the partition of a user's seat, for [community.UserData].
func SeatOf(userID string) string { return seatOf(userID) }

// listOf is the partition with the list of who may be in a community's channels.
func listOf(c community.Community) string {
	return fmt.Sprintf("community-voice/%s/%013d", c.CommunityID, c.Generation)
}

const userPrefix = "u/"

func (v *Voice) load(ctx context.Context, userID string) (s seat, cond kv.Cond, err error) {
	item, err := v.store.Get(ctx, seatOf(userID), seatItem)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return s, kv.Absent(), nil
	case err != nil:
		return s, cond, err
	}
	if err := json.Unmarshal(item.Value, &s); err != nil {
		return s, cond, fmt.Errorf("voice: a seat does not decode: %w", err)
	}
	return s, kv.Rev(item.Rev), nil
}

func (v *Voice) save(ctx context.Context, userID string, s seat, cond kv.Cond) error {
	value, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("voice: %w", err)
	}
	expires := v.now().Add(remembered)
	if s.Until.After(v.now()) {
		expires = s.Until.Add(remembered)
	}
	return v.store.Commit(ctx, seatOf(userID), kv.NewOp("voice"), kv.Put{Key: seatItem, Value: value, Expires: expires, If: cond})
}

var errBusy = fault.New(fault.Unavailable, "this user changes channels too often at once; send the same request again").After(time.Second)

// enter puts a user into a channel, at a time in Unix milliseconds, unless something
// is known that happened later. It returns the seat as it is then.
func (v *Voice) enter(ctx context.Context, c community.Community, ch community.Channel, userID string, at int64, muted bool) (seat, error) {
	for range tries {
		s, cond, err := v.load(ctx, userID)
		if err != nil {
			return s, err
		}
		now := v.now()
		if at < s.At {
			return s, nil
		}
		same := s.is(c, ch.Short()) && s.in(now)
		if !same {
			s = seat{CommunityID: c.CommunityID, Generation: c.Generation, Channel: ch.Short(), Epoch: s.Epoch + 1, Since: time.UnixMilli(at).UTC()}
		}
		s.Muted, s.At, s.Until = muted, at, now.Add(v.conf.Timeout).UTC()
		// First the list: an entry that no seat confirms is dropped.
		if err := v.enlist(ctx, c, userID, s.Epoch); err != nil {
			return s, err
		}
		if err := v.save(ctx, userID, s, cond); !errors.Is(err, kv.ErrConflict) {
			return s, err
		}
	}
	return seat{}, errBusy
}

// enlist puts a user on a community's list, anew with each epoch, so that a reader who
// drops an older entry does not drop this one.
func (v *Voice) enlist(ctx context.Context, c community.Community, userID string, epoch int64) error {
	value := fmt.Appendf(nil, "%d", epoch)
	for range tries {
		cond := kv.Absent()
		item, err := v.store.Get(ctx, listOf(c), userPrefix+userID)
		switch {
		case err == nil && string(item.Value) == string(value):
			return nil
		case err == nil:
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return err
		default:
			if err := community.Note(ctx, v.store, listOf(c), userPrefix+userID, userID); err != nil {
				return err
			}
		}
		err = v.store.Commit(ctx, listOf(c), kv.NewOp("voice"), kv.Put{Key: userPrefix + userID, Value: value, If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

// leave empties a user's seat if it is in a channel of a community, "" for any of its
// channels, and was taken before a time in Unix milliseconds.
func (v *Voice) leave(ctx context.Context, c community.Community, short, userID string, at int64) error {
	for range tries {
		s, cond, err := v.load(ctx, userID)
		if err != nil {
			return err
		}
		there := s.CommunityID == c.CommunityID && s.Generation == c.Generation && (short == "" || s.Channel == short)
		if !there || at < s.At {
			return nil
		}
		err = v.save(ctx, userID, seat{Epoch: s.Epoch + 1, At: at}, cond)
		if err == nil {
			return v.delist(ctx, c, userID)
		}
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return errBusy
}

func (v *Voice) delist(ctx context.Context, c community.Community, userID string) error {
	item, err := v.store.Get(ctx, listOf(c), userPrefix+userID)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return v.drop(ctx, c, item, userID)
}

// drop takes an entry off the list, as it was read, unless the seat confirms it by
// now. An entry that was written anew since stays.
func (v *Voice) drop(ctx context.Context, c community.Community, item kv.Item, userID string) error {
	s, _, err := v.load(ctx, userID)
	if err != nil || s.in(v.now()) && s.CommunityID == c.CommunityID && s.Generation == c.Generation {
		return err
	}
	err = v.store.Commit(ctx, listOf(c), kv.NewOp("voice"), kv.Delete{Key: item.Key, If: kv.Rev(item.Rev)})
	if errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return err
}

// Present is a user in a voice channel.
type Present struct {
	UserID   string    `json:"userId"`
	Muted    bool      `json:"muted"`
	Speaking bool      `json:"speaking"`
	Since    time.Time `json:"since"`
}

// Channel is a voice channel with its users, by UserID.
type Channel struct {
	ChannelID string    `json:"channelId"`
	Members   []Present `json:"members"`
}

// List returns the voice channels of a community. It reads the seat of each user on
// the community's list.
func (v *Voice) List(ctx context.Context, c community.Community) ([]Channel, error) {
	list := []Channel{}
	index := make(map[string]int)
	for _, ch := range c.Channels() {
		if ch.Kind == community.Voice {
			index[ch.Short()] = len(list)
			list = append(list, Channel{ch.ChannelID, []Present{}})
		}
	}
	for after := ""; ; {
		page, err := v.store.List(ctx, listOf(c), kv.Range{Prefix: userPrefix, After: after, Limit: kv.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			userID := strings.TrimPrefix(item.Key, userPrefix)
			s, _, err := v.load(ctx, userID)
			if err != nil {
				return nil, err
			}
			at, voice := index[s.Channel]
			if !s.in(v.now()) || s.CommunityID != c.CommunityID || s.Generation != c.Generation || !voice {
				if err := v.drop(ctx, c, item, userID); err != nil {
					return nil, err
				}
				continue
			}
			list[at].Members = append(list[at].Members, Present{userID, s.Muted, s.Speaking, s.Since})
		}
		if after = page.Next; after == "" {
			return list, nil
		}
	}
}

// Joined implements [community.Companion].
func (v *Voice) Joined(context.Context, community.Community, []string) error { return nil }

// Review implements [community.Companion]: seats end by themselves.
func (v *Voice) Review(context.Context, community.Community) error { return nil }

// Left implements [community.Companion].
func (v *Voice) Left(ctx context.Context, c community.Community, userIDs []string) error {
	for _, id := range userIDs {
		if err := v.leave(ctx, c, "", id, v.now().UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// ChannelGone implements [community.Companion].
func (v *Voice) ChannelGone(ctx context.Context, c community.Community, ch community.Channel) error {
	if ch.Kind == community.Private {
		return nil
	}
	if err := v.conf.Communities.Unbind(ctx, roomOf(c, ch)); err != nil {
		return err
	}
	return v.clear(ctx, c, ch.Short())
}

// Gone implements [community.Companion].
func (v *Voice) Gone(ctx context.Context, c community.Community) error { return v.clear(ctx, c, "") }

// clear empties the seats in a channel, or in all.
func (v *Voice) clear(ctx context.Context, c community.Community, short string) error {
	for after := ""; ; {
		page, err := v.store.List(ctx, listOf(c), kv.Range{Prefix: userPrefix, After: after})
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			userID := strings.TrimPrefix(item.Key, userPrefix)
			if err := v.leave(ctx, c, short, userID, v.now().UnixMilli()); err != nil {
				return err
			}
			if err := v.drop(ctx, c, item, userID); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// roomOf returns the name of a voice channel's room in TRTC (strRoomId).
func roomOf(c community.Community, ch community.Channel) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %q", c.CommunityID, c.Generation, ch.Short()))
	return community.VoicePrefix + hex.EncodeToString(sum[:12])
}

var errNoVoice = fault.New(fault.Invalid, "this is no voice channel")

// find returns a voice channel for a user who may enter it.
func (v *Voice) find(ctx context.Context, caller api.Caller, communityID, channelID string, enters bool) (c community.Community, ch community.Channel, err error) {
	if caller.UserID == "" {
		return c, ch, fault.New(fault.Forbidden, "only users are in voice channels: call with a UserSig")
	}
	c, err = v.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return c, ch, err
	}
	if enters {
		err = v.conf.Communities.Allowed(ctx, c, caller, community.MayVoice)
	} else {
		err = v.conf.Communities.Inside(ctx, c, caller)
	}
	if err != nil {
		return c, ch, err
	}
	ch, has := c.Channel(channelID)
	switch {
	case !has:
		return c, ch, fault.New(fault.NotFound, "there is no such channel in this community")
	case ch.Kind != community.Voice:
		return c, ch, errNoVoice
	}
	return c, ch, nil
}

// Enter puts the caller into a voice channel, and out of any other. Errors are of the
// codes NotFound, Forbidden, Invalid and Unavailable.
func (v *Voice) Enter(ctx context.Context, caller api.Caller, communityID, channelID string, muted bool) ([]Channel, error) {
	c, ch, err := v.find(ctx, caller, communityID, channelID, true)
	if err != nil {
		return nil, err
	}
	if _, err := v.enter(ctx, c, ch, caller.UserID, v.now().UnixMilli(), muted); err != nil {
		return nil, community.Public(err)
	}
	return v.after(ctx, c, ch, caller.UserID)
}

// after lists the channels after a user has entered one. A kick or a deletion that
// came between the check and the seat has found no seat to empty: it is emptied here.
func (v *Voice) after(ctx context.Context, c community.Community, ch community.Channel, userID string) ([]Channel, error) {
	now, err := v.conf.Communities.Get(ctx, c.CommunityID)
	there := err == nil && now.Generation == c.Generation
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return nil, err
	}
	if there {
		is, has := now.Channel(ch.ChannelID)
		in, err := v.conf.Communities.IsMember(ctx, now, userID)
		if err != nil {
			return nil, err
		}
		there = has && is.Kind == community.Voice && in
	}
	if !there {
		if err := v.leave(ctx, c, "", userID, v.now().UnixMilli()); err != nil {
			return nil, community.Public(err)
		}
		return nil, fault.New(fault.NotFound, "there is no such channel for you any more")
	}
	list, err := v.List(ctx, now)
	return list, community.Public(err)
}

// Leave takes the caller out of a voice channel. Leaving a channel that the caller is
// not in is a no-op. Errors are those of Enter.
func (v *Voice) Leave(ctx context.Context, caller api.Caller, communityID, channelID string) ([]Channel, error) {
	c, ch, err := v.find(ctx, caller, communityID, channelID, false)
	if err != nil {
		return nil, err
	}
	if err := v.leave(ctx, c, ch.Short(), caller.UserID, v.now().UnixMilli()); err != nil {
		return nil, community.Public(err)
	}
	list, err := v.List(ctx, c)
	return list, community.Public(err)
}

// Sign is the state of a client in a heartbeat; nil fields change nothing.
type Sign struct {
	Muted    *bool `json:"muted"`
	Speaking *bool `json:"speaking"`
}

// Beat renews the caller's seat. Beat writes where a flag has changed, and otherwise
// only in the last third of the timeout. A seat that has expired is taken again; a
// seat in another channel is a Conflict. Other errors are those of Enter.
func (v *Voice) Beat(ctx context.Context, caller api.Caller, communityID, channelID string, sign Sign) ([]Channel, error) {
	c, ch, err := v.find(ctx, caller, communityID, channelID, true)
	if err != nil {
		return nil, err
	}
	for range tries {
		s, cond, err := v.load(ctx, caller.UserID)
		now := v.now()
		switch {
		case err != nil:
			return nil, community.Public(err)
		case s.in(now) && !s.is(c, ch.Short()):
			return nil, fault.New(fault.Conflict, "you are in another voice channel by now")
		case !s.in(now):
			muted := s.Muted
			if sign.Muted != nil {
				muted = *sign.Muted
			}
			if _, err := v.enter(ctx, c, ch, caller.UserID, now.UnixMilli(), muted); err != nil {
				return nil, community.Public(err)
			}
			return v.after(ctx, c, ch, caller.UserID)
		}
		changed := false
		for _, one := range []struct {
			to *bool
			at *bool
		}{{sign.Muted, &s.Muted}, {sign.Speaking, &s.Speaking}} {
			if one.to != nil && *one.to != *one.at {
				*one.at, changed = *one.to, true
			}
		}
		if changed || s.Until.Sub(now) <= v.conf.Timeout/3 {
			s.Until = now.Add(v.conf.Timeout).UTC()
			err = v.save(ctx, caller.UserID, s, cond)
			if errors.Is(err, kv.ErrConflict) {
				continue
			}
			if err != nil {
				return nil, community.Public(err)
			}
		}
		list, err := v.List(ctx, c)
		return list, community.Public(err)
	}
	return nil, errBusy
}

// Present returns the channels of a community, to servers and members.
func (v *Voice) Present(ctx context.Context, caller api.Caller, communityID string) ([]Channel, error) {
	c, err := v.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return nil, err
	}
	if err := v.conf.Communities.Inside(ctx, c, caller); err != nil {
		return nil, err
	}
	list, err := v.List(ctx, c)
	return list, community.Public(err)
}

// Access holds the credential for the room of a voice channel.
type Access struct {
	RoomID        string    `json:"roomId"` // TRTC's strRoomId
	PrivateMapKey string    `json:"privateMapKey,omitempty"`
	ExpiresAt     time.Time `json:"expiresAt"`
}

// Media returns the credential for the room of a voice channel, if the caller's role
// permits it and the caller is not kicked. Errors are those of Enter.
func (v *Voice) Media(ctx context.Context, caller api.Caller, communityID, channelID string) (Access, error) {
	c, ch, err := v.find(ctx, caller, communityID, channelID, true)
	if err != nil {
		return Access{}, err
	}
	a := Access{RoomID: roomOf(c, ch), ExpiresAt: v.now().Add(v.conf.TTL).UTC().Truncate(time.Second)}
	if err := v.conf.Communities.Bind(ctx, community.Binding{GroupID: a.RoomID, CommunityID: c.CommunityID, Generation: c.Generation, ChannelID: ch.ChannelID}); err != nil {
		return Access{}, community.Public(err)
	}
	if v.conf.Signer != nil {
		if a.PrivateMapKey, err = v.conf.Signer.PrivateMapKeyForName(caller.UserID, a.RoomID, usersig.Host, v.conf.TTL); err != nil {
			return Access{}, fmt.Errorf("voice: %w", err)
		}
	}
	return a, nil
}
