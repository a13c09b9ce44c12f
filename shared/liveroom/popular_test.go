package liveroom_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// board is a board of the most popular rooms.
type board struct{ rooms []string }

func (b *board) Popular(context.Context) ([]string, error) { return b.rooms, nil }

func (b *board) Figures(_ context.Context, room liveroom.Room) (liveroom.Figures, error) {
	n := int64(100 - slices.Index(b.rooms, room.RoomID))
	return liveroom.Figures{Online: &n, Popularity: &n}, nil
}

// Rooms by popularity: those on the board first, then the others by age, each once,
// page by page, also while the board changes.
func TestListedByPopularity(t *testing.T) {
	w := onBolt(t)
	p := w.process(w.store)
	stats := &board{}
	mux := http.NewServeMux()
	p.rooms.Routes(mux, liveroom.RoutesConfig{RoutesConfig: api.RoutesConfig{Gate: w.gate, Keeper: idem.New(w.store, w.Clock.Now)}, Stats: stats})
	p.routes = api.Routes(mux)
	for i := range 7 {
		p.opens(fmt.Sprintf("room%d", i))
		w.Advance(1)
	}
	rulestest.Into[any](p, p.do(server, "POST", "/rooms/room3/close", `{}`))
	p.minutes(2)
	type page struct {
		Rooms []liveroom.Listed
		Next  string
	}
	read := func(limit int, after string) (ids []string, next string) {
		t.Helper()
		got := rulestest.Into[page](p, p.do("bob", "GET", fmt.Sprintf("/rooms?sort=popularity&limit=%d&after=%s", limit, url.QueryEscape(after)), ""))
		for _, room := range got.Rooms {
			if room.Online == nil || room.Popularity == nil {
				t.Errorf("%s has no figures", room.RoomID)
			}
			ids = append(ids, room.RoomID)
		}
		return ids, got.Next
	}
	for limit := 1; limit <= 8; limit++ {
		stats.rooms = []string{"room2", "gone", "room5", "room3", "room0"} // room3 is closed
		var all []string
		for next, first := "", true; first || next != ""; first = false {
			var ids []string
			if ids, next = read(limit, next); len(ids) > limit {
				t.Fatalf("%v in a page of %d", ids, limit)
			}
			all = append(all, ids...)
		}
		if fmt.Sprint(all) != "[room2 room5 room0 room6 room4 room1]" {
			t.Errorf("pages of %d: %v", limit, all)
		}
	}
	// The room at which a page ended falls off the board, and its place is taken.
	_, next := read(2, "")
	stats.rooms = []string{"room2", "gone", "room3", "room0"}
	if ids, _ := read(1, next); fmt.Sprint(ids) != "[room0]" {
		t.Errorf("after a change of the board: %v", ids)
	}
	// The room moves, and the page goes on behind it.
	stats.rooms = []string{"room5", "room2", "room0"}
	if ids, _ := read(1, next); fmt.Sprint(ids) != "[room2]" {
		t.Errorf("after another change: %v", ids)
	}
	for _, after := range []string{"board.", "board.x.room2", "board.-1.room2", "board.1", "board.1.a b"} {
		if a := p.do("bob", "GET", "/rooms?sort=popularity&after="+url.QueryEscape(after), ""); a.Status != 400 || a.Code != "invalid" {
			t.Errorf("after %s: %d %s", after, a.Status, a.Text)
		}
	}
}
