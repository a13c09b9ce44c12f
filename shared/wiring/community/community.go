// Package community wires communities: their channels, roles and members, and what
// happens in them beside messages.
package community

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/community/friend"
	"github.com/backchannel-im/backchannel/shared/community/mark"
	"github.com/backchannel-im/backchannel/shared/community/thread"
	"github.com/backchannel-im/backchannel/shared/community/voice"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/wiring"
	moderating "github.com/backchannel-im/backchannel/shared/wiring/moderation"
)

// Feature is communities.
var Feature = wiring.Feature{
	Name: "community", Function: "community-keeper",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Users,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client, origins := s.IM(), s.Origins()
	conf, forwarded := readConfig(s), s.Forwarded
	passages, voices := moderating.Passages(s), readVoice(s)
	return func(ctx context.Context, h *wiring.House) error {
		if h.Jobs == nil && !forwarded {
			return nil // without a queue there are no communities
		}
		conf.Store, conf.Jobs = h.Store, h.Jobs
		conf.IM, conf.Sends = client, once.New(h.Store, client, nil)
		filter, err := passages(ctx, h)
		if err != nil {
			return err
		}
		edits := judge{filter}.edit
		communities := community.New(conf)
		marks := mark.New(mark.Config{Store: h.Store, Jobs: h.Jobs, IM: client, Communities: communities, Judge: edits})
		threads := thread.New(thread.Config{Store: h.Store, Jobs: h.Jobs, IM: client, Admin: conf.Admin, Communities: communities, Marks: marks})
		speaking := voices
		speaking.Store, speaking.Communities = h.Store, communities
		voice := voice.New(speaking)
		communities.Attach(threads, voice)
		h.Callbacks(communities.Register)
		h.Callbacks(marks.Register)
		h.Callbacks(threads.Register)
		if h.Jobs == nil {
			return nil
		}
		h.Routes(func(mux *http.ServeMux, gate *api.Gate) {
			routes := api.RoutesConfig{Gate: gate, Keeper: idem.New(h.Store, nil), Origins: origins}
			communities.Routes(mux, routes)
			marks.Routes(mux, routes)
			threads.Routes(mux, routes)
			voice.Routes(mux, routes)
			friend.New(client).Routes(mux, routes)
		})
		return nil
	}
}

// judge has edits pass the filter that messages pass: IM asks nobody about a message
// that is modified.
type judge struct{ filter *moderation.Filter }

func (j judge) edit(ctx context.Context, groupID, topicID, from string, body im.MsgBody) (string, error) {
	text := body.PlainText()
	if text == "" {
		return "", nil
	}
	shown, ok := j.filter.Passage(ctx, moderation.Passage{From: from, GroupID: groupID, GroupType: im.Community, TopicID: topicID, Text: text})
	if !ok || shown != text {
		return "the text has words in it that are not allowed here", nil
	}
	return "", nil
}

// defaultChannels are those of a new server, as the guide has them: four channels in
// two categories.
const defaultChannels = `[{"name":"Text channels","channels":[{"name":"general"},{"name":"off-topic"}]},` +
	`{"name":"Voice channels","channels":[{"name":"Lobby","kind":"voice"},{"name":"Gaming","kind":"voice"}]}]`

const defaultRoles = `{"moderator":["post","thread","voice","manage"]}`

func readConfig(s *wiring.Settings) (conf community.Config) {
	conf.Admin = s.Admin()
	channels := s.Text(config.Setting{
		Name: "COMMUNITY_CHANNELS", Meaning: "categories and channels that a new community begins with; kind is text, voice or private",
		Format: `a JSON list of {"name","channels":[{"name","kind","slowModeSeconds"}]}`, Default: defaultChannels,
	})
	roles := s.Text(config.Setting{
		Name: "COMMUNITY_ROLES", Meaning: "roles that a new community begins with, and what each permits: post, thread, voice, manage",
		Format: `a JSON object such as {"helper":["post","manage"]}`, Default: defaultRoles,
	})
	var err error
	if conf.Template, err = community.ParseTemplate(channels, ""); err != nil {
		s.Fault("COMMUNITY_CHANNELS", "has a fault: %s", err.Error())
	}
	withRoles, err := community.ParseTemplate("", roles)
	if err != nil {
		s.Fault("COMMUNITY_ROLES", "has a fault: %s", err.Error())
	}
	conf.Template.Roles = withRoles.Roles
	conf.Adopt = s.Text(config.Setting{
		Name: "COMMUNITY_ADOPT", Meaning: "beginning of the GroupIDs of communities that are kept here although a client or another server made them; only communities of POST /communities are kept without this setting",
		Format: "@TGS#_ for all, or @TGS#_ and more",
	})
	conf.Welcome = s.Text(config.Setting{
		Name: "COMMUNITY_WELCOME", Meaning: "text that greets each new member in the first text channel, with {user} for the UserID; nobody is greeted without this setting",
		Format: "a sentence",
	})
	conf.CategoryField = s.Text(config.Setting{
		Name: "COMMUNITY_CATEGORY_FIELD", Meaning: "key of the group custom field, made in IM's console, that shows the names of a community's categories",
		Format: "a key of at most 16 bytes", Default: "categories", Most: 16,
	})
	conf.PinField = s.Text(config.Setting{
		Name: "COMMUNITY_PIN_FIELD", Meaning: "key of the group custom field, made in IM's console, that shows the numbers of pinned messages",
		Format: "a key of at most 16 bytes", Default: "pins", Most: 16,
	})
	conf.RoleField = s.Text(config.Setting{
		Name: "COMMUNITY_ROLE_FIELD", Meaning: "key of the member custom field, made in IM's console, that shows a member's role",
		Format: "a key of at most 16 bytes", Default: "role", Most: 16,
	})
	conf.PermissionGroups = s.Bool(config.Setting{
		Name: "COMMUNITY_PERMISSION_GROUPS", Meaning: "1 has IM's permission groups mirror the roles of new communities; IM's role Admin is switched off in them",
		Format: "1 or 0", Default: "0",
	})
	return conf
}

func readVoice(s *wiring.Settings) (conf voice.Config) {
	conf.Timeout = s.Duration(config.Setting{
		Name: "VOICE_TIMEOUT", Meaning: "time without a heartbeat after which a user's place in a voice channel ends", Format: "a duration, such as 60s", Default: "60s",
	}, 3*time.Second, time.Hour)
	conf.Signer = s.Signer()
	conf.TTL = s.Duration(config.Setting{
		Name: "VOICE_KEY_TTL", Meaning: "time for which a PrivateMapKey of a voice channel is valid; a user who is kicked may listen until then", Format: "a duration, such as 1h", Default: "1h",
	}, time.Minute, 24*time.Hour)
	conf.EventKey = s.Text(config.Setting{
		Name: "TRTC_CALLBACK_KEY", Meaning: "key that TRTC signs its event callbacks with; voice channels hear of no rooms without this setting",
		Format: "text, as in the callback settings of TRTC's console", Secret: true,
	})
	return conf
}
