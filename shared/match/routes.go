package match

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// MaxJoin is how many users may join in one request, as many as IM takes at once
// (269/1621).
const MaxJoin = 20

// requestTime is how long a request may take. What is not done by then goes on
// without the caller.
const requestTime = 25 * time.Second

// Routes adds the routes of teams. Users may call them from web pages of these
// origins.
func (t *Teams) Routes(mux *http.ServeMux, gate *api.Gate, origins []string) {
	d := door{t, gate.Bans}
	keeper := idem.New(t.store, t.now)
	methods := make(map[string][]string)
	for _, route := range []struct {
		method, path string
		status       int
		do           func(ctx context.Context, c api.Caller, r *http.Request) (any, error)
	}{
		{http.MethodPost, "/teams", http.StatusCreated, d.create},
		{http.MethodGet, "/teams", http.StatusOK, t.listed},
		{http.MethodGet, "/teams/{id}", http.StatusOK, t.view},
		{http.MethodDelete, "/teams/{id}", http.StatusOK, t.dissolve},
		{http.MethodPost, "/teams/{id}/members", http.StatusOK, d.join},
		{http.MethodDelete, "/teams/{id}/members/{user}", http.StatusOK, t.leave},
		{http.MethodPut, "/teams/{id}/captain", http.StatusOK, d.passOn},
		{http.MethodPost, "/teams/{id}/ready", http.StatusOK, t.ready},
		{http.MethodPost, "/teams/{id}/invitations", http.StatusCreated, d.invite},
		{http.MethodDelete, "/teams/{id}/invitations/{user}", http.StatusOK, t.uninvite},
		{http.MethodPost, "/teams/{id}/media", http.StatusOK, t.media},
		{http.MethodPost, "/channels", http.StatusCreated, t.channel},
	} {
		methods[route.path] = append(methods[route.path], route.method)
		h := api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			v, err := route.do(r.Context(), api.CallerFrom(r.Context()), r)
			if err != nil {
				return err
			}
			api.Reply(w, route.status, v)
			return nil
		})
		if strings.HasSuffix(route.path, "/invitations") {
			h = api.Idempotent(keeper, h) // what else makes something has its own way
		}
		mux.Handle(route.method+" "+route.path, api.CORS(origins, "", gate.Any(api.Within(requestTime, h))))
	}
	for path, allowed := range methods {
		list := strings.Join(allowed, ", ")
		mux.Handle("OPTIONS "+path, api.CORS(origins, list, api.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.MethodNotAllowed, "OPTIONS is for browsers that ask before they call")
		})))
	}
}

// door is where users are named whom others bring into a team, or put at its head:
// a ban holds for them as well.
type door struct {
	*Teams
	bans *api.Bans
}

// check refuses those who are banned, but for the caller, whom the gate let in.
func (d door) check(ctx context.Context, c api.Caller, users ...string) error {
	for _, id := range users {
		if id == c.UserID {
			continue
		}
		if err := d.bans.Check(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (d door) create(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	name, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	asked, err := readAsked(r, c)
	if err != nil {
		return nil, err
	}
	if err := d.check(ctx, c, asked.Captain); err != nil {
		return nil, err
	}
	return d.Create(ctx, c, name, asked)
}

// readAsked reads {"mode","size","captain"}. A user need not say that it is he.
func readAsked(r *http.Request, c api.Caller) (Asked, error) {
	var in struct {
		Mode    string `json:"mode"`
		Size    int    `json:"size"`
		Captain string `json:"captain"`

		Private    bool `json:"private"`
		ReadyCheck bool `json:"readyCheck"`
	}
	if err := api.Decode(r, &in); err != nil {
		return Asked{}, err
	}
	a := Asked{in.Mode, in.Size, cmp.Or(in.Captain, c.UserID), in.Private, in.ReadyCheck}
	return a, a.check(c)
}

func (t *Teams) view(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	return t.View(ctx, c, r.PathValue("id"))
}

func (t *Teams) dissolve(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	return t.End(ctx, c, r.PathValue("id"))
}

func (d door) join(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	users, err := readUsers(r, c)
	if err != nil {
		return nil, err
	}
	if c.Server == "" && slices.ContainsFunc(users, func(id string) bool { return slices.Contains(d.conf.Reserved, id) }) {
		return nil, fault.New(fault.Forbidden, "users cannot add staff to a team")
	}
	if err := d.check(ctx, c, users...); err != nil {
		return nil, err
	}
	return d.Join(ctx, c, r.PathValue("id"), users)
}

// readUsers reads {"userIds"}. A user need not say that it is he.
func readUsers(r *http.Request, c api.Caller) ([]string, error) {
	var in struct {
		UserIDs []string `json:"userIds"`
	}
	if err := decodeOptional(r, &in); err != nil {
		return nil, err
	}
	if len(in.UserIDs) == 0 && c.UserID != "" {
		return []string{c.UserID}, nil
	}
	if n := len(in.UserIDs); n == 0 || n > MaxJoin {
		return nil, fault.New(fault.Invalid, "userIds is a list of 1 to %d users", MaxJoin)
	}
	for _, id := range in.UserIDs {
		if err := checkUser("each of userIds", id); err != nil {
			return nil, err
		}
	}
	return in.UserIDs, nil
}

func (t *Teams) leave(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	group, user := r.PathValue("id"), r.PathValue("user")
	if err := checkUser("the member", user); err != nil {
		return nil, err
	}
	// Not the team, which he may not see any more.
	return map[string]string{"groupId": group, "userId": user}, t.Leave(ctx, c, group, user)
}

func (d door) passOn(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		UserID string `json:"userId"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if err := checkUser("userId", in.UserID); err != nil {
		return nil, err
	}
	if err := d.check(ctx, c, in.UserID); err != nil {
		return nil, err
	}
	return d.PassOn(ctx, c, r.PathValue("id"), in.UserID)
}

// checkUser refuses what is nobody's UserID.
func checkUser(name, id string) error {
	switch {
	case usersig.CheckUserID(id) != nil:
		return fault.New(fault.Invalid, "%s is a UserID of 1 to 32 visible ASCII characters", name)
	case im.IsRobot(id):
		return fault.New(fault.Invalid, "%s is a robot, and robots play in no team", name)
	}
	return nil
}
