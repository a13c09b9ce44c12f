package mail

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
)

// requestTime bounds a request. What is not done by then goes on without the caller.
const requestTime = 25 * time.Second

// RoutesConfig configures the routes of mail.
type RoutesConfig struct {
	Gate    *api.Gate
	Keeper  *idem.Keeper // of answers to requests with an Idempotency-Key
	Origins []string     // web pages that users may call from
	// Profiles serves the routes of profiles and blocklists; nil: those routes do not
	// exist.
	Profiles Profiles
}

// What a route is.
const (
	server = 1 << iota // for servers alone
	player             // for users alone, about what is theirs
	keyed              // makes something, and so requires an Idempotency-Key
)

type route struct {
	method, path string
	status       int
	is           int
	do           func(ctx context.Context, c api.Caller, r *http.Request) (any, error)
}

type routes struct {
	*Mails
	RoutesConfig
}

// Routes adds the routes of mail and trades.
func (m *Mails) Routes(mux *http.ServeMux, c RoutesConfig) {
	x := &routes{m, c}
	methods := make(map[string][]string)
	list := []route{
		{http.MethodPost, "/mail", http.StatusAccepted, server | keyed, x.send},
		{http.MethodGet, "/mail", http.StatusOK, server, x.list},
		{http.MethodGet, "/mail/{id}", http.StatusOK, server, x.get},
		{http.MethodPatch, "/mail/{id}", http.StatusOK, server, x.edit},
		{http.MethodPut, "/mail/{id}/recipients/{part}", http.StatusOK, server, x.addPart},
		{http.MethodPost, "/mail/{id}/start", http.StatusAccepted, server, x.on(m.Start)},
		{http.MethodPost, "/mail/{id}/pause", http.StatusOK, server, x.on(m.Pause)},
		{http.MethodPost, "/mail/{id}/resume", http.StatusOK, server, x.on(m.Resume)},
		{http.MethodPost, "/mail/{id}/cancel", http.StatusOK, server, x.on(m.Cancel)},
		{http.MethodPost, "/mail/{id}/revoke", http.StatusOK, server, x.on(m.Revoke)},
		{http.MethodGet, "/inbox", http.StatusOK, player, x.inbox},
		{http.MethodPost, "/inbox/claim", http.StatusOK, player, x.claimAll},
		{http.MethodPost, "/inbox/{mailId}/read", http.StatusOK, player, x.read},
		{http.MethodPost, "/inbox/{mailId}/claim", http.StatusOK, player, x.claimOne},
		{http.MethodDelete, "/inbox/{mailId}", http.StatusOK, player, x.remove},
		{http.MethodPost, "/trades", http.StatusCreated, player | keyed, x.offer},
		{http.MethodGet, "/trades/{id}", http.StatusOK, player, x.trade},
		{http.MethodPost, "/trades/{id}/accept", http.StatusOK, player, x.accept},
		{http.MethodPost, "/trades/{id}/cancel", http.StatusOK, player, x.cancelTrade},
	}
	if c.Profiles != nil {
		list = append(
			list,
			route{http.MethodGet, "/profiles/{userID}", http.StatusOK, 0, x.getProfile},
			route{http.MethodPut, "/profiles/{userID}", http.StatusOK, 0, x.setProfile},
			route{http.MethodGet, "/blocklist", http.StatusOK, player, x.blocklist},
			route{http.MethodPut, "/blocklist/{userID}", http.StatusOK, player, x.block(c.Profiles.BlockUsers, true)},
			route{http.MethodDelete, "/blocklist/{userID}", http.StatusOK, player, x.block(c.Profiles.UnblockUsers, false)},
		)
	}
	for _, one := range list {
		methods[one.path] = append(methods[one.path], one.method)
		mux.Handle(one.method+" "+one.path, api.CORS(c.Origins, "", x.handler(one)))
	}
	for path, allowed := range methods {
		mux.Handle("OPTIONS "+path, api.CORS(c.Origins, strings.Join(allowed, ", "), api.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.MethodNotAllowed, "OPTIONS is for browsers that ask before they call")
		})))
	}
}

// status is an answer with a status of its own.
type status struct {
	code int
	body any
}

func (x *routes) handler(one route) http.Handler {
	h := api.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		v, err := one.do(r.Context(), api.CallerFrom(r.Context()), r)
		if err != nil {
			return err
		}
		if s, is := v.(status); is {
			api.Reply(w, s.code, s.body)
			return nil
		}
		api.Reply(w, one.status, v)
		return nil
	})
	if one.method == http.MethodPost {
		h = api.Idempotent(x.Keeper, h)
	}
	h = api.Within(requestTime, h)
	if one.is&keyed != 0 {
		inner := h
		h = func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Query().Get("dryRun") != "" { // makes nothing, unless it is 0
				return inner(w, r)
			}
			return api.Keyed(inner)(w, r)
		}
	}
	if one.is&server != 0 {
		return x.Gate.Server(h)
	}
	return x.Gate.Any(func(w http.ResponseWriter, r *http.Request) error {
		if one.is&player != 0 && api.CallerFrom(r.Context()).UserID == "" {
			return fault.New(fault.Forbidden, "a player's inbox and trades are the player's own: call with a UserSig")
		}
		return h(w, r)
	})
}

// readNothing refuses a body that says something.
func readNothing(r *http.Request) error {
	return readOptional(r, &struct{}{})
}

// readOptional reads a body, if there is one.
func readOptional(r *http.Request, v any) error {
	body, err := api.ReadBody(r, api.MaxBody)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return api.Decode(r, v)
}

// readSwitch reads a query value that is 1, 0 or absent.
func readSwitch(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fault.New(fault.Invalid, "%s is 1 or 0", name)
}

// on makes a handler of what is done to a mail.
func (x *routes) on(do func(ctx context.Context, id string) (View, error)) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
		if err := readNothing(r); err != nil {
			return nil, err
		}
		return do(ctx, r.PathValue("id"))
	}
}

func (x *routes) send(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in NewMail
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	dry, err := readSwitch(r, "dryRun")
	if err != nil {
		return nil, err
	}
	if dry {
		recipients := 0
		if text := r.URL.Query().Get("recipients"); text != "" {
			if recipients, err = strconv.Atoi(text); err != nil || recipients < 0 || recipients > 1e9 || !in.To.File {
				return nil, fault.New(fault.Invalid, "recipients is the number of recipients in the file of a mail to a file")
			}
		}
		plan, err := x.DryRun(ctx, in, recipients)
		return status{http.StatusOK, map[string]Plan{"plan": plan}}, err
	}
	key, err := api.RequiredKey(r)
	if err != nil {
		return nil, err
	}
	return x.Send(ctx, c, key, in)
}

func (x *routes) list(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	list, next, err := x.List(ctx, page.After, page.Limit)
	if list == nil {
		list = []View{}
	}
	return struct {
		Mails []View `json:"mails"`
		Next  string `json:"next,omitempty"`
	}{list, next}, err
}

func (x *routes) get(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	return x.Get(ctx, r.PathValue("id"))
}

func (x *routes) edit(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	var in struct {
		Words
		Languages map[string]Words `json:"languages"`
		Version   int64            `json:"version"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	return x.Edit(ctx, r.PathValue("id"), in.Version, in.Words, in.Languages)
}

func (x *routes) addPart(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	number, err := strconv.Atoi(r.PathValue("part"))
	if err != nil {
		return nil, fault.New(fault.Invalid, "parts are numbered from 1")
	}
	skip, err := readSwitch(r, "skipBroken")
	if err != nil {
		return nil, err
	}
	body, err := api.ReadBody(r, MaxPartBytes)
	if err != nil {
		return nil, err
	}
	return x.AddPart(ctx, r.PathValue("id"), number, body, skip)
}

// languagesOf returns the languages that a reader asks for, the first preferred: the
// query's language, or those of Accept-Language in their order.
func languagesOf(r *http.Request) (list []string) {
	if one := r.URL.Query().Get("language"); one != "" {
		return []string{one}
	}
	for one := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(one), ";")
		if isLanguage(tag) && len(list) < MaxLanguages {
			list = append(list, tag)
		}
	}
	return list
}

func (x *routes) inbox(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	return x.Inbox(ctx, c.UserID, languagesOf(r), page.After, page.Limit)
}

func (x *routes) read(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := readNothing(r); err != nil {
		return nil, err
	}
	return x.Read(ctx, c.UserID, r.PathValue("mailId"), languagesOf(r))
}

// claimed answers 202 while the game has not answered.
func (x *routes) claimOne(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := readNothing(r); err != nil {
		return nil, err
	}
	got, err := x.Claim(ctx, c.UserID, r.PathValue("mailId"))
	if err == nil && !got.Claimed {
		return status{http.StatusAccepted, got}, nil
	}
	return got, err
}

func (x *routes) claimAll(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := readNothing(r); err != nil {
		return nil, err
	}
	return x.ClaimAll(ctx, c.UserID)
}

func (x *routes) remove(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	id := r.PathValue("mailId")
	return map[string]any{"mailId": id, "deleted": true}, x.Delete(ctx, c.UserID, id)
}

func (x *routes) offer(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if x.conf.Hook == nil {
		return nil, errNoHook
	}
	var in NewTrade
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	key, err := api.IdempotencyKey(r)
	if err != nil {
		return nil, err
	}
	if err := x.Gate.Bans.Check(ctx, in.With); err != nil {
		return nil, err
	}
	return x.Offer(ctx, c.UserID, key, in, x.blocked())
}

func (x *routes) trade(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	return x.Trade(ctx, c.UserID, r.PathValue("id"))
}

func (x *routes) accept(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	var in struct {
		Version int64 `json:"version"`
	}
	if err := readOptional(r, &in); err != nil {
		return nil, err
	}
	return x.Accept(ctx, c.UserID, r.PathValue("id"), in.Version)
}

func (x *routes) cancelTrade(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	if err := readNothing(r); err != nil {
		return nil, err
	}
	return x.CancelTrade(ctx, c.UserID, r.PathValue("id"))
}
