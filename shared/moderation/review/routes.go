package review

import (
	"errors"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
)

// MaxWeight bounds the points of a rejection's strike.
const MaxWeight = 10

// Routes adds, for servers:
//
//   - GET /moderation/reviews?order=&after=&limit= answers {"reviews":[...],
//     "next"} with the messages that wait; order is oldest, which is what it is
//     without, or newest
//   - GET /moderation/reviews/{id}
//   - POST /moderation/reviews/{id}/approve with {"reason","evenIfBanned"}: a
//     message whose sender was banned since is sent only if that is true
//   - POST /moderation/reviews/{id}/reject with {"reason","weight"}: the reason is
//     required; weight is the strike's points, 1 if it is missing, 0 for none
//
// All but the first answer a [View]. A decision may be repeated; the other one,
// of whomever, is 409.
func (q *Queue) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET /moderation/reviews", gate.Server(q.list))
	mux.Handle("GET /moderation/reviews/{id}", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		v, err := q.Show(r.Context(), r.PathValue("id"))
		return answer(w, v, err)
	}))
	mux.Handle("POST /moderation/reviews/{id}/approve", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		in, err := readVerdict(r)
		if err != nil {
			return err
		}
		if in.Weight != nil {
			return fault.New(fault.Invalid, "weight belongs to a rejection")
		}
		v, err := q.Approve(r.Context(), r.PathValue("id"), api.CallerFrom(r.Context()).Server, in.Reason, in.EvenIfBanned)
		return answer(w, v, err)
	}))
	mux.Handle("POST /moderation/reviews/{id}/reject", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		in, err := readVerdict(r)
		if err != nil {
			return err
		}
		if in.Reason == "" {
			return fault.New(fault.Invalid, "reason is missing: say why the message is rejected")
		}
		weight := 1
		if in.Weight != nil {
			weight = *in.Weight
		}
		if weight < 0 || weight > MaxWeight {
			return fault.New(fault.Invalid, "weight is a number from 0 to %d", MaxWeight)
		}
		v, err := q.Reject(r.Context(), r.PathValue("id"), api.CallerFrom(r.Context()).Server, in.Reason, weight)
		return answer(w, v, err)
	}))
}

// verdict is what a moderator says.
type verdict struct {
	Reason string `json:"reason"`
	Weight *int   `json:"weight"` // of a rejection

	EvenIfBanned bool `json:"evenIfBanned"` // of an approval
}

func readVerdict(r *http.Request) (v verdict, err error) {
	if err := api.Decode(r, &v); err != nil {
		return v, err
	}
	if len(v.Reason) > trail.MaxNote {
		return v, fault.New(fault.Invalid, "reason has at most %d bytes", trail.MaxNote)
	}
	return v, nil
}

func (q *Queue) list(w http.ResponseWriter, r *http.Request) error {
	p, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	order := r.URL.Query().Get("order")
	if order != "" && order != "oldest" && order != "newest" {
		return fault.New(fault.Invalid, "order is oldest or newest")
	}
	views, next, err := q.List(r.Context(), order == "newest", p)
	if errors.Is(err, kv.ErrInvalid) {
		return fault.Wrap(err, fault.Invalid, `after is the "next" of the answer before`)
	}
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, struct {
		Reviews []View `json:"reviews"`
		Next    string `json:"next,omitempty"`
	}{views, next})
	return nil
}

func answer(w http.ResponseWriter, v View, err error) error {
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, v)
	return nil
}
