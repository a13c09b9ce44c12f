package main

import (
	"context"
	"fmt"

	"github.com/backchannel-im/backchannel/shared/im"
)

// scene is what the page opens on: who is there and where they talk.
type scene struct {
	Emulator      string         `json:"emulator"` // base URL
	SDKAppID      uint32         `json:"sdkAppId"`
	Users         []string       `json:"users"`
	Conversations []conversation `json:"conversations"`
	Sayings       []string       `json:"sayings"` // ready-made messages
}

// conversation is a tab of the page. Without a group it is one to one: with the
// peer, or between the first two users.
type conversation struct {
	ID      string  `json:"id"`
	Title   string  `json:"title"`
	About   string  `json:"about"`
	GroupID string  `json:"groupId,omitempty"`
	Joins   bool    `json:"joins,omitempty"` // clients enter it with each session
	Topics  []topic `json:"topics,omitempty"`
	Peer    string  `json:"peer,omitempty"`

	kind im.GroupType
}

type topic struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

const plaza = "@TGS#_plaza"

func newScene(emulator string) scene {
	return scene{
		Emulator: emulator,
		SDKAppID: appID,
		Users:    []string{"alice", "bob", "carol", "dave"},
		Conversations: []conversation{
			{ID: "live", Title: "Live room", GroupID: "lobby", Joins: true, kind: im.AVRoom, About: "A live room (AVChatRoom): anybody may enter, nothing is stored, and above 40 messages a second IM drops the least important ones."},
			{ID: "team", Title: "Team", GroupID: "team-red", kind: im.Public, About: "A team (Public group): the four users are its members."},
			{ID: "community", Title: "Community", GroupID: plaza, kind: im.Community, About: "A community with topics: the members write in one topic at a time.", Topics: []topic{
				{plaza + "@TOPIC#_general", "general"}, {plaza + "@TOPIC#_help", "help"},
			}},
			{ID: "robot", Title: "Chatbot", Peer: robo.UserID, About: "A chatbot that a scripted model answers for: it repeats what you say, tells what you said if you ask what it remembers, forgets on /forget, and apologises when told to fail."},
			{ID: "direct", Title: "One to one", About: "What alice and bob write to each other."},
		},
		Sayings: []string{"Hello everyone", "join my casino now", "buy followers", "add me on telegram"},
	}
}

// furnish makes the users and groups, as a backend of the app would.
func (s scene) furnish(ctx context.Context, c *im.Client) error {
	accounts := make([]im.Account, len(s.Users))
	members := make([]im.NewMember, len(s.Users))
	for i, u := range s.Users {
		accounts[i].UserID, members[i].UserID = u, u
	}
	if _, err := c.ImportAccounts(ctx, accounts); err != nil {
		return fmt.Errorf("importing users: %w", err)
	}
	if err := c.CreateRobot(ctx, robo); err != nil {
		return fmt.Errorf("making %s: %w", robo.UserID, err)
	}
	for _, g := range s.Conversations {
		if g.GroupID == "" {
			continue
		}
		group := im.NewGroup{Type: g.kind, GroupID: g.GroupID, Name: g.Title, Owner: s.Users[0], SupportTopic: g.Topics != nil}
		if !g.Joins {
			group.Members = members[1:]
		}
		if _, err := c.CreateGroup(ctx, group); err != nil {
			return fmt.Errorf("making %s: %w", g.GroupID, err)
		}
		for _, t := range g.Topics {
			if _, err := c.CreateTopic(ctx, im.NewTopic{GroupID: g.GroupID, TopicID: t.ID, Name: t.Name}); err != nil {
				return fmt.Errorf("making topic %s: %w", t.Name, err)
			}
		}
	}
	return nil
}
