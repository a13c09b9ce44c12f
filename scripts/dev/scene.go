package main

import (
	"context"
	"fmt"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// scene is what the page's scenarios play with: who is there, and where they
// talk.
type scene struct {
	Emulator      string            `json:"emulator"` // base URL
	SDKAppID      uint32            `json:"sdkAppId"`
	CallbackToken string            `json:"callbackToken"` // published; signs what the page copies as curl
	Admin         string            `json:"admin"`
	Users         []string          `json:"users"` // the first one owns the groups
	Agents        []string          `json:"agents"`
	ShopAgent     string            `json:"shopAgent"`
	Robot         robot             `json:"robot"`
	Groups        map[string]string `json:"groups"` // GroupIDs by scenario
	Community     community         `json:"community"`
	Sayings       []string          `json:"sayings"` // ready-made messages
}

type robot struct {
	UserID string `json:"userId"`
	Nick   string `json:"nick"`
}

// community is the communities of the page, which the bundle makes.
type community struct {
	Servers []served `json:"servers"`
}

type served struct {
	GroupID string `json:"groupId"`
	Name    string `json:"name"`
}

const (
	admin  = "administrator"
	lobby  = "lobby"
	red    = "team-red"
	plaza  = "@TGS#_plaza"
	world  = "@TGS#_world"
	guild  = "guild"
	arcade = "@TGS#_arcade"
)

func newScene(emulator string) scene {
	return scene{
		Emulator:      emulator,
		SDKAppID:      appID,
		CallbackToken: wiring.DevelopmentToken,
		Admin:         admin,
		Users:         []string{"alice", "bob", "carol", "dave"},
		Agents:        agents,
		ShopAgent:     shopAgent,
		Robot:         robot{robo.UserID, robo.Nick},
		Groups:        map[string]string{"live": lobby, "team": red, "world": world, "guild": guild},
		Community:     community{[]served{{plaza, "Plaza"}, {arcade, "Arcade"}}},
		Sayings:       []string{"Hello everyone", "join my casino now", "buy followers", "add me on telegram"},
	}
}

// furnish makes the users and groups, as a backend of the app would.
func (s scene) furnish(ctx context.Context, c *im.Client) error {
	accounts := make([]im.Account, len(s.Users))
	members := make([]im.NewMember, len(s.Users))
	for i, u := range s.Users {
		accounts[i].UserID, members[i].UserID = u, u
	}
	for _, a := range staff() {
		account := im.Account{UserID: a}
		if a == shopAgent {
			account.Nick = "Shop support"
		}
		accounts = append(accounts, account)
	}
	if _, err := c.ImportAccounts(ctx, accounts); err != nil {
		return fmt.Errorf("importing users: %w", err)
	}
	if err := c.CreateRobot(ctx, robo); err != nil {
		return fmt.Errorf("making %s: %w", robo.UserID, err)
	}
	for _, g := range []im.NewGroup{
		{Type: im.AVRoom, GroupID: lobby, Name: "Live room"}, // clients enter it with each session
		{Type: im.Public, GroupID: red, Name: "Team", Members: members[1:]},
		{Type: im.Community, GroupID: world, Name: "World", Members: members[1:]},
		{Type: im.Public, GroupID: guild, Name: "Guild", Members: members[1:]},
	} {
		g.Owner = s.Users[0]
		if _, err := c.CreateGroup(ctx, g); err != nil {
			return fmt.Errorf("making %s: %w", g.GroupID, err)
		}
	}
	return nil
}
