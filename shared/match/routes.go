package match

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// MaxJoin is how many users may join in one request, as many as IM takes at once
// (269/1621).
const MaxJoin = 20

// Routes adds the routes of teams. Users may call them from web pages of these
// origins.
func (t *Teams) Routes(mux *http.ServeMux, gate *api.Gate, origins []string) {
	d := door{t, gate.Bans}
	const ok, created = http.StatusOK, http.StatusCreated
	api.Mount(
		mux, api.RoutesConfig{Gate: gate, Keeper: idem.New(t.store, t.now), Origins: origins},
		api.On(http.MethodPost, "/teams", created, api.Unkept, d.create),
		api.On(http.MethodGet, "/teams", ok, 0, t.listed),
		api.On(http.MethodGet, "/teams/{id}", ok, 0, t.view),
		api.On(http.MethodDelete, "/teams/{id}", ok, 0, t.dissolve),
		api.On(http.MethodPost, "/teams/{id}/members", ok, api.Unkept, d.join),
		api.On(http.MethodDelete, "/teams/{id}/members/{user}", ok, 0, t.leave),
		api.On(http.MethodPut, "/teams/{id}/captain", ok, 0, d.passOn),
		api.On(http.MethodPost, "/teams/{id}/ready", ok, api.Unkept, t.ready),
		api.On(http.MethodPost, "/teams/{id}/invitations", created, 0, d.invite),
		api.On(http.MethodDelete, "/teams/{id}/invitations/{user}", ok, 0, t.uninvite),
		api.On(http.MethodPost, "/teams/{id}/media", ok, api.Unkept, t.media),
		api.On(http.MethodPost, "/channels", created, api.Unkept, t.channel),
	)
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
