package thread

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
)

func markRef(is community.Community, ch community.Channel, seq uint32) mark.Ref {
	return mark.Ref{Community: is, Channel: ch, Seq: seq}
}

// NewThread is a sub-channel to make.
type NewThread struct {
	Name      string  `json:"name"` // 1 to 30 bytes
	ChannelID string  `json:"channelId"`
	MsgSeq    *uint32 `json:"msgSeq"` // of the parent message; nil: none
	Form      Form    `json:"form"`   // "": topic
}

func (n NewThread) check() error {
	switch {
	case n.Name == "" || len(n.Name) > im.MaxTopicName || !utf8.ValidString(n.Name) || strings.ContainsFunc(n.Name, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fault.New(fault.Invalid, "name is a text of 1 to %d bytes without control characters", im.MaxTopicName)
	case n.ChannelID == "":
		return fault.New(fault.Invalid, "channelId is missing")
	case n.Form != Topic && n.Form != Group:
		return fault.New(fault.Invalid, "form is topic or group")
	case n.MsgSeq != nil && *n.MsgSeq == 0:
		return fault.New(fault.Invalid, "msgSeq is a number from 1 on")
	}
	return nil
}

// Create makes a sub-channel. A message has one at most. The same caller with the same
// idempotency key gets the same sub-channel again. Errors are of the codes NotFound,
// Forbidden, Invalid, Conflict where the message has a sub-channel, and Unavailable.
func (t *Threads) Create(ctx context.Context, caller api.Caller, key, communityID string, n NewThread) (Thread, error) {
	if n.Form == "" {
		n.Form = Topic
	}
	if err := n.check(); err != nil {
		return Thread{}, err
	}
	is, err := t.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return Thread{}, err
	}
	ch, has := is.Channel(n.ChannelID)
	if !has {
		if err := t.conf.Communities.Inside(ctx, is, caller); err != nil {
			return Thread{}, err
		}
		return Thread{}, errNoChannel
	}
	if err := t.conf.Communities.CanSee(ctx, is, ch, caller); err != nil {
		return Thread{}, err
	}
	if err := t.conf.Communities.AllowedIn(ctx, is, ch, caller, community.MayThread); err != nil {
		return Thread{}, err
	}
	if ch.Kind == community.Private {
		return Thread{}, fault.New(fault.Invalid, "a private channel has no sub-channels: every member of the community would be in them")
	}
	asked := digest(caller.Server, caller.UserID, key)
	r := record{Thread: Thread{Name: n.Name, ChannelID: ch.ChannelID, Form: n.Form, By: by(caller), CreatedAt: t.now().UTC()}, Asked: asked}
	if n.MsgSeq != nil {
		r.MsgSeq = *n.MsgSeq
		if r.From, err = t.conf.Marks.Ensure(ctx, markRef(is, ch, r.MsgSeq)); err != nil {
			return Thread{}, err
		}
	}
	r.ThreadID = "t-" + digest(is.CommunityID, asked)[:idBytes]
	if r.MsgSeq != 0 {
		r.ThreadID = "t-" + digest(is.CommunityID, ch.ChannelID, strconv.FormatUint(uint64(r.MsgSeq), 10))[:idBytes]
	}
	r.GroupID, r.TopicID = is.CommunityID, im.TopicIDOf(is.CommunityID, r.ThreadID)
	if n.Form == Group {
		r.GroupID, r.TopicID = community.ThreadGroup(is, r.ThreadID), ""
	}
	if err := t.begin(ctx, is, ch, r, caller.UserID); err != nil {
		return Thread{}, community.Public(err)
	}
	id := is.CommunityID + " " + r.ThreadID
	s, err := t.load(ctx, is, r.ThreadID)
	switch {
	case err != nil:
		return Thread{}, community.Public(err)
	case s.Asked != asked:
		return Thread{}, fault.New(fault.Conflict, "the message has a sub-channel already: %s", s.ThreadID)
	}
	if !s.Made {
		if err := t.makeNow(ctx, is, s); err != nil {
			return Thread{}, community.Public(err)
		}
	}
	wake(ctx, t.copies, id)
	if r.MsgSeq != 0 {
		if err := t.conf.Marks.Touch(ctx, markRef(is, ch, r.MsgSeq), r.From, r.ThreadID); err != nil {
			return Thread{}, community.Public(err)
		}
	}
	list, err := t.shown(ctx, is, []*seen{s})
	if err != nil {
		return Thread{}, community.Public(err)
	}
	return list[0], nil
}

// makeNow makes the topic or group for the caller who waits, unless a job is at it.
func (t *Threads) makeNow(ctx context.Context, is community.Community, s *seen) error {
	ctx, release, err := process.Hold(ctx, t.store, t.now(), partitionOf(is, s.ThreadID), handItem)
	if err != nil {
		return err
	}
	defer release()
	now, err := t.load(ctx, is, s.ThreadID)
	if err == nil && !now.Made {
		err = t.make(ctx, is, now)
	}
	if err == nil {
		*s = *now
	}
	return err
}

// begin writes a sub-channel down with its entries in the lists, all at once. One
// that is there is left alone. maker is the user who asks, "" for a server.
func (t *Threads) begin(ctx context.Context, is community.Community, ch community.Channel, r record, maker string) error {
	if _, err := t.load(ctx, is, r.ThreadID); err != error(errNone) {
		return err
	}
	topics, groups, err := t.count(ctx, is)
	if err != nil {
		return err
	}
	if r.Form == Group && groups >= MaxGroups || r.Form == Topic && topics >= MaxTopics {
		return fault.New(fault.Invalid, "a community has at most %d sub-channels of the group form and %d of the topic form; delete one first", MaxGroups, MaxTopics)
	}
	if err := t.copies.Guard(ctx, is.CommunityID+" "+r.ThreadID, t.now().Add(guardAfter)); err != nil {
		return err
	}
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for _, userID := range []string{maker, r.From} {
		if userID == "" {
			continue
		}
		if err := community.Note(ctx, t.store, threadsOf(is), threadPrefix+r.ThreadID, userID); err != nil {
			return err
		}
	}
	writes := []kv.Write{
		kv.Put{Key: threadPrefix + r.ThreadID, Value: value, If: kv.Absent()},
		kv.Put{Key: channelKey(ch, r.ThreadID), Value: []byte{}, If: kv.Absent()},
	}
	if r.Form == Group {
		writes = append(writes, kv.Put{Key: groupPrefix + r.ThreadID, Value: []byte{}, If: kv.Absent()})
	}
	if r.MsgSeq != 0 {
		writes = append(writes, kv.Put{Key: messageKey(ch, r.MsgSeq), Value: []byte(r.ThreadID), If: kv.Absent()})
	}
	err = t.store.Commit(ctx, threadsOf(is), newOp(), writes...)
	if errors.Is(err, kv.ErrConflict) {
		return nil // another was faster; the caller sees whose it is
	}
	return err
}

// count counts the sub-channels of a community.
func (t *Threads) count(ctx context.Context, is community.Community) (topics, groups int, err error) {
	count := func(prefix string) (n int, err error) {
		for after := ""; ; {
			page, err := t.store.List(ctx, threadsOf(is), kv.Range{Prefix: prefix, After: after, Limit: kv.MaxPage})
			if err != nil {
				return 0, err
			}
			n += len(page.Items)
			if after = page.Next; after == "" {
				return n, nil
			}
		}
	}
	all, err := count(threadPrefix)
	if err != nil {
		return 0, 0, err
	}
	groups, err = count(groupPrefix)
	return all - groups, groups, err
}

func by(caller api.Caller) string {
	if caller.Server != "" {
		return caller.Server
	}
	return caller.UserID
}

var errNoChannel = fault.New(fault.NotFound, "there is no such channel in this community")

// shown adds to sub-channels how many are in them. It costs a call of IM, and one for
// each 50 groups.
func (t *Threads) shown(ctx context.Context, is community.Community, list []*seen) ([]Thread, error) {
	groups := []string{is.CommunityID}
	for _, s := range list {
		if s.Form == Group {
			groups = append(groups, s.GroupID)
		}
	}
	infos, err := t.conf.IM.GroupInfos(ctx, groups)
	if err != nil {
		return nil, err
	}
	members := make(map[string]int)
	for _, info := range infos {
		if info.Code == 0 {
			members[info.GroupID] = info.MemberNum
		}
	}
	out := []Thread{}
	for _, s := range list {
		one := s.Thread
		one.Members, one.Done = members[s.GroupID], !s.copying() || s.Stage == reviewing
		if s.Form == Topic {
			one.Copied, one.Total = one.Members, one.Members
		} else if one.Total == 0 {
			one.Total = members[is.CommunityID]
		}
		out = append(out, one)
	}
	return out, nil
}

// Get returns a sub-channel, to servers and members.
func (t *Threads) Get(ctx context.Context, caller api.Caller, communityID, threadID string) (Thread, error) {
	is, s, err := t.find(ctx, caller, communityID, threadID)
	if err != nil {
		return Thread{}, err
	}
	list, err := t.shown(ctx, is, []*seen{s})
	if err != nil {
		return Thread{}, community.Public(err)
	}
	return list[0], nil
}

// idBytes is how long the part of a threadId after "t-" is.
const idBytes = 16

// isID reports whether a sub-channel can have this threadId.
func isID(id string) bool {
	digits, is := strings.CutPrefix(id, "t-")
	return is && len(digits) == idBytes && strings.Trim(digits, "0123456789abcdef") == ""
}

// find returns a sub-channel that is not being removed, for a caller who is inside.
func (t *Threads) find(ctx context.Context, caller api.Caller, communityID, threadID string) (community.Community, *seen, error) {
	is, err := t.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return is, nil, err
	}
	if err := t.conf.Communities.Inside(ctx, is, caller); err != nil {
		return is, nil, err
	}
	if !isID(threadID) {
		return is, nil, errNone
	}
	s, err := t.load(ctx, is, threadID)
	if err == nil && s.Closing {
		err = errNone
	}
	return is, s, community.Public(err)
}

// List lists the sub-channels of a channel, or of all channels, to servers and
// members, with their number.
func (t *Threads) List(ctx context.Context, caller api.Caller, communityID, channelID, after string, limit int) (list []Thread, count int, next string, err error) {
	is, err := t.conf.Communities.Get(ctx, communityID)
	if err != nil {
		return nil, 0, "", err
	}
	if err := t.conf.Communities.Inside(ctx, is, caller); err != nil {
		return nil, 0, "", err
	}
	prefix := threadPrefix
	if channelID != "" {
		ch, has := is.Channel(channelID)
		if !has {
			return nil, 0, "", errNoChannel
		}
		if err := t.conf.Communities.CanSee(ctx, is, ch, caller); err != nil {
			return nil, 0, "", err
		}
		prefix = channelPrefix(ch)
	}
	all, err := t.all(ctx, is, prefix)
	if err != nil {
		return nil, 0, "", community.Public(err)
	}
	all = slices.DeleteFunc(all, func(s *seen) bool { return s.Closing })
	slices.SortFunc(all, func(a, b *seen) int { return strings.Compare(a.ThreadID, b.ThreadID) })
	count = len(all)
	page := slices.DeleteFunc(slices.Clone(all), func(s *seen) bool { return s.ThreadID <= after })
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ThreadID
	}
	list, err = t.shown(ctx, is, page)
	return list, count, next, community.Public(err)
}

// Delete removes a sub-channel with its messages, for its maker and for callers who
// manage. Errors are of the codes NotFound, Forbidden and Unavailable.
func (t *Threads) Delete(ctx context.Context, caller api.Caller, communityID, threadID string) error {
	is, s, err := t.find(ctx, caller, communityID, threadID)
	if err != nil {
		return err
	}
	manages, err := t.conf.Communities.Manages(ctx, is, caller)
	switch {
	case err != nil:
		return err
	case !manages && (caller.UserID == "" || s.By != caller.UserID):
		return fault.New(fault.Forbidden, "only who made a sub-channel and those who manage the community delete it")
	}
	if err := t.closed(ctx, is, threadID); err != nil {
		return community.Public(err)
	}
	_ = t.settle(ctx, is.CommunityID+" "+threadID) // or its job does
	return nil
}

// Routes adds the routes of sub-channels.
func (t *Threads) Routes(mux *http.ServeMux, conf api.RoutesConfig) {
	const ok = http.StatusOK
	api.Mount(
		mux, conf,
		api.On(http.MethodPost, "/communities/{id}/threads", http.StatusCreated, api.NeedsKey, t.post),
		api.On(http.MethodGet, "/communities/{id}/threads", ok, 0, t.list),
		api.On(http.MethodGet, "/communities/{id}/threads/{threadId}", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			return t.Get(ctx, c, r.PathValue("id"), r.PathValue("threadId"))
		}),
		api.On(http.MethodDelete, "/communities/{id}/threads/{threadId}", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			return struct{}{}, t.Delete(ctx, c, r.PathValue("id"), r.PathValue("threadId"))
		}),
	)
}

func (t *Threads) post(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in NewThread
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	return t.Create(ctx, c, key, r.PathValue("id"), in)
}

func (t *Threads) list(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	list, count, next, err := t.List(ctx, c, r.PathValue("id"), r.URL.Query().Get("channelId"), page.After, page.Limit)
	return struct {
		Threads []Thread `json:"threads"`
		Count   int      `json:"count"`
		Next    string   `json:"next,omitempty"`
	}{list, count, next}, err
}
