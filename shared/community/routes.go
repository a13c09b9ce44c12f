package community

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// Routes adds the routes of communities.
func (c *Communities) Routes(mux *http.ServeMux, conf api.RoutesConfig) {
	const ok = http.StatusOK
	api.Mount(
		mux, conf,
		api.On(http.MethodPost, "/communities", http.StatusCreated, api.ForServers|api.NeedsKey, c.postCommunity),
		api.On(http.MethodGet, "/communities/{id}", ok, 0, c.getCommunity),
		api.On(http.MethodPatch, "/communities/{id}", ok, 0, c.patchCommunity),
		api.On(http.MethodDelete, "/communities/{id}", ok, 0, c.deleteCommunity),
		api.On(http.MethodPost, "/communities/{id}/channels", ok, api.NeedsKey, c.postChannel),
		api.On(http.MethodPatch, "/communities/{id}/channels/{channelId}", ok, 0, c.patchChannel),
		api.On(http.MethodDelete, "/communities/{id}/channels/{channelId}", ok, 0, c.deleteChannel),
		api.On(http.MethodPost, "/communities/{id}/channels/{channelId}/invitations", ok, 0, c.postInvitation),
		api.On(http.MethodDelete, "/communities/{id}/channels/{channelId}/invitations/{userID}", ok, 0, c.deleteInvitation),
		api.On(http.MethodPost, "/communities/{id}/channels/{channelId}/read", ok, 0, c.postRead),
		api.On(http.MethodPost, "/communities/{id}/categories", ok, 0, c.postCategory),
		api.On(http.MethodPatch, "/communities/{id}/categories/{name}", ok, 0, c.patchCategory),
		api.On(http.MethodDelete, "/communities/{id}/categories/{name}", ok, 0, c.deleteCategory),
		api.On(http.MethodGet, "/communities/{id}/totals", ok, 0, c.getTotals),
		api.On(http.MethodPost, "/communities/{id}/mute", ok, 0, c.restrict(Mute, false)),
		api.On(http.MethodPost, "/communities/{id}/unmute", ok, 0, c.restrict(Mute, true)),
		api.On(http.MethodPost, "/communities/{id}/kick", ok, 0, c.restrict(Kick, false)),
		api.On(http.MethodPost, "/communities/{id}/unkick", ok, 0, c.restrict(Kick, true)),
		api.On(http.MethodGet, "/communities/{id}/restrictions/{userID}", ok, 0, c.getRestrictions),
		api.On(http.MethodGet, "/communities/{id}/roles", ok, 0, c.getRoles),
		api.On(http.MethodPut, "/communities/{id}/roles/{role}", ok, 0, c.putRole),
		api.On(http.MethodDelete, "/communities/{id}/roles/{role}", ok, 0, c.deleteRole),
		api.On(http.MethodGet, "/communities/{id}/members", ok, 0, c.getMembers),
		api.On(http.MethodPut, "/communities/{id}/members/{userID}/role", ok, 0, c.putMemberRole),
	)
}

func (c *Communities) postCommunity(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in NewCommunity
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	return c.Create(ctx, caller, key, in)
}

// getCommunity answers members and servers. Private channels are shown to those
// alone who are in them or manage.
func (c *Communities) getCommunity(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	s, err := c.find(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := c.inside(ctx, s.Community, caller); err != nil {
		return nil, err
	}
	return c.shownTo(ctx, s.Community, caller)
}

func (c *Communities) shownTo(ctx context.Context, is Community, caller api.Caller) (Community, error) {
	is = is.clone()
	for i, category := range is.Categories {
		shown := []Channel{}
		for _, ch := range category.Channels {
			sees, err := c.sees(ctx, is, ch, caller)
			if err != nil {
				return is, public(err)
			}
			if sees {
				shown = append(shown, ch)
			}
		}
		is.Categories[i].Channels = shown
	}
	is.number()
	return is, nil
}

var errNoVersion = fault.New(fault.Invalid, "version is missing: the one of the community that you have seen")

// versionOf reads a version of a body, which must be a real one where it is there.
func versionOf(v *int64, required bool) (int64, error) {
	switch {
	case v == nil && required:
		return 0, errNoVersion
	case v == nil:
		return 0, nil
	case *v < 1:
		return 0, fault.New(fault.Invalid, "version is a number from 1 on")
	}
	return *v, nil
}

func queryVersion(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("version")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "version is a number from 1 on")
	}
	return versionOf(&n, true)
}

func (c *Communities) patchCommunity(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in struct {
		Name    string `json:"name"`
		Version *int64 `json:"version"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	version, err := versionOf(in.Version, true)
	if err != nil {
		return nil, err
	}
	return c.Rename(ctx, caller, r.PathValue("id"), in.Name, version)
}

func (c *Communities) deleteCommunity(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	version, err := queryVersion(r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, c.Delete(ctx, caller, r.PathValue("id"), version)
}

type channelBody struct {
	Name            *string      `json:"name"`
	Category        *string      `json:"category"`
	Kind            *ChannelKind `json:"kind"`
	SlowModeSeconds *int         `json:"slowModeSeconds"`
	Position        *int         `json:"position"`
	Version         *int64       `json:"version"`
}

func (in channelBody) edit(required bool) (ChannelEdit, error) {
	version, err := versionOf(in.Version, required)
	if err == nil && in.Position != nil && *in.Position < 0 {
		err = fault.New(fault.Invalid, "position is a number from 0 on")
	}
	return ChannelEdit{in.Name, in.Category, in.Kind, in.SlowModeSeconds, in.Position, version}, err
}

func (c *Communities) postChannel(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in channelBody
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	e, err := in.edit(false)
	if err != nil {
		return nil, err
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	return c.CreateChannel(ctx, caller, key, r.PathValue("id"), e)
}

func (c *Communities) patchChannel(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in channelBody
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	e, err := in.edit(true)
	if err != nil {
		return nil, err
	}
	return c.EditChannel(ctx, caller, r.PathValue("id"), r.PathValue("channelId"), e)
}

func (c *Communities) deleteChannel(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	version, err := queryVersion(r)
	if err != nil {
		return nil, err
	}
	return c.DeleteChannel(ctx, caller, r.PathValue("id"), r.PathValue("channelId"), version)
}

func (c *Communities) postInvitation(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in struct {
		UserID string `json:"userId"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	return c.Invite(ctx, caller, r.PathValue("id"), r.PathValue("channelId"), in.UserID)
}

func (c *Communities) deleteInvitation(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	return struct{}{}, c.Uninvite(ctx, caller, r.PathValue("id"), r.PathValue("channelId"), r.PathValue("userID"))
}

func (c *Communities) postRead(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in struct {
		MsgSeq *uint32 `json:"msgSeq"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.MsgSeq == nil {
		return nil, fault.New(fault.Invalid, "msgSeq is missing: the number of the last message that was read")
	}
	return struct{}{}, c.Read(ctx, caller, r.PathValue("id"), r.PathValue("channelId"), *in.MsgSeq)
}

type categoryBody struct {
	Name     *string `json:"name"`
	Position *int    `json:"position"`
	Version  *int64  `json:"version"`
}

func (in categoryBody) edit(required bool) (CategoryEdit, error) {
	version, err := versionOf(in.Version, required)
	if err == nil && in.Position != nil && *in.Position < 0 {
		err = fault.New(fault.Invalid, "position is a number from 0 on")
	}
	return CategoryEdit{in.Name, in.Position, version}, err
}

func (c *Communities) postCategory(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in categoryBody
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	e, err := in.edit(false)
	if err != nil {
		return nil, err
	}
	return c.CreateCategory(ctx, caller, r.PathValue("id"), e)
}

func (c *Communities) patchCategory(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in categoryBody
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	e, err := in.edit(true)
	if err != nil {
		return nil, err
	}
	return c.EditCategory(ctx, caller, r.PathValue("id"), r.PathValue("name"), e)
}

func (c *Communities) deleteCategory(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	version, err := queryVersion(r)
	if err != nil {
		return nil, err
	}
	return c.DeleteCategory(ctx, caller, r.PathValue("id"), r.PathValue("name"), version)
}

func (c *Communities) getTotals(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	return c.Totals(ctx, caller, r.PathValue("id"))
}

type restrictionsPage struct {
	Restrictions []Restriction `json:"restrictions"`
}

func (c *Communities) restrict(kind Kind, lift bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
		var in struct {
			UserID    string   `json:"userId"`
			UserIDs   []string `json:"userIds"`
			ChannelID string   `json:"channelId"`
			Seconds   *int64   `json:"seconds"`
			Reason    string   `json:"reason"`
			Hide      bool     `json:"hide"`
		}
		if err := api.Decode(r, &in); err != nil {
			return nil, err
		}
		w := Wish{Kind: kind, Lift: lift, Users: in.UserIDs, ChannelID: in.ChannelID, Reason: in.Reason, Hide: in.Hide}
		switch {
		case in.UserID != "" && in.UserIDs != nil:
			return nil, fault.New(fault.Invalid, "send userId or userIds, not both")
		case in.Hide && (kind != Kick || lift):
			return nil, fault.New(fault.Invalid, "hide is for kicks alone")
		case in.UserIDs != nil && len(in.UserIDs) == 0:
			return nil, fault.New(fault.Invalid, "userIds is a list of 1 to %d users", MaxUsers)
		case in.UserID != "":
			w.Users = []string{in.UserID}
		}
		if in.Seconds != nil {
			if *in.Seconds < 1 || *in.Seconds > int64(MaxRestriction/time.Second) {
				return nil, fault.New(fault.Invalid, "seconds is a number from 1 to %d; without it there is no end", int64(MaxRestriction/time.Second))
			}
			w.For = time.Duration(*in.Seconds) * time.Second
		}
		list, err := c.Restrict(ctx, caller, r.PathValue("id"), w)
		return restrictionsPage{list}, err
	}
}

func (c *Communities) getRestrictions(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	list, err := c.Restrictions(ctx, caller, r.PathValue("id"), r.PathValue("userID"))
	return restrictionsPage{list}, err
}

func (c *Communities) getRoles(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	list, err := c.ListRoles(ctx, caller, r.PathValue("id"))
	return struct {
		Roles []Role `json:"roles"`
	}{list}, err
}

func (c *Communities) putRole(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in struct {
		Permissions []Permission `json:"permissions"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.Permissions == nil {
		return nil, fault.New(fault.Invalid, "permissions is missing: a list, perhaps an empty one")
	}
	return c.SetRole(ctx, caller, r.PathValue("id"), r.PathValue("role"), in.Permissions)
}

func (c *Communities) deleteRole(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	return struct{}{}, c.DeleteRole(ctx, caller, r.PathValue("id"), r.PathValue("role"))
}

func (c *Communities) getMembers(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	list, next, err := c.ListMembers(ctx, caller, r.PathValue("id"), r.URL.Query().Get("role"), page.After, page.Limit)
	return struct {
		Members []Member `json:"members"`
		Next    string   `json:"next,omitempty"`
	}{list, next}, err
}

func (c *Communities) putMemberRole(ctx context.Context, caller api.Caller, r *http.Request) (any, error) {
	var in struct {
		Role *string `json:"role"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.Role == nil {
		return nil, fault.New(fault.Invalid, "role is missing; an empty one takes the role away")
	}
	return c.GiveRole(ctx, caller, r.PathValue("id"), r.PathValue("userID"), *in.Role)
}
