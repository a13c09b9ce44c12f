package lottery

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
)

// Routes adds the routes of lotteries. Users may call them from web pages of these
// origins.
func (l *Lotteries) Routes(mux *http.ServeMux, gate *api.Gate, origins []string) {
	api.Mount(
		mux, api.RoutesConfig{Gate: gate, Origins: origins},
		api.On(http.MethodPost, "/rooms/{id}/lotteries", http.StatusCreated, api.Unkept, l.create),
		api.On(http.MethodGet, "/rooms/{id}/lotteries/{lotteryId}", http.StatusOK, 0, l.get),
		api.On(http.MethodPost, "/rooms/{id}/lotteries/{lotteryId}/draw", http.StatusOK, api.Unkept, l.drawNow),
	)
}

func (l *Lotteries) create(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	key, err := api.RequiredKey(r)
	if err != nil {
		return nil, err
	}
	var in Asked
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	return l.Create(ctx, c, r.PathValue("id"), key, in)
}

func (l *Lotteries) get(ctx context.Context, _ api.Caller, r *http.Request) (any, error) {
	return l.Get(ctx, r.PathValue("id"), r.PathValue("lotteryId"))
}

// drawNow takes no body, or any.
func (l *Lotteries) drawNow(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	return l.Draw(ctx, c, r.PathValue("id"), r.PathValue("lotteryId"))
}
