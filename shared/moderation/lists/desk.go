package lists

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Standing returns the images in force.
func (l *Of[T]) Standing(ctx context.Context) (Standing, error) {
	s, _, err := l.read(ctx)
	return s, err
}

// Stage makes an image the candidate for a share of the rooms, 1 to 100 percent, in
// place of another. Stage fetches and opens the image first. For the present candidate
// Stage changes the share: a larger share adds rooms and removes none.
func (l *Of[T]) Stage(ctx context.Context, r Ref, share int, by string) (Standing, error) {
	if share < 1 || share > 100 {
		return Standing{}, fault.New(fault.Invalid, "share is a percentage of the rooms, 1 to 100")
	}
	image, err := l.fetch(ctx, r)
	if err != nil {
		return Standing{}, fault.Wrap(err, fault.Invalid, "%v", err)
	}
	list, err := l.kind.Open(image)
	if err != nil {
		return Standing{}, fault.Wrap(err, fault.Invalid, "this is no image that can be loaded: %v", err)
	}
	return l.change(ctx, func(s *Standing) error {
		switch {
		case s.Active != nil && s.Active.SHA256 == r.SHA256:
			return fault.New(fault.Conflict, "this image is in force already")
		case s.Candidate != nil && s.Candidate.SHA256 == r.SHA256:
			s.Candidate.Share, s.Candidate.URL = share, r.URL
		default:
			s.Candidate = &Release{Ref: r, Version: l.kind.Version(list), Share: share, At: l.now().UTC(), By: by}
		}
		return nil
	})
}

// Promote activates the candidate with this checksum for all conversations.
func (l *Of[T]) Promote(ctx context.Context, sum string) (Standing, error) {
	return l.change(ctx, func(s *Standing) error {
		switch {
		case s.Active != nil && s.Active.SHA256 == sum:
			return nil
		case s.Candidate == nil || s.Candidate.SHA256 != sum:
			return fault.New(fault.Conflict, "there is no candidate with this checksum")
		}
		if s.Active != nil {
			s.Earlier = slices.Insert(s.Earlier, 0, *s.Active)
			s.Earlier = s.Earlier[:min(len(s.Earlier), MaxEarlier)]
		}
		s.Active, s.Candidate = s.Candidate, nil
		s.Active.Share = 0
		return nil
	})
}

// Rollback deactivates the image with this checksum. A candidate is removed; the active
// image is replaced by the one before it, and the last by the list that the functions
// were deployed with. Deactivating an image that is not active is a no-op.
func (l *Of[T]) Rollback(ctx context.Context, sum string) (Standing, error) {
	return l.change(ctx, func(s *Standing) error {
		switch {
		case s.Candidate != nil && s.Candidate.SHA256 == sum:
			s.Candidate = nil
		case s.Active != nil && s.Active.SHA256 == sum:
			s.Active = nil
			if len(s.Earlier) > 0 {
				s.Active, s.Earlier = &s.Earlier[0], s.Earlier[1:]
			}
		}
		return nil
	})
}

// change commits what an order makes of the standing. Orders at the same time
// follow each other.
func (l *Of[T]) change(ctx context.Context, order func(*Standing) error) (Standing, error) {
	for {
		s, rev, err := l.read(ctx)
		if err != nil {
			return s, err
		}
		if err := order(&s); err != nil {
			return s, err
		}
		value, err := json.Marshal(s)
		if err != nil {
			return s, err
		}
		put := kv.Put{Key: key, Value: value, If: kv.Absent()}
		if rev != "" {
			put.If = kv.Rev(rev)
		}
		if err := l.store.Commit(ctx, l.kind.Partition, kv.NewOp("lists"), put); !errors.Is(err, kv.ErrConflict) {
			return s, err
		}
	}
}

// Routes adds GET of the kind's path, and POST of /candidate, /promote and /rollback
// below it, for servers alone. All of them answer with the standing, the URLs without
// their queries, and may be retried.
func (l *Of[T]) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("GET "+l.kind.Path, gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		s, err := l.Standing(r.Context())
		return answer(w, s, err)
	}))
	mux.Handle("POST "+l.kind.Path+"/candidate", gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		var order struct {
			Image string `json:"image"`
			Share int    `json:"share"`
		}
		if err := api.Decode(r, &order); err != nil {
			return err
		}
		ref, err := ParseRef(order.Image)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "%v", err)
		}
		s, err := l.Stage(r.Context(), ref, order.Share, api.CallerFrom(r.Context()).Server)
		return answer(w, s, err)
	}))
	mux.Handle("POST "+l.kind.Path+"/promote", l.order(gate, l.Promote))
	mux.Handle("POST "+l.kind.Path+"/rollback", l.order(gate, l.Rollback))
}

func (l *Of[T]) order(gate *api.Gate, do func(ctx context.Context, sum string) (Standing, error)) http.Handler {
	return gate.Server(func(w http.ResponseWriter, r *http.Request) error {
		var order struct {
			SHA256 string `json:"sha256"`
		}
		if err := api.Decode(r, &order); err != nil {
			return err
		}
		if order.SHA256 == "" {
			return fault.New(fault.Invalid, "sha256 is missing: the checksum of the image that is meant")
		}
		s, err := do(r.Context(), strings.ToLower(order.SHA256))
		return answer(w, s, err)
	})
}

func answer(w http.ResponseWriter, s Standing, err error) error {
	if err != nil {
		return err
	}
	for _, r := range []*Release{s.Active, s.Candidate} {
		if r != nil {
			r.conceal()
		}
	}
	for i := range s.Earlier {
		s.Earlier[i].conceal()
	}
	api.Reply(w, http.StatusOK, s)
	return nil
}

// conceal removes the query of the URL, which may be a signature.
func (r *Release) conceal() { r.URL, _, _ = strings.Cut(r.URL, "?") }
