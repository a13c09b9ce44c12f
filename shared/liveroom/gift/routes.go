package gift

import (
	"cmp"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// Routes adds the routes of gifts. Users may call them from web pages of these
// origins.
func (g *Gifts) Routes(mux *http.ServeMux, gate *api.Gate, origins []string) {
	anybody := func(h api.HandlerFunc) http.Handler { return h }
	methods := make(map[string][]string)
	for _, route := range []struct {
		method, path string
		who          func(api.HandlerFunc) http.Handler
		do           api.HandlerFunc
	}{
		{http.MethodGet, "/gifts", anybody, g.list},
		{http.MethodPut, "/gifts/{giftId}", gate.Server, g.change},
		{http.MethodPost, "/rooms/{id}/gifts", gate.Any, g.order},
		{http.MethodGet, "/rooms/{id}/gifts/orders/{orderId}", gate.Any, g.view},
	} {
		methods[route.path] = append(methods[route.path], route.method)
		mux.Handle(route.method+" "+route.path, api.CORS(origins, "", route.who(api.Within(requestTime, route.do))))
	}
	for path, allowed := range methods {
		api.Preflight(mux, origins, path, allowed...)
	}
}

func (g *Gifts) list(w http.ResponseWriter, r *http.Request) error {
	page, err := api.ReadPage(r)
	if err != nil {
		return err
	}
	out := struct {
		Gifts []Gift `json:"gifts"`
		Next  string `json:"next,omitempty"`
	}{Gifts: []Gift{}}
	gifts, next, err := g.Catalogue(r.Context(), page.After, page.Limit)
	if err != nil {
		return err
	}
	out.Gifts, out.Next = append(out.Gifts, gifts...), next
	api.Reply(w, http.StatusOK, out)
	return nil
}

// change takes a gift, as list answers it. Without type it is 1, without active it can
// be ordered.
func (g *Gifts) change(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Gift
		Active *bool `json:"active"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	is := in.Gift
	id := r.PathValue("giftId")
	if cmp.Or(is.GiftID, id) != id {
		return fault.New(fault.Invalid, "giftId is another than the path's")
	}
	is.GiftID = id
	is.Type, is.Active = cmp.Or(is.Type, 1), in.Active == nil || *in.Active
	is, err := g.Put(r.Context(), is)
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, is)
	return nil
}

func (g *Gifts) order(w http.ResponseWriter, r *http.Request) error {
	c := api.CallerFrom(r.Context())
	if c.UserID == "" {
		return fault.New(fault.Forbidden, "gifts are ordered by users themselves, with their UserSig")
	}
	key, err := api.RequiredKey(r)
	if err != nil {
		return err
	}
	var in struct {
		GiftID string `json:"giftId"`
		Count  int64  `json:"count"`
		Price  int64  `json:"price"`
	}
	if err := api.Decode(r, &in); err != nil {
		return err
	}
	o, err := g.Order(r.Context(), c.UserID, key, Asked{RoomID: r.PathValue("id"), GiftID: in.GiftID, Count: in.Count, Price: in.Price})
	if err != nil {
		return err
	}
	if o.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	api.Reply(w, http.StatusCreated, o)
	return nil
}

func (g *Gifts) view(w http.ResponseWriter, r *http.Request) error {
	c := api.CallerFrom(r.Context())
	o, user, err := g.Find(r.Context(), r.PathValue("id"), r.PathValue("orderId"))
	if err != nil {
		return err
	}
	if c.Server == "" && c.UserID != user {
		return errNoOrder // whose orders there are is nobody else's business
	}
	api.Reply(w, http.StatusOK, o)
	return nil
}
