package strikes

import (
	"cmp"
	"crypto/rand"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
)

// Routes adds GET and POST /moderation/strikes/{userID} and POST
// /moderation/strikes/{userID}/forgive, for servers. All answer a [View].
//
// A strike is added with {"weight","reason"}, weight being 1 if it is missing;
// the header Idempotency-Key is its key. It is forgiven with {"key","reason"}, and
// all are without a key.
func (s *Strikes) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /moderation/strikes/{userID}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		return s.show(w, r)
	}))
	mux.Handle("POST /moderation/strikes/{userID}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		var in struct {
			Weight *int   `json:"weight"`
			Reason string `json:"reason"`
		}
		if err := api.Decode(r, &in); err != nil {
			return err
		}
		key, err := api.IdempotencyKey(r)
		if err != nil {
			return err
		}
		caller := api.CallerFrom(r.Context()).Server
		add := Strike{UserID: r.PathValue("userID"), Key: cmp.Or(key, rand.Text()), Weight: 1, By: caller, Reason: in.Reason}
		if in.Weight != nil {
			add.Weight = *in.Weight
		}
		if err := s.Add(r.Context(), add); err != nil {
			return err
		}
		return s.show(w, r)
	}))
	mux.Handle("POST /moderation/strikes/{userID}/forgive", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		var in struct {
			Key    string `json:"key"`
			Reason string `json:"reason"`
		}
		if err := api.Decode(r, &in); err != nil {
			return err
		}
		if err := s.Forgive(r.Context(), r.PathValue("userID"), in.Key, api.CallerFrom(r.Context()).Server, in.Reason); err != nil {
			return err
		}
		return s.show(w, r)
	}))
}

func (s *Strikes) show(w http.ResponseWriter, r *http.Request) error {
	v, err := s.View(r.Context(), r.PathValue("userID"))
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, v)
	return nil
}
