package roomstats

import (
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Routes adds GET /rooms/{id}/stats and GET /rooms/{id}/stats/users/{userID},
// for servers and users alike.
func (s *Stats) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /rooms/{id}/stats", gate.Any(func(w http.ResponseWriter, r *http.Request) error {
		room, err := s.Room(r.Context(), r.PathValue("id"))
		if err != nil {
			return public(err)
		}
		api.Reply(w, http.StatusOK, room)
		return nil
	}))
	mux.Handle("GET /rooms/{id}/stats/users/{userID}", gate.Any(func(w http.ResponseWriter, r *http.Request) error {
		user, err := s.User(r.Context(), r.PathValue("id"), r.PathValue("userID"))
		if err != nil {
			return public(err)
		}
		api.Reply(w, http.StatusOK, user)
		return nil
	}))
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
