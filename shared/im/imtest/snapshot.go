package imtest

import (
	"maps"
	"regexp"
	"slices"
	"time"
)

// Snapshots of one app: everything in it at one moment, under a name, in memory.

// Limits of snapshots.
const maxSnapshots = 20

var snapshotName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	Name     string    `json:"name"`
	At       time.Time `json:"at"`
	Users    int       `json:"users"`
	Groups   int       `json:"groups"`
	Messages int       `json:"messages"`
}

// snapshot is a copy of an app's contents that nobody else holds.
type snapshot struct {
	info     SnapshotInfo
	contents holdings
}

// holdings are what [App.Snapshot] keeps: everything but devices, callbacks, REST
// calls, misbehaviour and the console's settings.
type holdings struct {
	accounts      map[string]*account
	groups        map[string]*group
	conversations map[string]*conversation
	pushes        map[uint32]push
	pushNames     map[string]string
	broadcasts    line
}

// Snapshot stores a copy of everything in the app under a name, replacing an earlier
// one of that name. The copy has no devices, no members of AVChatRooms and no messages
// that are queued in a group.
func (a *App) Snapshot(name string) (SnapshotInfo, error) {
	if !snapshotName.MatchString(name) {
		return SnapshotInfo{}, fail(10004, "a snapshot's name has 1 to 64 letters, digits, dots, dashes and underscores")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snapshots[name] == nil && len(a.snapshots) >= maxSnapshots {
		return SnapshotInfo{}, fail(10004, "over 20 snapshots: delete one")
	}
	s := &snapshot{contents: a.holdings.copied()}
	s.info = SnapshotInfo{Name: name, At: a.clock.Now(), Users: len(s.contents.accounts), Groups: len(s.contents.groups)}
	for _, g := range s.contents.groups {
		s.info.Messages += len(g.line.history)
		for _, t := range g.topics {
			s.info.Messages += len(t.line.history)
		}
	}
	for _, c := range s.contents.conversations {
		s.info.Messages += len(c.history)
	}
	a.snapshots[name] = s
	return s.info, nil
}

// Snapshots lists the app's snapshots by name.
func (a *App) Snapshots() []SnapshotInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []SnapshotInfo{}
	for _, name := range sortedKeys(a.snapshots) {
		list = append(list, a.snapshots[name].info)
	}
	return list
}

// Restore is [App.Reset] to a snapshot, which is kept. It fails if there is none of
// that name.
func (a *App) Restore(name string) error {
	a.mu.Lock()
	s := a.snapshots[name]
	a.mu.Unlock()
	if s == nil {
		return errNoSuch
	}
	a.resetTo(&s.contents)
	return nil
}

// DeleteSnapshot deletes a snapshot. It fails if there is none of that name.
func (a *App) DeleteSnapshot(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snapshots[name] == nil {
		return errNoSuch
	}
	delete(a.snapshots, name)
	return nil
}

// copied returns a deep copy. Message bodies are never changed in place and shared.
func (c *holdings) copied() holdings {
	k := &copier{messages: make(map[*Message]*Message)}
	return holdings{
		accounts:      eachCopied(c.accounts, k.account),
		groups:        eachCopied(c.groups, k.group),
		conversations: eachCopied(c.conversations, k.conversation),
		pushes:        maps.Clone(c.pushes),
		pushNames:     maps.Clone(c.pushNames),
		broadcasts:    k.line(c.broadcasts),
	}
}

// copier copies what messages belong to: one that is reached twice stays one.
type copier struct{ messages map[*Message]*Message }

func eachCopied[K comparable, V any](m map[K]V, f func(V) V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = f(v)
	}
	return out
}

// copyOf returns a shallow copy.
func copyOf[T any](v *T) *T {
	c := *v
	return &c
}

func (k *copier) message(m *Message) *Message {
	if m == nil {
		return nil
	}
	if k.messages[m] == nil {
		k.messages[m] = copyOf(m)
	}
	return k.messages[m]
}

func (k *copier) list(list []*Message) []*Message {
	if list == nil {
		return nil
	}
	out := make([]*Message, len(list))
	for i, m := range list {
		out[i] = k.message(m)
	}
	return out
}

func (k *copier) line(l line) line {
	l.history = k.list(l.history)
	l.repeats = maps.Clone(l.repeats)
	if l.receipts != nil {
		l.receipts = eachCopied(l.receipts, slices.Clone[[]string])
	}
	return l
}

func (w slidingWindow) copied() slidingWindow { return slidingWindow{slices.Clone(w.times)} }

func (k *copier) account(u *account) *account {
	u = copyOf(u)
	u.devices = nil
	u.profile = maps.Clone(u.profile)
	u.friends = eachCopied(u.friends, func(f *friend) *friend {
		f = copyOf(f)
		f.groups, f.tags = slices.Clone(f.groups), maps.Clone(f.tags)
		return f
	})
	u.friendGroups, u.conversationGroups = slices.Clone(u.friendGroups), slices.Clone(u.conversationGroups)
	u.blocked = maps.Clone(u.blocked)
	u.seen, u.waiting = k.list(u.seen), k.list(u.waiting)
	u.gone = eachCopied(u.gone, k.message)
	u.attributes = maps.Clone(u.attributes)
	u.tags = slices.Clone(u.tags)
	u.settings = eachCopied(u.settings, func(s ConversationSetting) ConversationSetting {
		s.Marks, s.Groups = slices.Clone(s.Marks), slices.Clone(s.Groups)
		return s
	})
	hidden := make(map[*Message]bool, len(u.hidden))
	for m := range u.hidden {
		hidden[k.message(m)] = true
	}
	u.hidden = hidden
	return u
}

func (k *copier) group(g *group) *group {
	g = copyOf(g)
	g.members = eachCopied(g.members, func(m *member) *member {
		m = copyOf(m)
		m.data, m.topicRead = maps.Clone(m.data), maps.Clone(m.topicRead)
		return m
	})
	g.joinOrder = slices.Clone(g.joinOrder)
	g.data, g.attributes, g.counters = maps.Clone(g.data), maps.Clone(g.attributes), maps.Clone(g.counters)
	g.attributeWrites, g.second = g.attributeWrites.copied(), g.second.copied()
	g.banned, g.muted = maps.Clone(g.banned), maps.Clone(g.muted)
	g.line = k.line(g.line)
	g.topics = eachCopied(g.topics, func(t *topic) *topic {
		t = copyOf(t)
		t.muted, t.line = maps.Clone(t.muted), k.line(t.line)
		return t
	})
	g.topicOrder = slices.Clone(g.topicOrder)
	g.permissions = eachCopied(g.permissions, func(p *permissionGroup) *permissionGroup {
		p = copyOf(p)
		p.members, p.topics = slices.Clone(p.members), maps.Clone(p.topics)
		return p
	})
	g.admins, g.applicants, g.pinned = slices.Clone(g.admins), slices.Clone(g.applicants), slices.Clone(g.pinned)
	g.shed = slices.Clone(g.shed)
	g.waiting, g.turning = nil, false
	g.online = make(map[string]*presence)
	if g.isAVRoom() {
		g.joinOrder = nil
		g.onlineNum, g.onlineAt = 0, time.Time{}
	}
	return g
}

func (k *copier) conversation(c *conversation) *conversation {
	c = copyOf(c)
	history := make([]storedC2C, len(c.history))
	for i, m := range c.history {
		history[i] = storedC2C{Message: k.message(m.Message), receiverOnly: m.receiverOnly}
	}
	c.history = history
	c.repeats = maps.Clone(c.repeats)
	c.cleared = eachCopied(c.cleared, k.message)
	c.read, c.unread = maps.Clone(c.read), maps.Clone(c.unread)
	return c
}
