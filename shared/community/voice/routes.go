package voice

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

type answer struct {
	Channels []Channel `json:"channels"`
}

// Routes adds the routes of voice channels.
func (v *Voice) Routes(mux *http.ServeMux, conf api.RoutesConfig) {
	const ok, me = http.StatusOK, "/communities/{id}/voice/{channelId}/me"
	api.Mount(
		mux, conf,
		api.On(http.MethodPut, me, ok, 0, v.put),
		api.On(http.MethodDelete, me, ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			list, err := v.Leave(ctx, c, r.PathValue("id"), r.PathValue("channelId"))
			return answer{list}, err
		}),
		api.On(http.MethodPost, me+"/heartbeat", ok, api.Unkept, v.beat),
		api.On(http.MethodPost, "/communities/{id}/voice/{channelId}/media", ok, api.Unkept, v.media),
		api.On(http.MethodGet, "/communities/{id}/voice", ok, 0, func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
			list, err := v.Present(ctx, c, r.PathValue("id"))
			return answer{list}, err
		}),
	)
	mux.Handle("POST /trtc/events", api.HandlerFunc(v.events))
}

// body reads a body that may be missing.
func body(r *http.Request, in any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return api.Decode(r, in)
}

func (v *Voice) put(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		Muted bool `json:"muted"`
	}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	list, err := v.Enter(ctx, c, r.PathValue("id"), r.PathValue("channelId"), in.Muted)
	return answer{list}, err
}

func (v *Voice) beat(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in Sign
	if err := body(r, &in); err != nil {
		return nil, err
	}
	list, err := v.Beat(ctx, c, r.PathValue("id"), r.PathValue("channelId"), in)
	return answer{list}, err
}

func (v *Voice) media(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := body(r, &struct{}{}); err != nil {
		return nil, err
	}
	return v.Media(ctx, c, r.PathValue("id"), r.PathValue("channelId"))
}

// The events of TRTC's rooms that matter here.
const (
	eventEnter = 103
	eventExit  = 104
)

// event is an event of a TRTC room.
type event struct {
	EventType int `json:"EventType"`
	EventInfo struct {
		RoomID    any    `json:"RoomId"` // a text, or a number for a room without a name
		UserID    string `json:"UserId"`
		EventTs   int64  `json:"EventTs"`
		EventMsTs int64  `json:"EventMsTs"`
	} `json:"EventInfo"`
}

// events hears of who enters and leaves TRTC's rooms. TRTC signs the body with the
// callback key of its console and repeats what is not answered with 200; an event is
// known by its user, room and time, and one that is older than what the seat knows
// changes nothing.
func (v *Voice) events(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	raw, err := api.ReadBody(r, api.MaxBody)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(v.conf.EventKey))
	_, _ = mac.Write(raw)
	sign, err := base64.StdEncoding.DecodeString(r.Header.Get("Sign"))
	if v.conf.EventKey == "" || err != nil || !hmac.Equal(sign, mac.Sum(nil)) {
		return fault.New(fault.Forbidden, "this event is not signed with the callback key of TRTC")
	}
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fault.New(fault.Invalid, "this is no event of TRTC")
	}
	if err := v.heard(ctx, e); err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, struct {
		Code int `json:"code"`
	}{0})
	return nil
}

func (v *Voice) heard(ctx context.Context, e event) error {
	room, _ := e.EventInfo.RoomID.(string)
	userID, at := e.EventInfo.UserID, e.EventInfo.EventMsTs
	if at == 0 {
		at = 1000 * e.EventInfo.EventTs
	}
	if e.EventType != eventEnter && e.EventType != eventExit || usersig.CheckUserID(userID) != nil || at <= 0 {
		return nil
	}
	at = min(at, v.now().UnixMilli()) // a clock ahead of ours must not shut out what follows
	b, err := v.conf.Communities.BindingOf(ctx, room)
	if err != nil || b == nil {
		return err
	}
	c, err := v.conf.Communities.Get(ctx, b.CommunityID)
	if err != nil && fault.CodeOf(err) == fault.NotFound || err == nil && c.Generation != b.Generation {
		return nil
	}
	if err != nil {
		return err
	}
	ch, has := c.Channel(b.ChannelID)
	if !has || ch.Kind != community.Voice {
		return nil
	}
	if e.EventType == eventExit {
		return v.leave(ctx, c, ch.Short(), userID, at)
	}
	in, err := v.conf.Communities.IsMember(ctx, c, userID)
	if err != nil || !in || v.now().UnixMilli()-at > v.conf.Timeout.Milliseconds() {
		return err // an entry of long ago is confirmed by heartbeats or not at all
	}
	s, _, err := v.load(ctx, userID)
	if err != nil {
		return err
	}
	muted := s.is(c, ch.Short()) && s.Muted
	_, err = v.enter(ctx, c, ch, userID, at, muted)
	return err
}
