package mail

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// RoutesConfig configures the routes of mail.
type RoutesConfig struct {
	api.RoutesConfig
	// Profiles serves the routes of profiles and blocklists; nil: those routes do not
	// exist.
	Profiles Profiles
}

type routes struct {
	*Mails
	RoutesConfig
}

// Routes adds the routes of mail and trades.
func (m *Mails) Routes(mux *http.ServeMux, c RoutesConfig) {
	x := &routes{m, c}
	list := []api.Route{
		api.On(http.MethodPost, "/mail", http.StatusAccepted, api.ForServers, x.send),
		api.On(http.MethodGet, "/mail", http.StatusOK, api.ForServers, x.list),
		api.On(http.MethodGet, "/mail/{id}", http.StatusOK, api.ForServers, x.get),
		api.On(http.MethodPatch, "/mail/{id}", http.StatusOK, api.ForServers, x.edit),
		api.On(http.MethodPut, "/mail/{id}/recipients/{part}", http.StatusOK, api.ForServers, x.addPart),
		api.On(http.MethodPost, "/mail/{id}/start", http.StatusAccepted, api.ForServers, x.on(m.Start)),
		api.On(http.MethodPost, "/mail/{id}/pause", http.StatusOK, api.ForServers, x.on(m.Pause)),
		api.On(http.MethodPost, "/mail/{id}/resume", http.StatusOK, api.ForServers, x.on(m.Resume)),
		api.On(http.MethodPost, "/mail/{id}/cancel", http.StatusOK, api.ForServers, x.on(m.Cancel)),
		api.On(http.MethodPost, "/mail/{id}/revoke", http.StatusOK, api.ForServers, x.on(m.Revoke)),
		api.On(http.MethodGet, "/inbox", http.StatusOK, api.ForUsers, x.inbox),
		api.On(http.MethodPost, "/inbox/claim", http.StatusOK, api.ForUsers, x.claimAll),
		api.On(http.MethodPost, "/inbox/{mailId}/read", http.StatusOK, api.ForUsers, x.read),
		api.On(http.MethodPost, "/inbox/{mailId}/claim", http.StatusOK, api.ForUsers, x.claimOne),
		api.On(http.MethodDelete, "/inbox/{mailId}", http.StatusOK, api.ForUsers, x.remove),
		api.On(http.MethodPost, "/trades", http.StatusCreated, api.ForUsers|api.NeedsKey, x.offer),
		api.On(http.MethodGet, "/trades/{id}", http.StatusOK, api.ForUsers, x.trade),
		api.On(http.MethodPost, "/trades/{id}/accept", http.StatusOK, api.ForUsers, x.accept),
		api.On(http.MethodPost, "/trades/{id}/cancel", http.StatusOK, api.ForUsers, x.cancelTrade),
	}
	if c.Profiles != nil {
		list = append(
			list,
			api.On(http.MethodGet, "/profiles/{userID}", http.StatusOK, 0, x.getProfile),
			api.On(http.MethodPut, "/profiles/{userID}", http.StatusOK, 0, x.setProfile),
			api.On(http.MethodGet, "/blocklist", http.StatusOK, api.ForUsers, x.blocklist),
			api.On(http.MethodPut, "/blocklist/{userID}", http.StatusOK, api.ForUsers, x.block(c.Profiles.BlockUsers, true)),
			api.On(http.MethodDelete, "/blocklist/{userID}", http.StatusOK, api.ForUsers, x.block(c.Profiles.UnblockUsers, false)),
		)
	}
	api.Mount(mux, c.RoutesConfig, list...)
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
	dry, err := readSwitch(r, "dryRun")
	if err != nil {
		return nil, err
	}
	var key string
	if !dry {
		if key, err = api.RequiredKey(r); err != nil {
			return nil, err
		}
	}
	var in NewMail
	if err := api.Decode(r, &in); err != nil {
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
		return api.Answer{Status: http.StatusOK, Body: map[string]Plan{"plan": plan}}, err
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
		return api.Answer{Status: http.StatusAccepted, Body: got}, nil
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
