package community

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

const (
	// shards is over how many partitions the members of a community are spread, the
	// same for ever: users join at will.
	shards = 16
	// leftFor is how long a user who left is remembered, so that an older event that
	// comes later changes nothing.
	leftFor = 25 * time.Hour
	// askedFor is how long IM's word is taken that a user is a member of whom no
	// callback told, and notFor that a user is not a member.
	askedFor = time.Minute
	notFor   = 3 * time.Second
	maxAsked = 10_000
)

// Keys in a partition of members.
const (
	memberPrefix = "m/"    // m/USERID: the member
	rolePrefix   = "r/"    // r/ROLE/USERID: empty, an index
	handPrefix   = "hand/" // hand/USERID: the lease of who works on the member
)

// Member is the view of a member.
type Member struct {
	UserID   string    `json:"userId"`
	Role     string    `json:"role,omitempty"`
	JoinedAt time.Time `json:"joinedAt,omitzero"`
}

// memberRecord is all that is known of a user in a community, in one item.
type memberRecord struct {
	Joined int64                   `json:"joined,omitempty"` // Unix milliseconds; 0: no member
	At     int64                   `json:"at,omitempty"`     // of the last event that counted
	Role   string                  `json:"role,omitempty"`
	Mute   *Restriction            `json:"mute,omitempty"`
	Mutes  map[string]*Restriction `json:"mutes,omitempty"` // of channels, by short name
	Kick   *Restriction            `json:"kick,omitempty"`

	// Want grows with each change that IM has to follow; Done is up to where it did.
	Want int64 `json:"want,omitempty"`
	Done int64 `json:"done,omitempty"`
	// Shown is what IM was told last, by what it is about.
	Shown map[string]string `json:"shown,omitempty"`
}

// in reports whether the user is a member.
func (m memberRecord) in() bool { return m.Joined > 0 }

// rolesUnsure is the key in Shown of roles that IM may show beside the one noted, each
// behind a slash.
const rolesUnsure = "role?"

// doubt marks what IM shows of everything that has changed since was, where IM may have
// been told of that and nobody has noted it: IM is told also where this change takes
// the other back.
func (m *memberRecord) doubt(was memberRecord) {
	if m.Shown == nil {
		m.Shown = make(map[string]string)
	}
	if m.Role != was.Role {
		m.Shown[rolesUnsure] += "/" + was.Role
	}
	if m.Mute != was.Mute {
		m.Shown["mute"] = unsure
	}
	for _, mutes := range []map[string]*Restriction{m.Mutes, was.Mutes} {
		for short := range mutes {
			if m.Mutes[short] != was.Mutes[short] {
				m.Shown["mute "+short] = unsure
			}
		}
	}
}

// expires is when nothing is worth keeping any more of a user who left; zero: as long
// as nothing changes.
func (m memberRecord) expires(now time.Time) time.Time {
	if m.in() || m.Role != "" || m.Want != m.Done {
		return time.Time{}
	}
	last := now
	for _, r := range m.restrictions() {
		if r.Until.IsZero() {
			return time.Time{}
		}
		if r.Until.After(last) {
			last = r.Until
		}
	}
	return last.Add(leftFor)
}

func shardOf(userID string) int { return int(sha256.Sum256([]byte(userID))[0]) % shards }

// memberPartition is where the members of a shard live.
func (c Community) memberPartition(shard int) string {
	return fmt.Sprintf("community-members/%s/%013d/%02d", c.CommunityID, c.Generation, shard)
}

func (c Community) partitionOfMember(userID string) string {
	return c.memberPartition(shardOf(userID))
}

// member returns what is known of a user. It costs one strongly consistent read.
func (c *Communities) member(ctx context.Context, is Community, userID string) (memberRecord, error) {
	m, _, err := c.loadMember(ctx, is, userID)
	return m, err
}

func (c *Communities) loadMember(ctx context.Context, is Community, userID string) (m memberRecord, cond kv.Cond, err error) {
	if userID == "" {
		return m, kv.Absent(), nil
	}
	item, err := c.store.Get(ctx, is.partitionOfMember(userID), memberPrefix+userID)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return m, kv.Absent(), nil
	case err != nil:
		return m, cond, err
	}
	if err := json.Unmarshal(item.Value, &m); err != nil {
		return m, cond, fmt.Errorf("community: a member does not decode: %w", err)
	}
	return m, kv.Rev(item.Rev), nil
}

// changeMember lets f change what is known of a user and commits that with the
// index of roles. While others change the same user, f is called again.
func (c *Communities) changeMember(ctx context.Context, is Community, userID string, f func(m *memberRecord) error) (memberRecord, error) {
	for range tries {
		m, cond, err := c.loadMember(ctx, is, userID)
		if err != nil {
			return m, err
		}
		was := m
		was.Mutes, was.Shown = maps.Clone(m.Mutes), maps.Clone(m.Shown)
		before, err := json.Marshal(was)
		if err != nil {
			return m, err
		}
		if err := f(&m); err != nil {
			return m, err
		}
		value, err := json.Marshal(m)
		if err != nil {
			return m, err
		}
		if string(before) == string(value) {
			return m, nil
		}
		put := kv.Put{Key: memberPrefix + userID, Value: value, Expires: m.expires(c.now()), If: cond}
		writes := []kv.Write{put}
		if m.Role != was.Role {
			index, err := c.indexRole(ctx, is, userID, was.Role, m.Role)
			if err != nil {
				return m, err
			}
			writes = append(writes, index...)
		}
		if cond.WantsAbsent() {
			if err := Note(ctx, c.store, is.partitionOfMember(userID), memberPrefix+userID, userID); err != nil {
				return m, err
			}
		}
		if err := c.store.Commit(ctx, is.partitionOfMember(userID), newOp(), writes...); !errors.Is(err, kv.ErrConflict) {
			return m, err
		}
	}
	return memberRecord{}, errBusy
}

// indexRole moves a member in the index of roles.
func (c *Communities) indexRole(ctx context.Context, is Community, userID, from, to string) (writes []kv.Write, err error) {
	for _, one := range []struct {
		role string
		in   bool
	}{{from, false}, {to, true}} {
		if one.role == "" {
			continue
		}
		key := rolePrefix + one.role + "/" + userID
		item, err := c.store.Get(ctx, is.partitionOfMember(userID), key)
		switch there := err == nil; {
		case err != nil && !errors.Is(err, kv.ErrNotFound):
			return nil, err
		case one.in && !there:
			writes = append(writes, kv.Put{Key: key, Value: []byte{}, If: kv.Absent()})
		case !one.in && there:
			writes = append(writes, kv.Delete{Key: key, If: kv.Rev(item.Rev)})
		}
	}
	return writes, nil
}

// memberEvent notes that a user joined or left at a time. An event that is older
// than one that counted changes nothing; of two of one millisecond IM says which
// holds.
func (c *Communities) memberEvent(ctx context.Context, is Community, userID string, at int64, in bool) error {
	if at == 0 {
		at = c.now().UnixMilli()
	}
	_, _, err := c.applyEvent(ctx, is, userID, at, in)
	return err
}

func (c *Communities) applyEvent(ctx context.Context, is Community, userID string, at int64, in bool) (now memberRecord, kicked bool, err error) {
	m, _, err := c.loadMember(ctx, is, userID)
	if err != nil {
		return m, false, err
	}
	if m.At == at && m.in() != in && c.conf.IM != nil {
		if in, err = c.askIM(ctx, is, userID, true); err != nil {
			return m, false, err
		}
	}
	c.forgetAsked(is, userID)
	if in && m.Kick.holds(c.now()) {
		if err := c.members.Guard(ctx, is.CommunityID+" "+userID, c.now().Add(guardAfter)); err != nil {
			return m, false, err
		}
	}
	m, err = c.changeMember(ctx, is, userID, func(m *memberRecord) error {
		kicked = false
		if at < m.At {
			return nil
		}
		m.At = at
		if in {
			if !m.in() {
				m.Joined = at
			}
			// Let in all the same while the store could not be asked: taken out again.
			if kicked = m.Kick.holds(c.now()); kicked {
				m.Want++
				delete(m.Shown, "kick")
			}
			return nil
		}
		m.Joined, m.Role = 0, ""
		delete(m.Shown, "role")
		delete(m.Shown, rolesUnsure)
		return nil
	})
	return m, kicked, err
}

type asked struct {
	in bool
	at time.Time
}

func (c *Communities) forgetAsked(is Community, userID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.askedIM, is.CommunityID+" "+userID)
}

// askIM asks IM whether a user is a member, or takes what it said a moment ago.
func (c *Communities) askIM(ctx context.Context, is Community, userID string, fresh bool) (bool, error) {
	key, now := is.CommunityID+" "+userID, c.now()
	c.mu.Lock()
	got, known := c.askedIM[key]
	c.mu.Unlock()
	if age := now.Sub(got.at); known && !fresh && (got.in && age < askedFor || age < notFor) {
		return got.in, nil
	}
	if c.conf.IM == nil {
		return false, errNoIM
	}
	list, err := c.conf.IM.SpecifiedGroupMembers(ctx, is.CommunityID, []string{userID})
	if err != nil && !im.Lasting(err) {
		return false, err
	}
	in := err == nil && slices.ContainsFunc(list, func(m im.Member) bool { return m.UserID == userID })
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.askedIM) >= maxAsked {
		clear(c.askedIM)
	}
	c.askedIM[key] = asked{in, now}
	return in, nil
}

// isMember reports whether a user is in a community: by callbacks, and where none
// told of the user by IM. Kicked users are not.
func (c *Communities) isMember(ctx context.Context, is Community, userID string) (memberRecord, bool, error) {
	m, cond, err := c.loadMember(ctx, is, userID)
	switch {
	case err != nil:
		return m, false, err
	case userID == is.Owner:
		return m, true, nil
	case m.Kick.holds(c.now()):
		return m, false, nil
	case m.in():
		return m, true, nil
	case !cond.WantsAbsent() && m.At > 0:
		return m, false, nil // left
	}
	in, err := c.askIM(ctx, is, userID, false)
	return m, in, err
}

// inside lets servers and members pass.
func (c *Communities) inside(ctx context.Context, is Community, caller api.Caller) error {
	if caller.Server != "" {
		return nil
	}
	_, in, err := c.isMember(ctx, is, caller.UserID)
	if err == nil && !in {
		err = errOutside
	}
	return public(err)
}

// Inside lets servers and members pass. Errors are of the codes Forbidden and
// Unavailable.
func (c *Communities) Inside(ctx context.Context, is Community, caller api.Caller) error {
	return c.inside(ctx, is, caller)
}

// Allowed lets servers pass, and members whose role has a permission; members without
// a role have the permissions of the default. Muted members have voice alone. Errors
// are of the codes Forbidden and Unavailable.
func (c *Communities) Allowed(ctx context.Context, is Community, caller api.Caller, p Permission) error {
	_, _, err := c.allowed(ctx, is, Channel{}, caller, p)
	return err
}

// AllowedIn is Allowed for a channel, in which a member may be muted as well.
func (c *Communities) AllowedIn(ctx context.Context, is Community, ch Channel, caller api.Caller, p Permission) error {
	_, _, err := c.allowed(ctx, is, ch, caller, p)
	return err
}

// MayWrite is AllowedIn for a change of a channel's content: while everybody is muted
// there, only callers who manage pass.
func (c *Communities) MayWrite(ctx context.Context, is Community, ch Channel, caller api.Caller) error {
	s, m, err := c.allowed(ctx, is, ch, caller, Post)
	if err != nil || s == nil || slices.Contains(s.Roles[m.Role], Manage) {
		return err
	}
	if now := c.now(); s.Muted.holds(now) || s.MutedIn[ch.Short()].holds(now) {
		return fault.New(fault.Forbidden, "everybody is muted here")
	}
	return nil
}

// MutedIn reports whether a member may not write in a channel, whose id channel returns,
// since the member or everybody is muted there. Where nobody is muted in any channel it
// does not call channel.
func (c *Communities) MutedIn(ctx context.Context, is Community, userID string, channel func() (channelID string, err error)) (bool, error) {
	v, err := c.view(ctx, is.CommunityID)
	if err != nil || v == nil || userID == v.Owner {
		return false, err
	}
	m, err := c.member(ctx, v.Community, userID)
	if err != nil || len(m.Mutes) == 0 && len(v.mutedIn) == 0 {
		return false, err
	}
	id, err := channel()
	if err != nil {
		return false, err
	}
	short, now := shortOf(id), c.now()
	everybody := v.mutedIn[short].holds(now) && !slices.Contains(v.roles[m.Role], Manage)
	return everybody || m.Mutes[short].holds(now), nil
}

// allowed is AllowedIn. It returns nil for the community of servers and the owner, who
// may everything.
func (c *Communities) allowed(ctx context.Context, is Community, ch Channel, caller api.Caller, p Permission) (*seen, memberRecord, error) {
	if caller.Server != "" || caller.UserID == is.Owner {
		return nil, memberRecord{}, nil
	}
	m, in, err := c.isMember(ctx, is, caller.UserID)
	if err != nil {
		return nil, m, public(err)
	}
	if !in {
		return nil, m, errOutside
	}
	s, err := c.find(ctx, is.CommunityID)
	if err != nil {
		return nil, m, err
	}
	switch now := c.now(); {
	case !permits(s.Roles, m.Role, p):
		return nil, m, fault.New(fault.Forbidden, "your role in this community does not have the permission %s", p)
	case p != MayVoice && (m.Mute.holds(now) || m.Mutes[ch.Short()].holds(now)):
		return nil, m, fault.New(fault.Forbidden, "you are muted here")
	}
	return s, m, nil
}

// CanSee lets servers and members pass; a private channel only lets invited members
// pass, and those who manage.
func (c *Communities) CanSee(ctx context.Context, is Community, ch Channel, caller api.Caller) error {
	if err := c.inside(ctx, is, caller); err != nil {
		return err
	}
	sees, err := c.sees(ctx, is, ch, caller)
	if err == nil && !sees {
		err = errNoCh
	}
	return public(err)
}

func (c *Communities) sees(ctx context.Context, is Community, ch Channel, caller api.Caller) (bool, error) {
	if ch.Kind != Private || caller.Server != "" || caller.UserID == is.Owner {
		return true, nil
	}
	if _, err := c.store.Get(ctx, is.ChannelPartition(ch), invitedPrefix+caller.UserID); err == nil {
		return true, nil
	} else if !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	s, err := c.find(ctx, is.CommunityID)
	if err != nil {
		return false, err
	}
	return c.manages(ctx, is, s.Roles, caller)
}

// Manages reports whether a caller runs the community.
func (c *Communities) Manages(ctx context.Context, is Community, caller api.Caller) (bool, error) {
	s, err := c.find(ctx, is.CommunityID)
	if err != nil {
		return false, err
	}
	manages, err := c.manages(ctx, s.Community, s.Roles, caller)
	return manages, public(err)
}

// IsMember reports whether a user is in a community and not kicked from it.
func (c *Communities) IsMember(ctx context.Context, is Community, userID string) (bool, error) {
	_, in, err := c.isMember(ctx, is, userID)
	return in, public(err)
}

// permits reports whether a role, or "" for none, has a permission. A role that
// there is no more is none.
func permits(roles map[string][]Permission, role string, p Permission) bool {
	list, is := roles[role]
	if role == "" || !is {
		list = unassigned
	}
	return slices.Contains(list, p) || slices.Contains(list, Manage)
}

// GiveRole gives a member a role in place of the one before; "" takes it away. Only
// servers and the owner give and take away roles that manage. Errors are of the codes
// NotFound, Forbidden, Invalid and Unavailable.
func (c *Communities) GiveRole(ctx context.Context, caller api.Caller, id, userID, role string) (Member, error) {
	if err := checkUser("the user", userID); err != nil {
		return Member{}, err
	}
	s, err := c.find(ctx, id)
	if err != nil {
		return Member{}, err
	}
	if err := c.may(ctx, s, caller); err != nil {
		return Member{}, public(err)
	}
	permissions, is := s.Roles[role]
	switch {
	case role != "" && !is:
		return Member{}, errNoRole
	case userID == s.Owner:
		return Member{}, fault.New(fault.Invalid, "the owner may everything, and takes no role")
	}
	m, in, err := c.isMember(ctx, s.Community, userID)
	switch {
	case err != nil:
		return Member{}, public(err)
	case !in:
		return Member{}, fault.New(fault.NotFound, "there is no such member in this community")
	}
	if (slices.Contains(permissions, Manage) || slices.Contains(s.Roles[m.Role], Manage)) && caller.Server == "" && caller.UserID != s.Owner {
		return Member{}, fault.New(fault.Forbidden, "only servers and the owner give and take roles that have the permission manage")
	}
	m, err = c.updateMember(ctx, s.Community, userID, func(m *memberRecord) error {
		if !m.in() {
			m.Joined = c.now().UnixMilli() // IM says so
		}
		m.Role = role
		return nil
	})
	if err != nil {
		return Member{}, public(err)
	}
	return m.as(userID), nil
}

func (m memberRecord) as(userID string) Member {
	return Member{userID, m.Role, time.UnixMilli(m.Joined).UTC()}
}

// updateMember changes a member and has IM follow, before it returns where IM works.
func (c *Communities) updateMember(ctx context.Context, is Community, userID string, f func(m *memberRecord) error) (memberRecord, error) {
	id := is.CommunityID + " " + userID
	if err := c.members.Guard(ctx, id, c.now().Add(guardAfter)); err != nil {
		return memberRecord{}, err
	}
	m, err := c.changeMember(ctx, is, userID, func(m *memberRecord) error {
		was := *m
		was.Mutes = maps.Clone(m.Mutes)
		m.Want++
		if err := f(m); err != nil {
			return err
		}
		if was.Want != was.Done {
			m.doubt(was)
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	if err := c.settleMember(ctx, id); err != nil {
		wake(ctx, c.members, id)
	}
	return m, nil
}

// ListMembers lists members, of one role or all, as far as callbacks have reported
// them. Errors are of the codes NotFound, Forbidden, Invalid and Unavailable.
func (c *Communities) ListMembers(ctx context.Context, caller api.Caller, id, role, after string, limit int) (list []Member, next string, err error) {
	s, err := c.find(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if err := c.may(ctx, s, caller); err != nil {
		return nil, "", public(err)
	}
	if _, is := s.Roles[role]; role != "" && !is {
		return nil, "", errNoRole
	}
	shard, key := 0, ""
	if after != "" {
		text, userID, is := strings.Cut(after, "/")
		if shard, err = strconv.Atoi(text); err != nil || !is || shard < 0 || shard >= shards || userID == "" {
			return nil, "", fault.New(fault.Invalid, `after is the "next" of the answer before`)
		}
		key = userID
	}
	prefix := memberPrefix
	if role != "" {
		prefix = rolePrefix + role + "/"
	}
	list = []Member{}
	for ; shard < shards; shard, key = shard+1, "" {
		from := ""
		if key != "" {
			from = prefix + key
		}
		for {
			page, err := c.store.List(ctx, s.memberPartition(shard), kv.Range{Prefix: prefix, After: from, Limit: limit + 1})
			if err != nil {
				return nil, "", public(err)
			}
			for _, item := range page.Items {
				userID := strings.TrimPrefix(item.Key, prefix)
				m, err := c.listed(ctx, s.Community, item, userID, role)
				if err != nil {
					return nil, "", public(err)
				}
				if !m.in() || role != "" && m.Role != role {
					continue
				}
				if _, is := s.Roles[m.Role]; !is {
					m.Role = "" // deleted
				}
				if len(list) == limit {
					last := list[limit-1].UserID
					return list, fmt.Sprintf("%02d/%s", shardOf(last), last), nil
				}
				list = append(list, m.as(userID))
			}
			if from = page.Next; from == "" {
				break
			}
		}
	}
	return list, "", nil
}

// listed returns the member of an item of a list.
func (c *Communities) listed(ctx context.Context, is Community, item kv.Item, userID, role string) (m memberRecord, err error) {
	if role != "" {
		return c.member(ctx, is, userID)
	}
	err = json.Unmarshal(item.Value, &m)
	return m, err
}
