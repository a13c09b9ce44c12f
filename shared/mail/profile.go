package mail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Profiles is the part of IM's REST API that the routes of players' profiles and
// blocklists use; [*im.Client] implements it. IM holds both: this package stores
// nothing of them.
type Profiles interface {
	SetPortrait(ctx context.Context, userID string, items ...im.ProfileItem) error
	Portraits(ctx context.Context, userIDs []string, tags ...string) ([]im.Portrait, error)
	BlockUsers(ctx context.Context, userID string, others ...string) ([]im.ItemResult, error)
	UnblockUsers(ctx context.Context, userID string, others ...string) ([]im.ItemResult, error)
	BlockedUsers(ctx context.Context, userID string, cursor int) (others []string, next int, err error)
}

// profileFields are IM's fields that players and servers set here, by our names. Those
// of friendship and of messages are set by clients.
var profileFields = map[string]struct {
	tag    string
	number bool
	most   int // bytes of a text, IM's limit (269/1500)
}{
	"nick": {im.TagNick, false, 500}, "faceUrl": {im.TagImage, false, 500}, "selfSignature": {im.TagSelfSignature, false, 500},
	"location": {im.TagLocation, false, 16}, "gender": {im.TagGender, false, 0}, "birthday": {im.TagBirthDay, true, 0},
	"language": {im.TagLanguage, true, 0}, "level": {im.TagLevel, true, 0}, "role": {im.TagRole, true, 0},
}

// byServer are the fields that say what a player has earned, which a server sets.
var byServer = []string{"level", "role"}

const (
	maxCustomName = 8   // letters of a field made in the console
	maxCustom     = 500 // bytes
	maxNumber     = 1<<32 - 1
	maxFields     = 20 // of one request
)

// genders are the values that IM takes.
var genders = []string{"Gender_Type_Unknown", "Gender_Type_Female", "Gender_Type_Male"}

// codeNoPlayer: the profile service does not know the account (269/1640).
const codeNoPlayer im.Code = 40003

// codeNoFriends: the service of friends and blocklists does not know the account, as of
// a player who has never logged in (1047/34914).
const codeNoFriends im.Code = 30003

// codeBlocked: the blocklist has the account already (269/3718).
const codeBlocked im.Code = 30001

// Profile is a player's profile: texts and numbers by our names, and the fields made in
// IM's console.
type Profile struct {
	UserID string            `json:"userId"`
	Fields map[string]any    `json:"fields"`
	Custom map[string]string `json:"custom"`
}

// profileItems reads fields to set.
func profileItems(fields map[string]any, custom map[string]string, server bool) (items []im.ProfileItem, err error) {
	if n := len(fields) + len(custom); n == 0 || n > maxFields {
		return nil, fault.New(fault.Invalid, "name 1 to %d fields in fields and custom", maxFields)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f, known := profileFields[name]
		switch value := fields[name].(type) {
		case string:
			switch {
			case !known:
				return nil, fault.New(fault.Invalid, "the field %q is not known here: set %s", name, strings.Join(slices.Sorted(maps.Keys(profileFields)), ", "))
			case f.number:
				return nil, fault.New(fault.Invalid, "%s is a number", name)
			case f.most > 0 && len(value) > f.most:
				return nil, fault.New(fault.Invalid, "%s has %d bytes, and IM takes %d", name, len(value), f.most)
			case name == "gender" && !slices.Contains(genders, value):
				return nil, fault.New(fault.Invalid, "gender is one of %s", strings.Join(genders, ", "))
			}
			items = append(items, im.TextItem(f.tag, value))
		case float64:
			if !known || !f.number || value < 0 || value > maxNumber || value != float64(uint64(value)) {
				return nil, fault.New(fault.Invalid, "the field %q is not known here, or takes a text, or a whole number from 0 to %d", name, uint64(maxNumber))
			}
			items = append(items, im.NumberItem(f.tag, uint64(value)))
		default:
			return nil, fault.New(fault.Invalid, "the field %q is a text or a number", name)
		}
		if !server && slices.Contains(byServer, name) {
			return nil, fault.New(fault.Forbidden, "%s is set by a server, with an API key", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		switch {
		case !isCustomName(name):
			return nil, fault.New(fault.Invalid, "a custom field has a name of 1 to %d letters, as in IM's console", maxCustomName)
		case len(custom[name]) > maxCustom:
			return nil, fault.New(fault.Invalid, "custom.%s has %d bytes, and IM takes %d", name, len(custom[name]), maxCustom)
		case !server:
			return nil, fault.New(fault.Forbidden, "custom fields are set by a server, with an API key")
		}
		items = append(items, im.TextItem(im.TagCustom+name, custom[name]))
	}
	return items, nil
}

func isCustomName(name string) bool {
	return name != "" && len(name) <= maxCustomName && !strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') })
}

// getProfile answers GET /profiles/{userID}, to players as well: IM shows profiles to
// them anyway. custom names the fields of the console that are wanted.
func (x *routes) getProfile(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	user := r.PathValue("userID")
	if err := checkPlayer(user); err != nil {
		return nil, err
	}
	var tags []string
	names := make(map[string]string) // by tag
	for name, f := range profileFields {
		tags, names[f.tag] = append(tags, f.tag), name
	}
	for name := range strings.SplitSeq(r.URL.Query().Get("custom"), ",") {
		if name == "" {
			continue
		}
		if !isCustomName(name) || len(tags) > 2*maxFields {
			return nil, fault.New(fault.Invalid, "custom names fields of 1 to %d letters, separated by commas", maxCustomName)
		}
		tags = append(tags, im.TagCustom+name)
	}
	slices.Sort(tags)
	list, err := x.Profiles.Portraits(ctx, []string{user}, tags...)
	switch {
	case im.Lasting(err), err == nil && (len(list) != 1 || list[0].Code != 0):
		return nil, fault.New(fault.NotFound, "IM knows no such player")
	case err != nil:
		return nil, err
	}
	p := Profile{UserID: user, Fields: make(map[string]any), Custom: make(map[string]string)}
	for _, item := range list[0].Items {
		name, known := names[item.Tag]
		switch {
		case known && profileFields[name].number:
			p.Fields[name] = item.Number()
		case known:
			p.Fields[name] = item.Text()
		default:
			p.Custom[strings.TrimPrefix(item.Tag, im.TagCustom)] = item.Text()
		}
	}
	return p, nil
}

// setProfile answers PUT /profiles/{userID}, to servers, and to the player for what is
// not earned. Fields that are not named stay.
func (x *routes) setProfile(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	user := r.PathValue("userID")
	var in struct {
		Fields map[string]any    `json:"fields"`
		Custom map[string]string `json:"custom"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if err := checkPlayer(user); err != nil {
		return nil, err
	}
	if c.Server == "" && c.UserID != user {
		return nil, fault.New(fault.Forbidden, "a player's profile is the player's own")
	}
	items, err := profileItems(in.Fields, in.Custom, c.Server != "")
	if err != nil {
		return nil, err
	}
	err = x.Profiles.SetPortrait(ctx, user, items...)
	switch {
	case errors.Is(err, im.ClassAccount), errors.Is(err, codeNoPlayer):
		return nil, fault.New(fault.NotFound, "IM knows no such player")
	case im.Lasting(err):
		return nil, fault.Wrap(err, fault.Invalid, "IM does not take these fields; custom fields must exist in its console")
	case err != nil:
		return nil, err
	}
	return x.getProfile(ctx, c, r)
}

func checkPlayer(id string) error {
	if usersig.CheckUserID(id) != nil {
		return fault.New(fault.Invalid, "the player is a UserID of 1 to 32 visible ASCII characters")
	}
	return nil
}

// blocklist answers GET /blocklist, a page of those whom a player has blocked.
func (x *routes) blocklist(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	cursor, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("after"), "0"))
	if err != nil || cursor < 0 {
		return nil, fault.New(fault.Invalid, `after is the "next" of the answer before`)
	}
	list, next, err := x.Profiles.BlockedUsers(ctx, c.UserID, cursor)
	if err != nil && !errors.Is(err, codeNoFriends) {
		return nil, err
	}
	out := struct {
		Users []string `json:"users"`
		Next  string   `json:"next,omitempty"`
	}{append([]string{}, list...), ""}
	if next != 0 {
		out.Next = strconv.Itoa(next)
	}
	return out, nil
}

// block answers PUT and DELETE /blocklist/{userID}. Repeating either is a no-op.
func (x *routes) block(change func(ctx context.Context, userID string, others ...string) ([]im.ItemResult, error), blocked bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
		other := r.PathValue("userID")
		if err := checkPlayer(other); err != nil {
			return nil, err
		}
		if other == c.UserID {
			return nil, fault.New(fault.Invalid, "nobody blocks themselves")
		}
		results, err := change(ctx, c.UserID, other)
		switch {
		case errors.Is(err, codeNoFriends) && !blocked: // nobody is blocked
		case errors.Is(err, codeNoFriends):
			return nil, fault.Wrap(err, fault.NotFound, "IM does not know you yet: log in to the chat once")
		case err != nil:
			return nil, err
		case blocked && len(results) == 1 && !results[0].OK() && results[0].Code != codeBlocked:
			return nil, fault.Wrap(fmt.Errorf("black_list_add: %w", results[0].Code), fault.NotFound, "IM knows no such player, or the blocklist is full")
		}
		return map[string]any{"userId": other, "blocked": blocked}, nil
	}
}

// blocked asks IM whether a player has blocked another; nil where nobody can be asked.
func (x *routes) blocked() Blocked {
	if x.Profiles == nil {
		return nil
	}
	return func(ctx context.Context, user, by string) (bool, error) {
		for cursor := 0; ; {
			list, next, err := x.Profiles.BlockedUsers(ctx, by, cursor)
			if errors.Is(err, codeNoFriends) {
				return false, nil // who has never logged in has blocked nobody
			}
			if err != nil || slices.Contains(list, user) {
				return err == nil, err
			}
			if cursor = next; cursor == 0 {
				return false, nil
			}
		}
	}
}
