package main

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
)

// game is the fake server that starts the matches of full teams and has the players'
// inventories.
type game struct {
	*matchtest.Hook
	items *mailtest.Game
	key   string
	users []string
}

// belongings are what the players begin with.
var belongings = []struct {
	item  string
	count int64
}{{"sword", 2}, {"gem", 20}}

func newGame(users []string) *game {
	key := rand.Text()
	g := &game{matchtest.NewHook(key, time.Now), mailtest.NewGame(key, time.Now), key, users}
	for _, u := range users {
		for _, b := range belongings {
			g.items.Give(u, b.item, b.count)
		}
	}
	return g
}

func (g *game) settings(url string) map[string]string {
	return map[string]string{
		"MATCH_HOOK_URL": url + "/start", "MATCH_HOOK_KEY": g.key, "MAIL_HOOK_URL": url + "/items", "MAIL_HOOK_KEY": g.key,
	}
}

// ServeHTTP is the server's two hooks.
func (g *game) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/items" {
		g.items.ServeHTTP(w, r)
		return
	}
	g.Hook.ServeHTTP(w, r)
}

func (g *game) routes(own func(pattern string, h http.Handler)) {
	own("GET /dev/starts/{id}", api.HandlerFunc(g.starts))
	own("GET /dev/inventories", api.HandlerFunc(g.inventories))
}

// inventories shows the page what each player has.
func (g *game) inventories(w http.ResponseWriter, _ *http.Request) error {
	has := make(map[string]map[string]int64)
	for _, u := range g.users {
		has[u] = g.items.Inventory(u)
	}
	api.Reply(w, http.StatusOK, map[string]any{"inventories": has})
	return nil
}

// starts shows the page which matches of a team were started.
func (g *game) starts(w http.ResponseWriter, r *http.Request) error {
	list := []matchtest.Start{}
	for _, s := range g.Starts() {
		if s.GroupID == r.PathValue("id") {
			list = append(list, s)
		}
	}
	api.Reply(w, http.StatusOK, map[string]any{"starts": list})
	return nil
}
