package community

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Limits. Limits in bytes are IM's (269/9346, 1047/49471), the others are ours.
const (
	MaxChannels   = 200
	MaxCategories = 50
	MaxRoles      = 50
	MaxField      = 512 // bytes of a group field
	MaxRoleName   = 32  // bytes
	MaxSlowMode   = 6 * time.Hour
	MaxPins       = 50 // of one channel
	MaxAllPins    = 1000
)

// ChannelKind is the kind of a channel.
type ChannelKind string

// The kinds of channels.
const (
	Text    ChannelKind = "text"
	Voice   ChannelKind = "voice"
	Private ChannelKind = "private" // a Work group, for invited members
)

// Channel is the view of a channel.
type Channel struct {
	ChannelID       string      `json:"channelId"` // the TopicID, or the GroupID of a private channel
	Name            string      `json:"name"`      // 1 to 30 bytes
	Kind            ChannelKind `json:"kind"`
	SlowModeSeconds int         `json:"slowModeSeconds"`
	Position        int         `json:"position"` // in its category, from 0
	TopicID         string      `json:"topicId,omitempty"`
	GroupID         string      `json:"groupId"` // with TopicID, or alone, where messages go
}

// Short is a channel's name within keys and partitions.
func (ch Channel) Short() string { return shortOf(ch.ChannelID) }

func shortOf(channelID string) string {
	if _, name, is := strings.Cut(channelID, topicInfix); is {
		return name
	}
	return channelID
}

const topicInfix = "@TOPIC#_"

// Category is a category with its channels, in their order.
type Category struct {
	Name     string    `json:"name"`
	Channels []Channel `json:"channels"`
}

// Community is the view of a community. Times are in UTC.
type Community struct {
	CommunityID string     `json:"communityId"` // the GroupID
	Name        string     `json:"name"`        // 1 to 30 bytes
	Owner       string     `json:"owner"`
	Version     int64      `json:"version"` // of name, categories and channels; 1 at creation
	CreatedAt   time.Time  `json:"createdAt"`
	Categories  []Category `json:"categories"`

	// Generation tells apart the communities that had this id one after the other:
	// Unix milliseconds of the creation, always greater than the one before.
	Generation int64 `json:"-"`
	// Closed: the group is dissolved or about to be.
	Closed bool `json:"-"`
}

// Channels returns all channels, in their order.
func (c Community) Channels() (list []Channel) {
	for _, category := range c.Categories {
		list = append(list, category.Channels...)
	}
	return list
}

// Channel finds a channel by its channelId, or by the part of it after @TOPIC#_.
func (c Community) Channel(id string) (Channel, bool) {
	for _, ch := range c.Channels() {
		if ch.ChannelID == id || ch.Short() == id {
			return ch, true
		}
	}
	return Channel{}, false
}

// ChannelPartition returns the partition of the store with all records about one
// channel. It is wiped when the channel is deleted.
func (c Community) ChannelPartition(ch Channel) string {
	return fmt.Sprintf("community-channel/%s/%013d/%s", c.CommunityID, c.Generation, ch.Short())
}

// clone copies what a caller may change.
func (c Community) clone() Community {
	c.Categories = slices.Clone(c.Categories)
	for i := range c.Categories {
		c.Categories[i].Channels = append([]Channel{}, c.Categories[i].Channels...)
	}
	return c
}

// number gives channels their positions.
func (c *Community) number() {
	for i := range c.Categories {
		for j := range c.Categories[i].Channels {
			c.Categories[i].Channels[j].Position = j
		}
	}
}

// locate returns where a channel is.
func (c *Community) locate(channelID string) (category, position int, found bool) {
	for i, one := range c.Categories {
		for j, ch := range one.Channels {
			if ch.ChannelID == channelID {
				return i, j, true
			}
		}
	}
	return 0, 0, false
}

func (c *Community) category(name string) int {
	return slices.IndexFunc(c.Categories, func(one Category) bool { return one.Name == name })
}

// Permission is a permission of a role.
type Permission string

// The permissions.
const (
	Post      Permission = "post"   // write in channels
	MayThread Permission = "thread" // make sub-channels
	MayVoice  Permission = "voice"  // enter voice channels
	Manage    Permission = "manage" // everything that the owner may, except changes of the owner and of roles that manage
)

// Permissions are all permissions, in the order in which answers list them.
var Permissions = []Permission{Post, MayThread, MayVoice, Manage}

// unassigned is what a member without a role may.
var unassigned = []Permission{Post, MayThread, MayVoice}

// Role is the view of a role.
type Role struct {
	Role        string       `json:"role"`
	Permissions []Permission `json:"permissions"`
}

// TemplateChannel is a channel of a template.
type TemplateChannel struct {
	Name            string      `json:"name"`
	Kind            ChannelKind `json:"kind"` // "": text
	SlowModeSeconds int         `json:"slowModeSeconds"`
}

// TemplateCategory is a category of a template.
type TemplateCategory struct {
	Name     string            `json:"name"`
	Channels []TemplateChannel `json:"channels"`
}

// Template has the categories, channels and roles of a new community.
type Template struct {
	Categories []TemplateCategory
	Roles      []Role
}

// ParseTemplate reads categories with channels, and roles by name with their
// permissions, each a JSON text; "" for no roles.
func ParseTemplate(categories, roles string) (t Template, err error) {
	if categories != "" {
		d := json.NewDecoder(strings.NewReader(categories))
		d.DisallowUnknownFields()
		if err := d.Decode(&t.Categories); err != nil {
			return t, fmt.Errorf(`the template is no JSON list of {"name","channels":[{"name","kind"}]}`)
		}
	}
	var c Community
	n := 0
	for i, category := range t.Categories {
		if c.category(category.Name) >= 0 {
			return t, fmt.Errorf("the template has the category %q twice", category.Name)
		}
		c.Categories = append(c.Categories, Category{Name: category.Name})
		if err := checkName("a category", category.Name); err != nil {
			return t, err
		}
		for j, ch := range category.Channels {
			n++
			if ch.Kind == "" {
				ch.Kind = Text
			}
			t.Categories[i].Channels[j].Kind = ch.Kind
			if err := checkChannel(ch.Name, ch.Kind, ch.SlowModeSeconds); err != nil {
				return t, err
			}
		}
	}
	if n > MaxChannels {
		return t, fmt.Errorf("the template has over %d channels", MaxChannels)
	}
	if _, err := c.categoryField(); err != nil {
		return t, err
	}
	if roles != "" {
		var byName map[string][]Permission
		if err := json.Unmarshal([]byte(roles), &byName); err != nil {
			return t, fmt.Errorf(`the roles are no JSON object such as {"helper":["post","manage"]}`)
		}
		if len(byName) > MaxRoles {
			return t, fmt.Errorf("the template has over %d roles", MaxRoles)
		}
		for name, permissions := range byName {
			ordered, err := checkRole(name, permissions)
			if err != nil {
				return t, err
			}
			t.Roles = append(t.Roles, Role{name, ordered})
		}
	}
	return t, nil
}

// categoryField is the text that clients read categories from.
func (c *Community) categoryField() (string, error) {
	names := []string{}
	for _, one := range c.Categories {
		names = append(names, one.Name)
	}
	text, err := encode(names)
	if err != nil {
		return "", err
	}
	if len(text) > MaxField || len(names) > MaxCategories {
		return "", fault.New(fault.Invalid, "the names of all categories have at most %d bytes as JSON and are at most %d; shorten or delete some", MaxField, MaxCategories)
	}
	return text, nil
}

func checkName(what, name string) error {
	if name == "" || len(name) > im.MaxTopicName || !clean(name) {
		return fault.New(fault.Invalid, "the name of %s is a text of 1 to %d bytes without control characters", what, im.MaxTopicName)
	}
	return nil
}

// clean reports whether a text has no control characters and is UTF-8.
func clean(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func checkChannel(name string, kind ChannelKind, slow int) error {
	switch {
	case kind != Text && kind != Voice && kind != Private:
		return fault.New(fault.Invalid, "kind is text, voice or private")
	case slow < 0 || slow > int(MaxSlowMode/time.Second):
		return fault.New(fault.Invalid, "slowModeSeconds is a number from 0 to %d", int(MaxSlowMode/time.Second))
	}
	return checkName("a channel", name)
}

// checkRole returns permissions in their order, once each.
func checkRole(name string, permissions []Permission) ([]Permission, error) {
	if name == "" || len(name) > MaxRoleName || !clean(name) || strings.ContainsAny(name, "/ ") {
		return nil, fault.New(fault.Invalid, "the name of a role has 1 to %d bytes, without spaces and slashes", MaxRoleName)
	}
	for _, p := range permissions {
		if !slices.Contains(Permissions, p) {
			return nil, fault.New(fault.Invalid, "permissions is a list of post, thread, voice and manage")
		}
	}
	ordered := []Permission{}
	for _, p := range Permissions {
		if slices.Contains(permissions, p) {
			ordered = append(ordered, p)
		}
	}
	return ordered, nil
}

// checkUser refuses what is nobody's UserID.
func checkUser(name, id string) error {
	switch {
	case usersig.CheckUserID(id) != nil:
		return fault.New(fault.Invalid, "%s is a UserID of 1 to 32 visible ASCII characters", name)
	case im.IsRobot(id):
		return fault.New(fault.Invalid, "%s is a chatbot, and chatbots are no members here", name)
	}
	return nil
}

// completeID returns the communityId that a caller means: @TGS#_ is added where it is
// missing. "" means that the id is invalid.
func completeID(given string) string {
	id := given
	if !strings.HasPrefix(id, communityPrefix) {
		id = communityPrefix + id
	}
	if len(id) == len(communityPrefix) || len(id) > im.MaxGroupID || strings.Contains(id, topicInfix) ||
		strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }) {
		return ""
	}
	return id
}

const communityPrefix = "@TGS#_"

// digest tells lists of texts apart.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// by names a caller where people read it.
func by(caller api.Caller) string {
	if caller.Server != "" {
		return caller.Server
	}
	return caller.UserID
}

// encode writes JSON and leaves < > & as they are, which escaped would count
// several times against IM's limits.
func encode(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}
