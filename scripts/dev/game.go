package main

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
)

// game is the fake server that starts the matches of full teams.
type game struct {
	*matchtest.Hook
	key string
}

func newGame() *game {
	key := rand.Text()
	return &game{matchtest.NewHook(key, time.Now), key}
}

func (g *game) settings(url string) map[string]string {
	return map[string]string{"MATCH_HOOK_URL": url + "/start", "MATCH_HOOK_KEY": g.key}
}

func (g *game) routes(own func(pattern string, h http.Handler)) {
	own("GET /dev/starts/{id}", api.HandlerFunc(g.starts))
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
