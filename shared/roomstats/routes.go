package roomstats

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Routes adds GET /rooms/{id}/stats, GET /rooms/{id}/stats/users/{userID},
// GET /leaderboards/{board} and GET /leaderboards/day/{board}.
//
// Servers, the room's owner and its moderators read everything. Other users get the
// totals and their own row, and the list where the room is public. Of a group that is
// no AVChatRoom only users with a row get the totals; other users get 404.
func (s *Stats) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /rooms/{id}/stats", gate.Any(s.getRoom))
	mux.Handle("GET /rooms/{id}/stats/users/{userID}", gate.Any(s.getUser))
	mux.Handle("GET /leaderboards/{board}", gate.Any(s.getBoard))
	mux.Handle("GET /leaderboards/day/{board}", gate.Any(s.getBoard))
}

func (s *Stats) getRoom(w http.ResponseWriter, r *http.Request) error {
	ctx, id := r.Context(), r.PathValue("id")
	all, err := s.seesAll(ctx, id)
	if err != nil {
		return public(err)
	}
	query := r.URL.Query()
	var room Room
	switch {
	case !all:
		room, err = s.ownRow(ctx, id, api.CallerFrom(ctx).UserID)
		if err == nil && room.closed && len(room.Users) == 0 {
			err = errNothing
		}
	case query.Has("after") || query.Has("limit"):
		page, pageErr := api.ReadPage(r)
		if pageErr != nil {
			return pageErr
		}
		room, err = s.Page(ctx, id, page.After, page.Limit)
	default:
		room, err = s.Room(ctx, id)
	}
	if err == nil {
		err = s.exists(ctx, id, room)
	}
	if err != nil {
		return public(err)
	}
	api.Reply(w, http.StatusOK, room)
	return nil
}

var errNothing = fault.New(fault.NotFound, "there is no such room, and nothing was ever counted under its id")

// exists refuses a room in which nothing ever happened and which is not registered.
// Without a register of rooms, nobody knows that a group does not exist.
func (s *Stats) exists(ctx context.Context, id string, room Room) error {
	if s.conf.Rooms == nil || len(room.Users) > 0 || room.Messages+room.Gifts+room.Likes+room.Online+room.PeakOnline != 0 {
		return nil
	}
	p, err := s.conf.Rooms.Profile(ctx, id)
	if err == nil && p.Owner == "" {
		return errNothing
	}
	return err
}

// ownRow returns a room's totals and one user's row, if there is anything in it.
func (s *Stats) ownRow(ctx context.Context, roomID, userID string) (Room, error) {
	room, err := s.Totals(ctx, roomID)
	if err != nil {
		return Room{}, err
	}
	u, err := s.User(ctx, roomID, userID)
	if !u.isEmpty() {
		room.Users = []User{u}
	}
	return room, err
}

func (s *Stats) getUser(w http.ResponseWriter, r *http.Request) error {
	ctx, id, userID := r.Context(), r.PathValue("id"), r.PathValue("userID")
	all, err := s.seesAll(ctx, id)
	if err != nil {
		return public(err)
	}
	if !all && api.CallerFrom(ctx).UserID != userID {
		return fault.New(fault.Forbidden, "you may read your own statistics; those of others are for the room's owner and moderators")
	}
	user, err := s.User(ctx, id, userID)
	if err == nil && user.isEmpty() {
		err = s.known(ctx, id, all)
	}
	if err != nil {
		return public(err)
	}
	api.Reply(w, http.StatusOK, user)
	return nil
}

// known refuses a room of which the caller learns nothing: one that does not exist, or
// a group that is no room, in which the caller did nothing.
func (s *Stats) known(ctx context.Context, id string, all bool) error {
	room, err := s.Totals(ctx, id)
	if err == nil && room.closed && !all {
		err = errNothing
	}
	if err == nil {
		err = s.exists(ctx, id, room)
	}
	return err
}

// isEmpty reports a user who did nothing in a room. A membership gives a level all the
// same.
func (u User) isEmpty() bool { return u == User{UserID: u.UserID, Level: u.Level} }

// seesAll reports whether the caller may read what every user of a room did.
func (s *Stats) seesAll(ctx context.Context, roomID string) (bool, error) {
	caller := api.CallerFrom(ctx)
	if caller.Server != "" {
		return true, nil
	}
	if s.conf.Rooms == nil {
		return false, nil
	}
	p, err := s.conf.Rooms.Profile(ctx, roomID)
	return err == nil && (p.Public || p.Owner == caller.UserID || slices.Contains(p.Moderators, caller.UserID)), err
}

func (s *Stats) getBoard(w http.ResponseWriter, r *http.Request) error {
	page, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	if !r.URL.Query().Has("limit") {
		page.Limit = api.MaxPage
	}
	name, day := r.PathValue("board"), s.now()
	ofDay := strings.HasPrefix(r.Pattern, "GET /leaderboards/day/")
	if ofDay {
		name = DayPrefix + name
	}
	if text := r.URL.Query().Get("day"); text != "" {
		if day, err = time.ParseInLocation(time.DateOnly, text, s.conf.Zone); err != nil || !ofDay {
			return fault.New(fault.Invalid, "day is a date such as 2026-11-29, of a board behind day/")
		}
	}
	entries, next, err := s.Board(r.Context(), name, page.After, page.Limit, day)
	if err != nil {
		return public(err)
	}
	api.Reply(w, http.StatusOK, struct {
		Entries []Entry `json:"entries"`
		Next    string  `json:"next,omitempty"`
	}{entries, next})
	return nil
}

// public gives a store's error its sentence for people.
func public(err error) error {
	switch {
	case errors.Is(err, kv.ErrInvalid):
		return fault.Wrap(err, fault.Invalid, "no room or user can have this id")
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrConflict):
		return fault.Wrap(err, fault.Unavailable, "the counters cannot be read at the moment, try again")
	}
	return err
}
