// Package thread manages sub-channels: groups about one message of a channel, their
// parent, or without a parent.
//
// A sub-channel is a topic of the community, which every member is in, or where the
// guide's form is asked for a group of its own: a Community without topics, the only
// type that holds 100,000 members and shows newcomers the earlier messages. There the
// community's members are copied page by page by a job, newcomers are added and
// leavers removed.
//
// # Copying
//
// Each page of IM's list of members is added and then committed with its cursor, so
// a copy goes on where it stopped. Members may come and go meanwhile:
//
//   - A user who joins is added when the callback comes; the thread is in the list of
//     the community's sub-channels before its copy begins.
//   - A user who leaves is recorded first, then removed. The copier reads the new
//     records after each page that it adds, and all records after the last page, and
//     removes users who are no members. So whichever acts last has seen the other's
//     change.
//   - A list that members leave while it is read may skip some members. After such a
//     pass the copier reads the members a second time, from the records of callbacks,
//     in an order that no exit changes, and adds missing members.
//   - A sub-channel of a community that is nearly full is full itself while users who
//     left wait to be removed. A job that finds it full is retried.
//
// A callback of a join or an exit may be lost all the same. The review of a community
// in whose groups somebody writes ([community.Reviews]) compares IM's numbers of
// members: one call for 50 sub-channels. Users on their way make the numbers differ
// for a moment, so the members of a group are compared only after the numbers differed
// in three reviews in a row.
//
// # Summaries
//
// A message in a sub-channel only marks its parent dirty (package mark): count and
// last message are IM's own at the time when the parent is written. So a callback that
// comes twice, late or never causes no wrong count.
package thread

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	guardAfter = time.Minute
	tries      = 20
	// MaxGroups bounds the sub-channels of a community that are groups of their own:
	// each user who joins or leaves costs a call for each of them.
	MaxGroups = 100
	// MaxTopics bounds the sub-channels of a community that are topics.
	MaxTopics = 1000
	// pageSize is how many members are copied before the cursor is committed.
	pageSize = 200
	// reserve is how long before its deadline a job stops copying.
	reserve = 3 * time.Second
)

// Form is the kind of IM group that a sub-channel is.
type Form string

// The forms.
const (
	Topic Form = "topic"
	Group Form = "group"
)

// IM is the part of IM's REST API that sub-channels use; [*im.Client] implements it.
type IM interface {
	CreateTopic(ctx context.Context, t im.NewTopic) (topicID string, err error)
	DestroyTopics(ctx context.Context, groupID string, topicIDs ...string) ([]im.ItemResult, error)
	Topics(ctx context.Context, groupID, userID string, topicIDs ...string) ([]im.Topic, error)
	CreateGroup(ctx context.Context, g im.NewGroup) (im.Created, error)
	DestroyGroup(ctx context.Context, groupID string) error
	GroupInfos(ctx context.Context, groupIDs []string, dataKeys ...string) ([]im.GroupInfo, error)
	GroupMembers(ctx context.Context, q im.MembersQuery) (im.MembersPage, error)
	SpecifiedGroupMembers(ctx context.Context, groupID string, ids []string) ([]im.Member, error)
	AddGroupMembers(ctx context.Context, groupID string, ids []string, silence bool) ([]im.MemberAdded, error)
	DeleteGroupMembers(ctx context.Context, groupID string, ids []string, reason string, silence bool) (done int, err error)
	GroupHistory(ctx context.Context, q im.GroupHistoryQuery) (im.GroupHistoryPage, error)
	SendGroupMsg(ctx context.Context, m im.GroupMsg) (im.GroupSent, error)
}

// Config makes [Threads]. All but Now are required in a program that carries out
// jobs.
type Config struct {
	Store       kv.Store
	Jobs        *queue.Ledger
	IM          IM
	Admin       string // UserID that sends notices to channels
	Communities *community.Communities
	Marks       *mark.Marks

	Now func() time.Time // nil: time.Now
}

// Threads are all sub-channels of an app. It is safe for concurrent use, also by
// several processes.
type Threads struct {
	conf    Config
	store   kv.Store
	copies  *process.Process
	follows *process.Process
	now     func() time.Time

	mu    sync.Mutex
	known map[string]cachedThread
}

// The processes of sub-channels, for the clock.
var (
	// Copies make sub-channels and copy members into them. Their ids are a communityId,
	// a space and a threadId.
	Copies = process.Name{Agenda: "community-threads", Job: "community.thread", Lane: queue.Slow}
	// Follows add a user to the sub-channels of the group form, or remove the user, as
	// the user joins or leaves the community. Their ids are a communityId, a space and
	// a UserID.
	Follows = process.Name{Agenda: "community-thread-members", Job: "community.thread.member", Lane: queue.Fast}
)

// New makes Threads, and registers its kinds of jobs with conf.Jobs.
func New(conf Config) *Threads {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	t := &Threads{conf: conf, store: conf.Store, now: conf.Now, known: make(map[string]cachedThread)}
	t.copies = process.New(Copies, conf.Store, conf.Jobs, conf.Now, t.settle)
	t.follows = process.New(Follows, conf.Store, conf.Jobs, conf.Now, t.follow)
	if conf.Marks != nil {
		conf.Marks.Summarize(t.summary)
	}
	return t
}

var errNoIM = errors.New("thread: this program calls no IM")

// Thread is the view of a sub-channel.
type Thread struct {
	ThreadID  string    `json:"threadId"`
	Name      string    `json:"name"`
	ChannelID string    `json:"channelId"`
	MsgSeq    uint32    `json:"msgSeq,omitempty"` // of the parent message
	Form      Form      `json:"form"`
	GroupID   string    `json:"groupId"`
	TopicID   string    `json:"topicId"` // "" for the group form
	By        string    `json:"by"`
	CreatedAt time.Time `json:"createdAt"`
	Members   int       `json:"members"` // number of members now
	Copied    int       `json:"copied"`  // members that the copy has read
	Total     int       `json:"total"`   // members of the community when the copy began
	Done      bool      `json:"done"`    // the copy is complete
}

// stage is where a copy is.
type stage int

const (
	byList    stage = iota // going through IM's list
	byMembers              // going through the members that callbacks told of
	finishing              // taking out who left meanwhile
	finished
	reviewing // going through the group's own list for those who are no members
)

// record is a sub-channel as it is stored, in one item.
type record struct {
	Thread
	From    string `json:"from,omitempty"` // who wrote the message that it is about
	Asked   string `json:"asked"`          // who asked for it, under which key, for what
	Made    bool   `json:"made,omitempty"`
	Closing bool   `json:"closing,omitempty"`
	Base    uint32 `json:"base,omitempty"` // MsgSeq before the first message
	Stage   stage  `json:"stage,omitempty"`
	Cursor  string `json:"cursor,omitempty"` // of the stage
	Off     off    `json:"off,omitzero"`
}

// off is how long the group has had more members than the community, or fewer.
type off struct {
	Reviews int   `json:"reviews"` // in a row; negative: fewer
	Hour    int64 `json:"hour"`    // of the last one
}

// copying reports whether members are still being copied.
func (r *record) copying() bool { return r.Form == Group && r.Stage != finished }

// Keys in the partition of a community's sub-channels.
func threadsOf(is community.Community) string {
	return fmt.Sprintf("%s%s/%013d", threadsPrefix, is.CommunityID, is.Generation)
}

const threadsPrefix = "community-threads/"

const (
	threadPrefix = "t/" // t/THREADID: the sub-channel
	groupPrefix  = "g/" // g/THREADID: empty, an index of those of the group form
)

func channelPrefix(ch community.Channel) string { return "c/" + ch.Short() + "/" }
func channelKey(ch community.Channel, threadID string) string {
	return channelPrefix(ch) + threadID
}

func messageKey(ch community.Channel, seq uint32) string {
	return fmt.Sprintf("m/%s/%010d", ch.Short(), seq)
}

// partitionOf is the partition of what changes often about one sub-channel.
func partitionOf(is community.Community, threadID string) string {
	return fmt.Sprintf("community-thread/%s/%013d/%s", is.CommunityID, is.Generation, threadID)
}

// Keys there.
const (
	gonePrefix   = "gone/"    // gone/USERID: left while members were copied
	recalledItem = "recalled" // recalled messages
	handItem     = "hand"
)

type seen struct {
	record
	cond   kv.Cond
	stored []byte
}

var errNone = fault.New(fault.NotFound, "there is no such sub-channel in this community")

func (t *Threads) load(ctx context.Context, is community.Community, threadID string) (*seen, error) {
	item, err := t.store.Get(ctx, threadsOf(is), threadPrefix+threadID)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	s := &seen{cond: kv.Rev(item.Rev), stored: item.Value}
	if err := json.Unmarshal(item.Value, &s.record); err != nil {
		return nil, fmt.Errorf("thread: a sub-channel does not decode: %w", err)
	}
	return s, nil
}

// save commits the sub-channel, if it has changed.
func (t *Threads) save(ctx context.Context, is community.Community, s *seen) error {
	value, err := json.Marshal(s.record)
	if err != nil {
		return fmt.Errorf("thread: %w", err)
	}
	if bytes.Equal(value, s.stored) {
		return nil
	}
	op := newOp()
	if err := t.store.Commit(ctx, threadsOf(is), op, kv.Put{Key: threadPrefix + s.ThreadID, Value: value, If: s.cond}); err != nil {
		return err
	}
	s.cond, s.stored = kv.Rev(op), value
	return nil
}

func newOp() string { return kv.NewOp("thread") }

func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

func wake(ctx context.Context, p *process.Process, id string) {
	if err := p.Start(ctx, id, rand.Text()); err != nil {
		slog.WarnContext(ctx, "work on a sub-channel deferred to the clock", "error", err.Error())
	}
}

// communityOf returns the community of a process's id, false where it is gone.
func (t *Threads) communityOf(ctx context.Context, id string) (is community.Community, rest string, ok bool, err error) {
	communityID, rest, found := strings.Cut(id, " ")
	if !found {
		return is, "", false, errors.New("thread: discarded malformed job: no sub-channel")
	}
	is, err = t.conf.Communities.Get(ctx, communityID)
	if err != nil && fault.CodeOf(err) == fault.NotFound {
		return is, rest, false, nil
	}
	return is, rest, err == nil, err
}

// settle makes a sub-channel, copies members into it, or removes it.
func (t *Threads) settle(ctx context.Context, id string) error {
	if t.conf.IM == nil {
		return errNoIM
	}
	is, threadID, there, err := t.communityOf(ctx, id)
	if err != nil || !there {
		return err
	}
	ctx, release, err := process.Hold(ctx, t.store, t.now(), partitionOf(is, threadID), handItem)
	if err != nil {
		return err
	}
	defer release()
	for range tries {
		s, err := t.load(ctx, is, threadID)
		if err == error(errNone) {
			return nil
		}
		if err == nil {
			err = t.pass(ctx, is, s)
		}
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return queue.Later{After: time.Second}
}

func (t *Threads) pass(ctx context.Context, is community.Community, s *seen) error {
	if s.Closing {
		return t.remove(ctx, is, s.record)
	}
	if !s.Made {
		if err := t.make(ctx, is, s); err != nil {
			return err
		}
	}
	if s.copying() {
		return t.copy(ctx, is, s)
	}
	return nil
}

// make makes the sub-channel's topic or group, and tells the channel of it.
func (t *Threads) make(ctx context.Context, is community.Community, s *seen) error {
	ch, there := is.Channel(s.ChannelID)
	if !there {
		return nil // being deleted, and its sub-channels with it
	}
	if s.Form == Topic {
		custom, err := json.Marshal(struct {
			Type      string `json:"type"`
			ChannelID string `json:"channelId"`
			MsgSeq    uint32 `json:"msgSeq,omitempty"`
		}{"thread", s.ChannelID, s.MsgSeq})
		if err != nil {
			return err
		}
		_, err = t.conf.IM.CreateTopic(ctx, im.NewTopic{GroupID: is.CommunityID, TopicID: s.TopicID, Name: s.Name, Creator: is.Owner, CustomString: string(custom)})
		if err != nil && !errors.Is(err, im.CodeGroupIDTaken) { // by an earlier try of ours
			return err
		}
		s.Stage = finished
	} else {
		if err := t.conf.Communities.Bind(ctx, community.Binding{GroupID: s.GroupID, CommunityID: is.CommunityID, Generation: is.Generation, ThreadID: s.ThreadID}); err != nil {
			return err
		}
		if _, err := t.conf.IM.CreateGroup(ctx, im.NewGroup{
			Type: im.Community, GroupID: s.GroupID, Name: s.Name, Owner: is.Owner, ApplyJoin: im.DisableApply, InviteJoin: im.DisableInvite,
		}); err != nil {
			return err
		}
	}
	// Numbers begin after what is not in the history: where an earlier try made the
	// sub-channel, something may have been written already.
	last, err := t.lastSeq(ctx, is, s.record)
	if err != nil {
		return err
	}
	if last > 0 {
		page, err := t.conf.IM.GroupHistory(ctx, im.GroupHistoryQuery{GroupID: s.GroupID, TopicID: s.TopicID})
		if err != nil {
			return err
		}
		s.Base = last
		for _, m := range page.Messages {
			s.Base = min(s.Base, max(m.MsgSeq, 1)-1)
		}
	}
	s.Made = true
	if err := t.save(ctx, is, s); err != nil {
		return err
	}
	return t.tell(ctx, is, ch)
}

// tell has whoever looks at a channel read its sub-channels anew: an online-only
// message with how many there are. It is a snapshot, so a repeat does no harm.
func (t *Threads) tell(ctx context.Context, is community.Community, ch community.Channel) error {
	n := 0
	for after := ""; ; {
		page, err := t.store.List(ctx, threadsOf(is), kv.Range{Prefix: channelPrefix(ch), After: after, Limit: kv.MaxPage})
		if err != nil {
			return err
		}
		n += len(page.Items)
		if after = page.Next; after == "" {
			break
		}
	}
	data, err := json.Marshal(struct {
		BusinessID string `json:"businessID"`
		Event      string `json:"event"`
		Data       any    `json:"data"`
	}{"backchannel", "threads", struct {
		ChannelID string `json:"channelId"`
		Count     int    `json:"count"`
	}{ch.ChannelID, n}})
	if err != nil {
		return err
	}
	_, random := im.Numbers(digest(is.CommunityID, ch.ChannelID, rand.Text()))
	sent, err := t.conf.IM.SendGroupMsg(ctx, im.GroupMsg{
		GroupID: ch.GroupID, TopicID: ch.TopicID, From: t.conf.Admin, Random: random, OnlineOnly: true, Body: im.Custom(string(data), "", ""),
	})
	if im.Lasting(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.conf.Communities.NotCounted(ctx, is, ch, sent.MsgSeq)
}

// remove ends a sub-channel and forgets it.
func (t *Threads) remove(ctx context.Context, is community.Community, r record) error {
	if r.Form == Topic {
		if _, err := t.conf.IM.DestroyTopics(ctx, is.CommunityID, r.TopicID); err != nil && !im.Lasting(err) {
			return err
		}
	} else {
		if err := t.conf.IM.DestroyGroup(ctx, r.GroupID); err != nil && !im.Lasting(err) {
			return err
		}
		if err := t.conf.Communities.Unbind(ctx, r.GroupID); err != nil {
			return err
		}
	}
	ch := community.Channel{ChannelID: r.ChannelID}
	keys := []string{threadPrefix + r.ThreadID, groupPrefix + r.ThreadID, channelKey(ch, r.ThreadID)}
	if r.MsgSeq != 0 {
		keys = append(keys, messageKey(ch, r.MsgSeq))
	}
	var deletes []kv.Write
	for _, key := range keys {
		item, err := t.store.Get(ctx, threadsOf(is), key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		deletes = append(deletes, kv.Delete{Key: key, If: kv.Rev(item.Rev)})
	}
	if len(deletes) > 0 {
		if err := t.store.Commit(ctx, threadsOf(is), newOp(), deletes...); err != nil {
			return err
		}
	}
	t.mu.Lock()
	clear(t.known)
	t.mu.Unlock()
	for _, prefix := range []string{gonePrefix, recalledItem} {
		if err := t.conf.Communities.Wipe(ctx, partitionOf(is, r.ThreadID), prefix); err != nil {
			return err
		}
	}
	if there, has := is.Channel(r.ChannelID); has {
		if r.MsgSeq != 0 {
			if err := t.conf.Marks.Touch(ctx, mark.Ref{Community: is, Channel: there, Seq: r.MsgSeq}, r.From, ""); err != nil {
				return err
			}
		}
		return t.tell(ctx, is, there)
	}
	return nil
}

// all returns the sub-channels whose index entries begin with a prefix.
func (t *Threads) all(ctx context.Context, is community.Community, prefix string) (list []*seen, err error) {
	for after := ""; ; {
		page, err := t.store.List(ctx, threadsOf(is), kv.Range{Prefix: prefix, After: after, Limit: kv.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			s, err := t.load(ctx, is, strings.TrimPrefix(item.Key, prefix))
			if err == error(errNone) {
				continue
			}
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
		if after = page.Next; after == "" {
			return list, nil
		}
	}
}

// ChannelGone implements [community.Companion].
func (t *Threads) ChannelGone(ctx context.Context, is community.Community, ch community.Channel) error {
	list, err := t.all(ctx, is, channelPrefix(ch))
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := t.remove(ctx, is, s.record); err != nil {
			return err
		}
	}
	return nil
}

// Gone implements [community.Companion].
func (t *Threads) Gone(ctx context.Context, is community.Community) error {
	list, err := t.all(ctx, is, threadPrefix)
	if err != nil {
		return err
	}
	is.Categories = nil // nobody is told, and no message is written any more
	for _, s := range list {
		if err := t.remove(ctx, is, s.record); err != nil {
			return err
		}
	}
	return nil
}

// summaryText bounds the text of a summary's last message, in bytes.
const summaryText = 120

// Last is the last message of a sub-channel.
type Last struct {
	From string    `json:"from"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// Summary is the summary of a sub-channel in its parent message.
type Summary struct {
	ThreadID string `json:"threadId"`
	Count    int    `json:"count"`
	Last     *Last  `json:"last,omitempty"`
}

// summary implements [mark.Summary], from what IM has at the moment.
func (t *Threads) summary(ctx context.Context, is community.Community, threadID string) (any, error) {
	s, err := t.load(ctx, is, threadID)
	switch {
	case err == error(errNone):
		return nil, nil
	case err != nil:
		return nil, err
	case s.Closing:
		return nil, nil
	}
	sum := Summary{ThreadID: threadID}
	last, err := t.lastSeq(ctx, is, s.record)
	if err != nil {
		return nil, err
	}
	recalled, _, err := t.recalled(ctx, is, threadID)
	if err != nil {
		return nil, err
	}
	sum.Count = max(0, int(last)-int(s.Base)-len(recalled))
	const pages = 5
	q := &im.GroupHistoryQuery{GroupID: s.GroupID, TopicID: s.TopicID}
	for range pages {
		page, err := t.conf.IM.GroupHistory(ctx, *q)
		if im.Lasting(err) {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		for _, m := range page.Messages {
			if m.Placeholder == 0 {
				sum.Last = &Last{m.From, im.CutText(textOf(m.Body), summaryText), time.Unix(m.MsgTime, 0).UTC()}
				return sum, nil
			}
		}
		if q = page.Next; q == nil {
			break
		}
	}
	return sum, nil
}

// textOf is what a list shows of a message.
func textOf(body im.MsgBody) string {
	for _, e := range body {
		var text struct{ Text string }
		if e.MsgType == im.TextElem && json.Unmarshal(e.MsgContent, &text) == nil {
			return text.Text
		}
	}
	for _, e := range body {
		return "[" + e.MsgType + "]"
	}
	return ""
}

// lastSeq is the number of a sub-channel's last message.
func (t *Threads) lastSeq(ctx context.Context, is community.Community, r record) (uint32, error) {
	if r.Form == Topic {
		topics, err := t.conf.IM.Topics(ctx, is.CommunityID, is.Owner, r.TopicID)
		if err != nil && !im.Lasting(err) {
			return 0, err
		}
		if err != nil || len(topics) != 1 || topics[0].Code != 0 {
			return 0, nil
		}
		return max(topics[0].NextMsgSeq, 1) - 1, nil
	}
	infos, err := t.conf.IM.GroupInfos(ctx, []string{r.GroupID})
	if err != nil && !im.Lasting(err) {
		return 0, err
	}
	if err != nil || len(infos) != 1 || infos[0].Code != 0 {
		return 0, nil
	}
	return max(infos[0].NextMsgSeq, 1) - 1, nil
}

type cachedThread struct {
	record record
	at     time.Time
}

// parentFor is how long an instance trusts what it knows of a sub-channel's parent,
// which never changes while the sub-channel is there.
const (
	parentFor = 30 * time.Second
	maxKnown  = 5000
)

// parent returns a sub-channel for a callback, false where there is none.
func (t *Threads) parent(ctx context.Context, is community.Community, threadID string) (record, bool, error) {
	key, now := partitionOf(is, threadID), t.now()
	t.mu.Lock()
	got, known := t.known[key]
	t.mu.Unlock()
	if known && now.Sub(got.at) < parentFor {
		return got.record, true, nil
	}
	s, err := t.load(ctx, is, threadID)
	if err == error(errNone) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxKnown {
		clear(t.known)
	}
	t.known[key] = cachedThread{s.record, now}
	return s.record, true, nil
}
