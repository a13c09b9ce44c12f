package liveroom

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
)

// Figures are the statistics of a room in a list of rooms; nil: unknown.
type Figures struct {
	Online     *int64 `json:"online"`
	Popularity *int64 `json:"popularity"`
}

// Statistics returns the figures of rooms.
type Statistics interface {
	// Figures returns the figures of a room.
	Figures(ctx context.Context, room Room) (Figures, error)
	// Popular returns the roomIds of the most popular rooms, the first the most
	// popular, at most 200.
	Popular(ctx context.Context) ([]string, error)
}

// Listed is a room in a list.
type Listed struct {
	Room
	Figures
}

// RoutesConfig configures the routes of rooms.
type RoutesConfig struct {
	api.RoutesConfig
	// Stats may be nil: then figures are null, and rooms are sorted by age alone.
	Stats Statistics
	// Members lists the members of a room; nil: the route does not exist.
	Members func(ctx context.Context, room Room, kind, after string, limit int) (list any, next string, err error)
}

// Routes adds the routes of rooms.
func (r *Rooms) Routes(mux *http.ServeMux, c RoutesConfig) {
	x := &routes{r, c}
	list := []api.Route{
		api.On(http.MethodPost, "/rooms", http.StatusCreated, api.ForServers|api.NeedsKey, x.create),
		api.On(http.MethodGet, "/rooms", http.StatusOK, 0, x.list),
		api.On(http.MethodGet, "/rooms/{id}", http.StatusOK, 0, x.get),
		api.On(http.MethodPut, "/rooms/{id}/status", http.StatusOK, 0, x.setStatus),
		api.On(http.MethodPut, "/rooms/{id}/notice", http.StatusOK, 0, x.setNotice),
		api.On(http.MethodPost, "/rooms/{id}/close", http.StatusOK, 0, x.close),
		api.On(http.MethodPost, "/rooms/{id}/mute", http.StatusOK, 0, x.restrict(Mute, false)),
		api.On(http.MethodPost, "/rooms/{id}/unmute", http.StatusOK, 0, x.restrict(Mute, true)),
		api.On(http.MethodPost, "/rooms/{id}/kick", http.StatusOK, 0, x.restrict(Kick, false)),
		api.On(http.MethodPost, "/rooms/{id}/unkick", http.StatusOK, 0, x.restrict(Kick, true)),
		api.On(http.MethodGet, "/rooms/{id}/restrictions", http.StatusOK, 0, x.restrictions),
		api.On(http.MethodPut, "/rooms/{id}/memberships/{userID}", http.StatusOK, api.ForServers, x.setMembership),
		api.On(http.MethodGet, "/rooms/{id}/history", http.StatusOK, 0, x.history),
		api.On(http.MethodGet, "/rooms/{id}/anchor", http.StatusOK, 0, x.anchor),
		api.On(http.MethodPut, "/rooms/{id}/subscription", http.StatusOK, 0, x.subscribe(true)),
		api.On(http.MethodDelete, "/rooms/{id}/subscription", http.StatusOK, 0, x.subscribe(false)),
		api.On(http.MethodPost, "/rooms/{id}/media", http.StatusOK, api.Unkept, x.media),
		api.On(http.MethodPost, "/broadcast", http.StatusAccepted, api.ForServers|api.NeedsKey, x.broadcast),
		api.On(http.MethodGet, "/broadcasts/{id}", http.StatusOK, api.ForServers, x.getBroadcast),
	}
	if c.Members != nil {
		list = append(list, api.On(http.MethodGet, "/rooms/{id}/members", http.StatusOK, 0, x.members))
	}
	api.Mount(mux, c.RoutesConfig, list...)
	mux.Handle("POST /css/events", api.Within(api.RequestTime, x.cssEvents))
}

type routes struct {
	*Rooms
	RoutesConfig
}

func (x *routes) create(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in NewRoom
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	return x.Create(ctx, c, key, in)
}

func (x *routes) get(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	room, err := x.Get(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return x.listed(ctx, room)
}

// listed adds the figures to a room.
func (x *routes) listed(ctx context.Context, room Room) (l Listed, err error) {
	l.Room = room
	if x.Stats != nil {
		l.Figures, err = x.Stats.Figures(ctx, room)
	}
	return l, err
}

// list answers GET /rooms. Sorted by popularity, the rooms on the board come first
// and the others follow by age: a room that nobody does anything in is on no board.
func (x *routes) list(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	var rooms []Room
	var next string
	switch sort := r.URL.Query().Get("sort"); {
	case sort == "popularity" && x.Stats != nil:
		rooms, next, err = x.popular(ctx, page.After, page.Limit)
	case sort == "" || sort == "newest" || sort == "popularity":
		rooms, next, err = x.List(ctx, page.After, page.Limit)
	default:
		return nil, fault.New(fault.Invalid, "sort is popularity or newest")
	}
	if err != nil {
		return nil, err
	}
	out := struct {
		Rooms []Listed `json:"rooms"`
		Next  string   `json:"next,omitempty"`
	}{[]Listed{}, next}
	for _, room := range rooms {
		l, err := x.listed(ctx, room)
		if err != nil {
			return nil, err
		}
		out.Rooms = append(out.Rooms, l)
	}
	return out, nil
}

func (x *routes) setStatus(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		Status  Status `json:"status"`
		Version *int64 `json:"version"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	switch in.Status {
	case Waiting, Live, Paused, Ended, Replay:
	default:
		return nil, fault.New(fault.Invalid, "status is waiting, live, paused, ended or replay")
	}
	if in.Version == nil {
		return nil, errNoVersion
	}
	return x.SetStatus(ctx, c, r.PathValue("id"), in.Status, *in.Version)
}

var errNoVersion = fault.New(fault.Invalid, "version is missing: the one of the room that you have seen")

func (x *routes) setNotice(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		Notice       *string `json:"notice"`
		Introduction *string `json:"introduction"`
		Version      *int64  `json:"version"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Version == nil:
		return nil, errNoVersion
	case in.Notice == nil && in.Introduction == nil:
		return nil, fault.New(fault.Invalid, "send notice, introduction or both")
	}
	return x.SetNotice(ctx, c, r.PathValue("id"), in.Notice, in.Introduction, *in.Version)
}

func (x *routes) close(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := api.Decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	return x.Close(ctx, c, r.PathValue("id"))
}

func (x *routes) restrict(kind Kind, lift bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
		var in struct {
			UserID  string   `json:"userId"`
			UserIDs []string `json:"userIds"`
			Seconds *int64   `json:"seconds"`
			Reason  string   `json:"reason"`
			Hide    bool     `json:"hide"`
		}
		if err := api.Decode(r, &in); err != nil {
			return nil, err
		}
		w := Wish{Kind: kind, Lift: lift, Users: in.UserIDs, Reason: in.Reason, Hide: in.Hide}
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
		list, err := x.Restrict(ctx, c, r.PathValue("id"), w)
		return restrictionsPage{Restrictions: list}, err
	}
}

type restrictionsPage struct {
	Restrictions []Restriction `json:"restrictions"`
	Next         string        `json:"next,omitempty"`
}

func (x *routes) restrictions(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	list, next, err := x.ListRestrictions(ctx, c, r.PathValue("id"), page.After, page.Limit)
	return restrictionsPage{list, next}, err
}

func (x *routes) members(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	s, err := x.find(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if c.Server == "" && !s.Leads(c.UserID) {
		return nil, errNotYours
	}
	kind := r.URL.Query().Get("kind")
	if kind != "latest" && kind != "online" {
		return nil, fault.New(fault.Invalid, "kind is latest or online")
	}
	list, next, err := x.Members(ctx, s.Room, kind, page.After, page.Limit)
	return struct {
		Members any    `json:"members"`
		Next    string `json:"next,omitempty"`
	}{list, next}, err
}

func (x *routes) setMembership(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	var in struct {
		Level *int64    `json:"level"`
		Until time.Time `json:"until"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	if in.Level == nil {
		return nil, fault.New(fault.Invalid, "level is missing; 0 ends a membership")
	}
	return x.SetMembership(ctx, r.PathValue("id"), Membership{r.PathValue("userID"), *in.Level, in.Until})
}

func (x *routes) history(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	list, next, err := x.ReadHistory(ctx, c, r.PathValue("id"), page.After, page.Limit)
	out := struct {
		Messages []Message         `json:"messages"`
		Next     string            `json:"next,omitempty"`
		Off      map[string]string `json:"off,omitempty"`
	}{list, next, nil}
	if !x.conf.History.On() {
		out.Off = map[string]string{"messages": "ROOM_HISTORY"}
	}
	return out, err
}

func (x *routes) anchor(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	return x.Anchor(ctx, c, r.PathValue("id"))
}

func (x *routes) subscribe(on bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
		return x.Subscribe(ctx, c, r.PathValue("id"), on)
	}
}

func (x *routes) media(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		Role string `json:"role"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	return x.Access(ctx, c, r.PathValue("id"), in.Role)
}

func (x *routes) broadcast(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		MsgBody json.RawMessage `json:"msgBody"`
		Rooms   []string        `json:"rooms"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	var body im.MsgBody
	if err := json.Unmarshal(in.MsgBody, &body); err != nil {
		return nil, fault.New(fault.Invalid, "msgBody is a list of IM's message elements")
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	return x.NewBroadcast(ctx, c, key, body, in.Rooms)
}

func (x *routes) getBroadcast(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	return x.GetBroadcast(ctx, r.PathValue("id"))
}

// cssEvents answers CSS. Anything but 200 has CSS repeat the event.
func (x *routes) cssEvents(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	e, err := x.readEvent(r)
	switch {
	case err == nil:
		err = x.OnStream(ctx, e)
	case errors.Is(err, errExpired):
		x.tooLate(ctx, e)
	}
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, map[string]int{"code": 0})
	return nil
}

// popular returns a page of the open rooms by popularity. A cursor into the board is
// the place, counted from 0, and the room that stands there; one behind the board is
// that of [Rooms.List].
func (x *routes) popular(ctx context.Context, after string, limit int) (rooms []Room, next string, err error) {
	const board, rest = "board.", "rest."
	ids, err := x.Stats.Popular(ctx)
	if err != nil {
		return nil, "", err
	}
	ranked := make(map[string]bool, len(ids))
	for _, id := range ids {
		ranked[id] = true
	}
	from := 0
	if cursor, on := strings.CutPrefix(after, board); on {
		rank, last, _ := strings.Cut(cursor, ".")
		n, err := strconv.Atoi(rank)
		if err != nil || n < 0 || !isRoomID(last) {
			return nil, "", fault.New(fault.Invalid, `after is the "next" of the answer before`)
		}
		// A room that is on the board no more has left its place to the next.
		from = min(n, len(ids))
		if i := slices.Index(ids, last); i >= 0 {
			from = i + 1
		}
	}
	if !strings.HasPrefix(after, rest) {
		for i, id := range ids[from:] {
			if len(rooms) == limit {
				at := from + i - 1
				return rooms, board + strconv.Itoa(at) + "." + ids[at], nil
			}
			room, err := x.Get(ctx, id)
			if is(err, fault.NotFound) || err == nil && room.Closed {
				continue
			}
			if err != nil {
				return nil, "", err
			}
			rooms = append(rooms, room)
		}
		after = rest
	}
	after = strings.TrimPrefix(after, rest)
	for len(rooms) < limit {
		list, following, err := x.List(ctx, after, limit-len(rooms))
		if err != nil {
			return nil, "", err
		}
		for _, room := range list {
			if !ranked[room.RoomID] {
				rooms = append(rooms, room)
			}
		}
		if after = following; after == "" {
			return rooms, "", nil
		}
	}
	if after == "" {
		return rooms, rest, nil
	}
	return rooms, rest + after, nil
}
