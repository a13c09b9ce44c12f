package wallet

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// requestTime is how long a request may take.
const requestTime = 15 * time.Second

// Routes adds the routes of wallets: servers top up wallets, servers and the wallet's
// user read them. Users may call them from web pages of these origins.
func Routes(mux *http.ServeMux, l Ledger, gate *api.Gate, origins []string) {
	w := &wallets{l}
	mux.Handle("POST /wallets/{userID}/topup", gate.Server(api.Within(requestTime, w.topUp)))
	for path, h := range map[string]api.HandlerFunc{"/wallets/{userID}": w.account, "/wallets/{userID}/statement": w.statement} {
		mux.Handle("GET "+path, api.CORS(origins, "", gate.Any(api.Within(requestTime, h))))
		api.Preflight(mux, origins, path, http.MethodGet)
	}
}

type wallets struct{ ledger Ledger }

type balance struct {
	UserID  string `json:"userId"`
	Balance int64  `json:"balance"`
}

// moveID returns the id of a move that a caller requests: the same for the same
// caller, kind of request and Idempotency-Key. A request without that header is
// refused.
func moveID(r *http.Request, kind string) (string, error) {
	key, err := api.RequiredKey(r)
	if err != nil {
		return "", err
	}
	c := api.CallerFrom(r.Context())
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", kind, c.Server, c.UserID, key))
	return fmt.Sprintf("%x", sum[:16]), nil
}

// topUp takes {"amount"} and answers {"userId","balance"}: the balance after the
// first request of this Idempotency-Key.
func (s *wallets) topUp(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	id, err := moveID(r, TopUp)
	if err != nil {
		return err
	}
	var in struct {
		Amount int64 `json:"amount"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	if in.Amount < 1 || in.Amount > MaxAmount {
		return ErrRange
	}
	made, err := s.ledger.Make(r.Context(), Move{ID: id, UserID: user, Amount: in.Amount, Why: TopUp, Ref: api.CallerFrom(r.Context()).Server})
	if err != nil {
		return err
	}
	if made.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	api.Reply(w, http.StatusOK, balance{user, made.Balance})
	return nil
}

func (s *wallets) account(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	a, err := s.ledger.Account(r.Context(), user)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, balance{user, a.Balance})
	return nil
}

func (s *wallets) statement(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	page, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	out := struct {
		Entries []Line `json:"entries"`
		Next    string `json:"next,omitempty"`
	}{Entries: []Line{}}
	lines, next, err := s.ledger.Statement(r.Context(), user, page.After, page.Limit)
	if err != nil {
		return err
	}
	out.Entries, out.Next = append(out.Entries, lines...), next
	api.Reply(w, http.StatusOK, out)
	return nil
}

// userOf returns whose wallet the request is about: servers see all, users their
// own.
func userOf(r *http.Request) (string, error) {
	user := r.PathValue("userID")
	if usersig.CheckUserID(user) != nil {
		return "", fault.New(fault.Invalid, "a user is named by a UserID of 1 to 32 visible ASCII characters")
	}
	if c := api.CallerFrom(r.Context()); c.Server == "" && c.UserID != user {
		return "", fault.New(fault.Forbidden, "users see their own wallets alone")
	}
	return user, nil
}
