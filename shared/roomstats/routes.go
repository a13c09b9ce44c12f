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
			return impossible(err)
		}
		api.Reply(w, http.StatusOK, room)
		return nil
	}))
	mux.Handle("GET /rooms/{id}/stats/users/{userID}", gate.Any(func(w http.ResponseWriter, r *http.Request) error {
		user, err := s.User(r.Context(), r.PathValue("id"), r.PathValue("userID"))
		if err != nil {
			return impossible(err)
		}
		api.Reply(w, http.StatusOK, user)
		return nil
	}))
}

// impossible says so where an id breaks a limit of the store.
func impossible(err error) error {
	if errors.Is(err, kv.ErrInvalid) {
		return fault.Wrap(err, fault.Invalid, "no room or user can have this id")
	}
	return err
}
