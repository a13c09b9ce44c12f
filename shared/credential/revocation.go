package credential

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Revocations is the deny-list: users who get no credentials, and whose earlier
// credentials are void. It is safe for concurrent use.
type Revocations struct {
	Store kv.Store
	// Kick ends a user's logins at IM, and with them the UserSigs in use.
	Kick func(ctx context.Context, userID string) error
	Now  func() time.Time // nil: time.Now
}

// Revocation is an entry of the deny-list.
type Revocation struct {
	UserID string    `json:"userID"`
	At     time.Time `json:"at"`
	// Until is when the user gets credentials again; nil: not until the entry is
	// deleted.
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
	By     string     `json:"by"` // name of the API key
	Lifted bool       `json:"lifted,omitempty"`
}

const (
	revocationKey = "revocation"
	// revocationIndex is the partition that lists who has one.
	revocationIndex = "revocations"
	// longestCredential is the longest that a credential of ours may live.
	longestCredential = 180 * 24 * time.Hour
	maxRevoked        = 10 * 365 * 24 * time.Hour
	maxReason         = 500 // bytes
)

func revokedPartition(userID string) string { return "revoked/" + userID }

// RevokedNow returns a user's revocation for [api.Bans]: one read of the store.
func RevokedNow(ctx context.Context, store kv.Store, userID string, now time.Time) (api.Revocation, error) {
	item, err := store.Get(ctx, revokedPartition(userID), revocationKey)
	if errors.Is(err, kv.ErrNotFound) {
		return api.Revocation{}, nil
	}
	if err != nil {
		return api.Revocation{}, err
	}
	var r Revocation
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return api.Revocation{}, err
	}
	return api.Revocation{At: r.At, Denied: r.Until == nil || now.Before(*r.Until)}, nil
}

// Routes adds, for servers,
//
//	PUT    /revocations/{userID}  {"seconds","reason"}; without seconds, until it is deleted
//	GET    /revocations/{userID}
//	DELETE /revocations/{userID}
//	GET    /revocations?after=&limit=
func (v *Revocations) Routes(mux *http.ServeMux, gate *api.Gate) {
	mux.Handle("PUT /revocations/{userID}", gate.Server(v.revoke))
	mux.Handle("GET /revocations/{userID}", gate.Server(v.show))
	mux.Handle("DELETE /revocations/{userID}", gate.Server(v.lift))
	mux.Handle("GET /revocations", gate.Server(v.list))
}

// revoke first makes the entry and then kicks the user. A request that fails in
// between is repeated by whoever sent it, and both halves may happen twice.
func (v *Revocations) revoke(w http.ResponseWriter, r *http.Request) error {
	userID := r.PathValue("userID")
	asked := struct {
		Seconds int64  `json:"seconds"`
		Reason  string `json:"reason"`
	}{}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	switch {
	case usersig.CheckUserID(userID) != nil:
		return fault.New(fault.Invalid, "userID must be 1 to %d bytes of printable ASCII without blanks", usersig.MaxUserID)
	case asked.Seconds < 0 || asked.Seconds > int64(maxRevoked/time.Second):
		return fault.New(fault.Invalid, "seconds must be from 0 to %d; 0 stands for good", int64(maxRevoked/time.Second))
	case len(asked.Reason) > maxReason || !utf8.ValidString(asked.Reason):
		return fault.New(fault.Invalid, "reason is over %d bytes", maxReason)
	}
	now := v.now().UTC()
	made := Revocation{UserID: userID, At: now, Reason: asked.Reason, By: api.CallerFrom(r.Context()).Server}
	// Kept as long as a credential of before may live, even if the user may have
	// new ones earlier.
	var expires time.Time
	if asked.Seconds > 0 {
		until := now.Add(time.Duration(asked.Seconds) * time.Second)
		made.Until = &until
		expires = now.Add(longestCredential)
		if until.After(expires) {
			expires = until
		}
	}
	value, err := json.Marshal(made)
	if err != nil {
		return err
	}
	// The list first: it may name a user who has no entry, and never misses one.
	for _, at := range []struct{ partition, key string }{{revocationIndex, userID}, {"revoked/" + userID, revocationKey}} {
		if err := v.overwrite(r.Context(), at.partition, at.key, value, expires); err != nil {
			return err
		}
	}
	if err := v.Kick(r.Context(), userID); err != nil && !errors.Is(err, im.CodeAccountUnknown) {
		return fault.Wrap(err, fault.Unavailable, "the user gets no more credentials, but IM did not end the user's logins; send the same request again").After(time.Second)
	}
	api.Reply(w, http.StatusOK, made)
	return nil
}

// overwrite puts an item over whatever is there.
func (v *Revocations) overwrite(ctx context.Context, partition, key string, value []byte, expires time.Time) error {
	for range limitTries {
		cond := kv.Absent()
		item, err := v.Store.Get(ctx, partition, key)
		switch {
		case err == nil:
			cond = kv.Rev(item.Rev)
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		err = v.Store.Commit(ctx, partition, kv.NewOp("revoke"), kv.Put{Key: key, Value: value, Expires: expires, If: cond})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return kv.ErrConflict
}

func (v *Revocations) show(w http.ResponseWriter, r *http.Request) error {
	found, err := v.find(r.Context(), r.PathValue("userID"))
	if err != nil {
		return err
	}
	if found == nil {
		return errNoRevocation
	}
	api.Reply(w, http.StatusOK, found)
	return nil
}

var errNoRevocation = fault.New(fault.NotFound, "nothing is revoked for this userID")

func (v *Revocations) find(ctx context.Context, userID string) (*Revocation, error) {
	if usersig.CheckUserID(userID) != nil {
		return nil, nil
	}
	item, err := v.Store.Get(ctx, revokedPartition(userID), revocationKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := new(Revocation)
	if err := json.Unmarshal(item.Value, found); err != nil || found.Lifted {
		return nil, err
	}
	return found, nil
}

// lift lets a user have credentials from now on. Those from before the revocation
// stay void, so the entry stays until they have expired.
func (v *Revocations) lift(w http.ResponseWriter, r *http.Request) error {
	userID := r.PathValue("userID")
	found, err := v.find(r.Context(), userID)
	if err != nil {
		return err
	}
	if found == nil {
		return errNoRevocation
	}
	now := v.now().UTC()
	found.Until, found.Lifted = &now, true
	value, err := json.Marshal(found)
	if err != nil {
		return err
	}
	if err := v.overwrite(r.Context(), revokedPartition(userID), revocationKey, value, now.Add(longestCredential)); err != nil {
		return err
	}
	item, err := v.Store.Get(r.Context(), revocationIndex, userID)
	if err == nil {
		err = v.Store.Commit(r.Context(), revocationIndex, kv.NewOp("lift"), kv.Delete{Key: userID, If: kv.Rev(item.Rev)})
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	api.Reply(w, http.StatusOK, found)
	return nil
}

func (v *Revocations) list(w http.ResponseWriter, r *http.Request) error {
	p, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	page, err := v.Store.List(r.Context(), revocationIndex, kv.Range{After: p.After, Limit: p.Limit})
	if err != nil {
		return err
	}
	out := struct {
		Revocations []Revocation `json:"revocations"`
		Next        string       `json:"next,omitempty"`
	}{[]Revocation{}, page.Next}
	for _, item := range page.Items {
		var found Revocation
		if err := json.Unmarshal(item.Value, &found); err != nil {
			return err
		}
		out.Revocations = append(out.Revocations, found)
	}
	api.Reply(w, http.StatusOK, out)
	return nil
}

func (v *Revocations) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}
