package imtest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// The group types under their REST names.
const (
	typeWork      = "Private"
	typePublic    = "Public"
	typeMeeting   = "ChatRoom"
	typeAVRoom    = "AVChatRoom"
	typeCommunity = "Community"
)

// typeAliases are the names the client SDK uses for the same types.
var typeAliases = map[string]string{
	"Private": typeWork, "Work": typeWork, "Public": typePublic, "ChatRoom": typeMeeting,
	"Meeting": typeMeeting, "AVChatRoom": typeAVRoom, "Community": typeCommunity,
}

type group struct {
	id, kind, name, intro, notice, face string
	owner                               string
	created, changed                    time.Time
	maxMembers                          int
	applyOption, inviteOption           string
	showsEarlier                        bool // newcomers see the messages sent before they joined
	muteAll                             bool
	supportTopic                        bool
	// enablePermission: permission groups in the place of the Admin role, and what
	// members without one may do.
	enablePermission  bool
	defaultPermission uint64
	members           map[string]*member
	joinOrder         []string
	data              map[string]string // AppDefinedData
	attributes        map[string]string
	attributeSeq      int // grows with each write of attributes
	attributeWrites   slidingWindow
	counters          map[string]int64
	banned            map[string]time.Time
	line              line // messages of the group itself
	topics            map[string]*topic
	topicOrder        []string
	online            map[string]*presence // AVChatRoom: its members
	admins            []string             // of an AVChatRoom
	onlineNum         int                  // as it was at onlineAt
	onlineAt          time.Time
	muted             map[string]time.Time // by forbid_send_msg
	second            slidingWindow        // messages of the group and its topics
	waiting           []*pendingMessage    // over the rate; important ones first
	turning           bool                 // a turn of those who wait is due
	shed              []ShedMessage
	permissions       map[string]*permissionGroup
	applicants        []string // who wait for a leader's consent
	pinned            []pin    // messages at the top, the oldest pin first
}

type member struct {
	id       string
	role     string // Owner, Admin or Member
	joined   time.Time
	nameCard string
	flag     string            // MsgFlag
	data     map[string]string // nil until something is written
	since    uint32            // MsgSeq of the last message that was there before the member
	readSeq  uint32            // MsgSeq of the last message the member has read
	// topicRead is readSeq of each topic, by TopicID.
	topicRead map[string]uint32
}

// line is a sequence of messages: a group's or a topic's.
type line struct {
	lastSeq  uint32
	history  []*Message
	receipts receipts               // of messages that need them
	repeats  map[repeatKey]repeated // recent sends, to recognise a repetition
	// repeatsKept is how many of them there were after the last clearing.
	repeatsKept int
}

func (a *App) newLine() line { return line{lastSeq: max(a.conf.FirstSeq, 1) - 1} }

// active reports whether there was ever a message.
func (l *line) active() bool { return len(l.history) > 0 }

type repeatKey struct {
	from   string
	random uint32
	sum    uint32
}

type repeated struct {
	at     time.Time
	answer Sent
}

type topic struct {
	id, name, intro, notice, face, custom string
	muteAll                               bool
	muted                                 map[string]time.Time
	line                                  line
}

// limits of a group's texts, in bytes of UTF-8 (269/9346).
const (
	maxGroupName   = 30
	maxGroupIntro  = 240
	maxGroupNotice = 300
	maxGroupFace   = 100
	maxGroupID     = 48
	maxTopicName   = 30
)

// maxMembers is how many a group takes (1047/34381); 0 is no limit.
func (e Edition) maxMembers(kind string) int {
	switch kind {
	case typeAVRoom:
		return 0
	case typeCommunity:
		return 100000
	}
	return [...]int{Enterprise: 6000, ProPlus: 5000, Pro: 2000, Standard: 500, Trial: 20}[e]
}

// applyOptions are the types' defaults of ApplyJoinOption: our reading of how
// the types differ (269/1502).
var applyOptions = map[string]string{
	typeWork: "DisableApply", typePublic: "NeedPermission", typeMeeting: "FreeAccess", typeCommunity: "FreeAccess", typeAVRoom: "FreeAccess",
}

// inviteOptions are the types' defaults of InviteJoinOption: members invite into
// Work groups and communities; into the others only the REST API adds users
// (269/70394).
var inviteOptions = map[string]string{
	typeWork: "FreeAccess", typePublic: "DisableInvite", typeMeeting: "DisableInvite", typeCommunity: "FreeAccess", typeAVRoom: "DisableInvite",
}

// showsEarlier tells whether a type's newcomers see earlier messages by default
// (1047/33529).
func (a *App) showsEarlier(kind string) bool {
	return kind == typeCommunity || kind == typeMeeting && !a.conf.Unknowns.MeetingHidesEarlier
}

// The values of ApplyJoinOption and InviteJoinOption.
var (
	applyValues  = []string{"FreeAccess", "NeedPermission", "DisableApply"}
	inviteValues = []string{"FreeAccess", "NeedPermission", "DisableInvite"}
)

// existing returns a group or IM's answer that there is none.
func (a *App) existing(id string) (*group, error) {
	switch g := a.groups[id]; {
	case id == "":
		return nil, fail(10004, "GroupId is missing")
	case g == nil:
		return nil, fail(10010, "the group does not exist")
	default:
		return g, nil
	}
}

func (g *group) isAVRoom() bool { return g.kind == typeAVRoom }

// present reports whether the user is a member, or in the AVChatRoom.
func (g *group) present(id string) bool { return g.members[id] != nil || g.online[id] != nil }

// leads reports whether the user is the owner or an admin. Permission groups switch
// the Admin role off.
func (g *group) leads(id string) bool {
	if g.enablePermission {
		return id == g.owner
	}
	m := g.members[id]
	return id == g.owner || m != nil && m.role == "Admin" || slices.Contains(g.admins, id)
}

func (g *group) full() bool { return g.maxMembers > 0 && len(g.members) >= g.maxMembers }

func (g *group) add(id, role string, at time.Time) {
	m := &member{id: id, role: role, joined: at, since: g.line.lastSeq, readSeq: g.line.lastSeq, topicRead: make(map[string]uint32)}
	for topicID, t := range g.topics {
		m.topicRead[topicID] = t.line.lastSeq
	}
	g.members[id] = m
	g.joinOrder = append(g.joinOrder, id)
}

func (g *group) remove(id string) {
	delete(g.members, id)
	for _, p := range g.permissions {
		p.members = slices.DeleteFunc(p.members, func(x string) bool { return x == id })
	}
	g.joinOrder = slices.DeleteFunc(g.joinOrder, func(x string) bool { return x == id })
}

// typeName is how callbacks name the group's type.
func (a *App) typeName(g *group) string {
	switch {
	case a.conf.Unknowns.SDKTypeNames && g.kind == typeWork:
		return "Work"
	case a.conf.Unknowns.SDKTypeNames && g.kind == typeMeeting:
		return "Meeting"
	}
	return g.kind
}

type keyValue struct{ Key, Value string }

// ownFields bounds the fields that an app defines, in bytes (269/9346).
type ownFields struct{ most, key, value int }

var (
	groupFields  = ownFields{most: 10, key: 16, value: 512}
	memberFields = ownFields{most: 5, key: 16, value: 64}
)

func checkOwnFields(data []keyValue, limit ownFields) error {
	for _, d := range data {
		if d.Key == "" || len(d.Key) > limit.key || len(d.Value) > limit.value {
			return fail(10004, "a Key or Value of your own fields is missing or too long")
		}
	}
	return nil
}

// setFields changes fields; an empty value takes one away.
func setFields(fields map[string]string, data []keyValue) {
	for _, d := range data {
		if d.Value == "" {
			delete(fields, d.Key)
		} else {
			fields[d.Key] = d.Value
		}
	}
}

// fits reports whether the fields are still few enough after a change.
func fits(fields map[string]string, data []keyValue, limit ownFields) bool {
	fields = maps.Clone(fields)
	next := make(map[string]string)
	maps.Copy(next, fields)
	setFields(next, data)
	return len(next) <= limit.most
}

func checkGroupTexts(name, intro, notice, face *string) error {
	for _, t := range []struct {
		what  string
		value *string
		limit int
	}{
		{"Name", name, maxGroupName},
		{"Introduction", intro, maxGroupIntro},
		{"Notification", notice, maxGroupNotice},
		{"FaceUrl", face, maxGroupFace},
	} {
		if t.value != nil && len(*t.value) > t.limit {
			return fail(10004, t.what+" is too long")
		}
	}
	return nil
}

func checkGroupID(id, kind string) error {
	switch {
	case id == "":
		return nil
	case len(id) > maxGroupID:
		return fail(10015, "GroupId is over 48 bytes")
	case strings.ContainsFunc(id, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return fail(10015, "GroupId must be printable ASCII")
	case kind == typeCommunity && !strings.HasPrefix(id, "@TGS#_"):
		return fail(10015, "a Community's GroupId must start with @TGS#_")
	case kind != typeCommunity && strings.HasPrefix(id, "@TGS#"):
		return fail(10015, "GroupId must not start with @TGS#")
	}
	return nil
}

// creation is a group about to be made, by REST or by a client.
type creation struct {
	kind, id, name, intro, notice, face string
	owner, operator                     string
	maxMembers                          int
	apply, invite                       string
	members                             []newMember
	data                                []keyValue
	supportTopic                        bool
	enablePermission                    bool
	defaultPermission                   uint64
	from                                origin
}

type newMember struct {
	id, role string
}

// create makes a group: checks, the before-callback, the group, the
// after-callback.
func (a *App) create(c creation) (string, error) {
	a.mu.Lock()
	err := a.checkCreation(&c)
	a.mu.Unlock()
	if err != nil {
		return "", err
	}
	ids := make([]string, len(c.members))
	for i, m := range c.members {
		ids[i] = m.id
	}
	v := a.before(notice{command: "Group.CallbackBeforeCreateGroup", from: c.from, body: object{
		"Operator_Account", c.operator, "Owner_Account", c.owner, "Type", a.typeName(&group{kind: c.kind}), "Name", c.name,
		"MemberList", accounts("Member_Account", ids), "EventTime", a.eventTime(),
	}})
	if err := a.refusal(groupVerdicts, v); err != nil {
		return "", err
	}

	a.mu.Lock()
	if err := a.checkCreation(&c); err != nil { // somebody may have been faster
		a.mu.Unlock()
		return "", err
	}
	g := a.makeGroup(c)
	a.mu.Unlock()

	a.after(notice{command: "Group.CallbackAfterCreateGroup", from: c.from, body: object{
		"GroupId", g.id, "Operator_Account", c.operator, "Owner_Account", c.owner, "Type", a.typeName(g), "Name", c.name,
		"MemberList", accounts("Member_Account", ids), "UserDefinedDataList", keyValues(c.data), "EventTime", a.eventTime(),
	}})
	return g.id, nil
}

func keyValues(data []keyValue) []object {
	list := make([]object, len(data))
	for i, d := range data {
		list[i] = object{"Key", d.Key, "Value", d.Value}
	}
	return list
}

func (a *App) checkCreation(c *creation) error {
	kind, known := typeAliases[c.kind]
	switch {
	case !known:
		return fail(10004, "Type is missing or unknown")
	case c.name == "":
		return fail(10004, "Name is missing")
	case kind == typeCommunity && a.conf.NoCommunity:
		return fail(11000, "communities are switched off for this app")
	case kind == typeAVRoom && len(c.members) > 0:
		return fail(10007, "an AVChatRoom takes no MemberList")
	case len(c.members) > 100:
		return fail(10005, "over 100 members")
	case !slices.Contains(applyValues, c.apply) && c.apply != "":
		return fail(10004, "ApplyJoinOption is unknown")
	case !slices.Contains(inviteValues, c.invite) && c.invite != "":
		return fail(10004, "InviteJoinOption is unknown")
	case c.supportTopic && kind != typeCommunity:
		return fail(10007, "only a Community has topics")
	case c.enablePermission && !c.supportTopic:
		return fail(10007, "only a Community with topics has permission groups")
	}
	c.kind = kind
	if err := a.checkQuota(kind); err != nil {
		return err
	}
	if err := checkGroupTexts(&c.name, &c.intro, &c.notice, &c.face); err != nil {
		return err
	}
	if err := checkOwnFields(c.data, groupFields); err != nil {
		return err
	}
	if err := checkGroupID(c.id, kind); err != nil {
		return err
	}
	if existing := a.groups[c.id]; c.id != "" && existing != nil {
		if existing.owner == c.owner && c.owner != "" {
			return fail(10025, "you own a group of this id already")
		}
		return fail(10021, "the GroupId is taken")
	}
	if c.owner != "" && a.user(c.owner) == nil {
		return fail(10019, "the owner is not imported")
	}
	for _, m := range c.members {
		if a.user(m.id) == nil {
			return fail(10019, "a member is not imported")
		}
	}
	most := a.conf.Edition.maxMembers(kind)
	switch members := len(c.members) + flag(c.owner != ""); {
	case !fits(nil, c.data, groupFields):
		return fail(10004, "over 10 fields of your own")
	case c.maxMembers < 0, most > 0 && c.maxMembers > most, c.maxMembers > 0 && members > c.maxMembers:
		return fail(10004, "MaxMemberCount does not fit")
	case most > 0 && members > most:
		return fail(10014, "the edition has no groups of this size")
	}
	return nil
}

// checkQuota holds the app to how many groups its edition has (269/9346).
func (a *App) checkQuota(kind string) error {
	rooms := 0
	for _, g := range a.groups {
		rooms += flag(g.isAVRoom())
	}
	switch most := maxRooms[a.conf.Edition]; {
	case a.conf.Edition == Trial && len(a.groups) >= maxTrialGroups:
		return fail(10058, "over 100 groups in the trial edition")
	case kind == typeAVRoom && most > 0 && rooms >= most:
		return fail(10036, "over the edition's number of AVChatRooms")
	}
	return nil
}

// How many groups an app of a small edition has.
const maxTrialGroups = 100

var maxRooms = map[Edition]int{Trial: 10, Standard: 50}

func (a *App) makeGroup(c creation) *group {
	if c.id == "" {
		c.id = "@TGS#2" + a.newID()
		if c.kind == typeCommunity {
			c.id = "@TGS#_" + a.newID()
		}
	}
	if c.maxMembers == 0 {
		c.maxMembers = a.conf.Edition.maxMembers(c.kind)
	}
	if c.apply == "" {
		c.apply = applyOptions[c.kind]
	}
	if c.invite == "" {
		c.invite = inviteOptions[c.kind]
	}
	now := a.clock.Now()
	g := &group{
		line: a.newLine(),
		id:   c.id, kind: c.kind, name: c.name, intro: c.intro, notice: c.notice, face: c.face, owner: c.owner,
		created: now, changed: now, maxMembers: c.maxMembers, applyOption: c.apply, inviteOption: c.invite, supportTopic: c.supportTopic,
		enablePermission: c.enablePermission, defaultPermission: c.defaultPermission,
		showsEarlier: a.showsEarlier(c.kind),
		members:      make(map[string]*member), data: make(map[string]string), attributes: make(map[string]string),
		counters: make(map[string]int64), banned: make(map[string]time.Time), topics: make(map[string]*topic),
		online: make(map[string]*presence), muted: make(map[string]time.Time), permissions: make(map[string]*permissionGroup),
	}
	if c.kind != typeAVRoom {
		if c.owner != "" {
			g.add(c.owner, "Owner", now)
		}
		for _, m := range c.members {
			if g.members[m.id] == nil {
				g.add(m.id, m.role, now)
			}
		}
	}
	setFields(g.data, c.data)
	a.groups[g.id] = g
	return g
}

// destroy takes a group away with everything in it.
func (a *App) destroy(id string, from origin) error {
	a.mu.Lock()
	g, err := a.existing(id)
	if err != nil {
		a.mu.Unlock()
		return err
	}
	delete(a.groups, id)
	a.tell(g, &Event{Kind: "destroyed", GroupID: id})
	for _, p := range g.online {
		for _, c := range p.devices {
			c.forgetRoom(g)
		}
	}
	n := notice{command: "Group.CallbackAfterGroupDestroyed", from: from, body: object{
		"GroupId", g.id, "Type", a.typeName(g), "Owner_Account", g.owner, "Name", g.name,
		"MemberList", accounts("Member_Account", g.joinOrder), "EventTime", a.eventTime(),
	}}
	a.mu.Unlock()
	a.after(n)
	return nil
}

// sortedKeys returns a map's keys in order, so that answers are the same each
// time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
