package lottery

import (
	"context"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// Routes adds the routes of lotteries. Users may call them from web pages of these
// origins.
func (l *Lotteries) Routes(mux *http.ServeMux, gate *api.Gate, origins []string) {
	for _, route := range []struct {
		method, path string
		status       int
		do           func(ctx context.Context, c api.Caller, r *http.Request) (Lottery, error)
	}{
		{http.MethodPost, "/rooms/{id}/lotteries", http.StatusCreated, l.create},
		{http.MethodGet, "/rooms/{id}/lotteries/{lotteryId}", http.StatusOK, l.get},
		{http.MethodPost, "/rooms/{id}/lotteries/{lotteryId}/draw", http.StatusOK, l.drawNow},
	} {
		mux.Handle(route.method+" "+route.path, api.CORS(origins, "", gate.Any(api.Within(requestTime, func(w http.ResponseWriter, r *http.Request) error {
			v, err := route.do(r.Context(), api.CallerFrom(r.Context()), r)
			if err != nil {
				return err
			}
			api.Reply(w, route.status, v)
			return nil
		}))))
		mux.Handle("OPTIONS "+route.path, api.CORS(origins, route.method, api.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.MethodNotAllowed, "OPTIONS is for browsers that ask before they call")
		})))
	}
}

func (l *Lotteries) create(ctx context.Context, c api.Caller, r *http.Request) (Lottery, error) {
	key, err := api.RequiredKey(r)
	if err != nil {
		return Lottery{}, err
	}
	var in Asked
	if err := api.Decode(r, &in); err != nil {
		return Lottery{}, err
	}
	return l.Create(ctx, c, r.PathValue("id"), key, in)
}

func (l *Lotteries) get(ctx context.Context, _ api.Caller, r *http.Request) (Lottery, error) {
	return l.Get(ctx, r.PathValue("id"), r.PathValue("lotteryId"))
}

// drawNow takes no body, or any.
func (l *Lotteries) drawNow(ctx context.Context, c api.Caller, r *http.Request) (Lottery, error) {
	return l.Draw(ctx, c, r.PathValue("id"), r.PathValue("lotteryId"))
}
