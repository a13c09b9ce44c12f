package userdata

import (
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Routes adds GET and DELETE /users/{userID}/records, for servers alone. Both may be
// repeated. jobs is nil in a program without a queue.
func Routes(mux *http.ServeMux, gate *api.Gate, store kv.Store, sources []Source, jobs *queue.Ledger) {
	eraser := NewEraser(store, sources, jobs, nil)
	user := func(r *http.Request) (string, error) {
		id := r.PathValue("userID")
		if err := usersig.CheckUserID(id); err != nil {
			return "", fault.Wrap(err, fault.Invalid, "the path's userID is no UserID")
		}
		return id, nil
	}
	mux.Handle("GET /users/{userID}/records", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		id, err := user(r)
		if err != nil {
			return err
		}
		p, err := api.ReadPage(r)
		if err != nil {
			return err
		}
		page, err := Export(r.Context(), store, sources, id, p.After, p.Limit)
		if errors.Is(err, ErrPage) || errors.Is(err, kv.ErrInvalid) {
			return fault.Wrap(err, fault.Invalid, `after is the "next" of the answer before`)
		}
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusOK, page)
		return nil
	}))
	mux.Handle("DELETE /users/{userID}/records", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		id, err := user(r)
		if err != nil {
			return err
		}
		erased, err := eraser.Erase(r.Context(), id)
		if err != nil {
			return err
		}
		api.Reply(w, http.StatusOK, erased)
		return nil
	}))
}
