package imtest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The emulator's own controls over HTTP: what the console, the network and time
// do to an app, and what really happened in it. README.md describes the routes.

func (s *Server) controlRoutes() http.Handler {
	const app = "/emulator/apps/{app}"
	mux := http.NewServeMux()
	mux.Handle("GET /emulator/apps", gives(s.webApps))
	mux.Handle("GET "+app+"/state", forApp(s, func(a *App, _ *http.Request) (any, error) { return a.State(), nil }))
	mux.Handle("GET "+app+"/users/{user}/seen", forApp(s, webSeen))
	mux.Handle("GET "+app+"/calls", forApp(s, webCalls))
	mux.Handle("GET "+app+"/callbacks", forApp(s, func(a *App, _ *http.Request) (any, error) { return object{"callbacks", a.Callbacks()}, nil }))
	mux.HandleFunc("GET "+app+"/callbacks/events", s.webCallbacks)
	mux.Handle("POST "+app+"/callbacks/{n}/replay", forApp(s, webReplay))
	mux.Handle("POST "+app+"/reset", forApp(s, func(a *App, _ *http.Request) (any, error) { a.Reset(); return object{}, nil }))
	mux.Handle("GET "+app+"/snapshots", forApp(s, func(a *App, _ *http.Request) (any, error) { return object{"snapshots", a.Snapshots()}, nil }))
	mux.Handle("POST "+app+"/snapshots/{name}", forApp(s, func(a *App, r *http.Request) (any, error) { return a.Snapshot(r.PathValue("name")) }))
	mux.Handle("POST "+app+"/snapshots/{name}/restore", forApp(s, func(a *App, r *http.Request) (any, error) { return object{}, a.Restore(r.PathValue("name")) }))
	mux.Handle("DELETE "+app+"/snapshots/{name}", forApp(s, func(a *App, r *http.Request) (any, error) { return object{}, a.DeleteSnapshot(r.PathValue("name")) }))
	mux.Handle("GET "+app+"/chaos", forApp(s, func(a *App, _ *http.Request) (any, error) { return webChaosOf(a), nil }))
	mux.Handle("PUT "+app+"/chaos", changesApp(s, webMisbehave))
	mux.Handle("POST "+app+"/faults", changesApp(s, webFail))
	mux.Handle("GET "+app+"/console", forApp(s, func(a *App, _ *http.Request) (any, error) { return webConsoleOf(a), nil }))
	mux.Handle("PATCH "+app+"/console", changesApp(s, webConsoleChange))
	mux.Handle("GET /emulator/clock", gives(func(*http.Request) (any, error) { return s.webClock(), nil }))
	mux.Handle("POST /emulator/clock", takes(s.webClockChange))
	return s.guarded(mux)
}

// webCalls lists the app's calls, with ?code=N those that had this code.
func webCalls(a *App, r *http.Request) (any, error) {
	calls := a.Calls()
	if text := r.URL.Query().Get("code"); text != "" {
		code, err := strconv.Atoi(text)
		if err != nil {
			return nil, fail(60003, "code is a number")
		}
		calls = slices.DeleteFunc(calls, func(c RESTCall) bool { return c.Code != code })
	}
	return object{"calls", calls}, nil
}

// appOf returns the app that the path names.
func (s *Server) appOf(r *http.Request) (*App, error) {
	id, err := strconv.ParseUint(r.PathValue("app"), 10, 32)
	if a := s.app(uint32(id)); err == nil && a != nil {
		return a, nil
	}
	return nil, errNoSuch
}

func forApp(s *Server, f func(a *App, r *http.Request) (any, error)) http.HandlerFunc {
	return gives(func(r *http.Request) (any, error) {
		a, err := s.appOf(r)
		if err != nil {
			return nil, err
		}
		return f(a, r)
	})
}

func changesApp[T any](s *Server, f func(a *App, in T) (any, error)) http.HandlerFunc {
	return takes(func(r *http.Request, in T) (any, error) {
		a, err := s.appOf(r)
		if err != nil {
			return nil, err
		}
		return f(a, in)
	})
}

func (s *Server) webApps(*http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []object{}
	for _, a := range s.apps {
		list = append(list, object{"sdkAppId", a.conf.SDKAppID, "dataCentre", a.conf.DataCentre, "admins", a.conf.Admins})
	}
	slices.SortFunc(list, func(x, y object) int { return int(int64(x[1].(uint32)) - int64(y[1].(uint32))) })
	return object{"apps", list}, nil
}

func webSeen(a *App, r *http.Request) (any, error) {
	list := a.Seen(r.PathValue("user"))
	if list == nil {
		return nil, errNoSuch
	}
	return object{"messages", list}, nil
}

// webCallbacks streams callbacks as they are sent, those kept first.
func (s *Server) webCallbacks(w http.ResponseWriter, r *http.Request) {
	a, err := s.appOf(r)
	after := 0
	if err == nil {
		after, err = lastEvent(r)
	}
	if err != nil {
		refuse(w, webStatus(Code(err)), err)
		return
	}
	stream(s, w, r, &a.post.sent, after, func(Callback) string { return "callback" })
}

func webReplay(a *App, r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		return nil, errNoSuch
	}
	return a.Replay(n)
}

// webChaos is Chaos with its pause in milliseconds.
type webChaos struct {
	Chaos
	DelayMillis int64 `json:"delayMillis"`
}

func webChaosOf(a *App) webChaos {
	c := a.chaos.get()
	return webChaos{c, c.DelayBy.Milliseconds()}
}

// maxPause bounds pauses that control asks for.
const maxPause = time.Hour

func pause(millis int64) (time.Duration, error) {
	if millis < 0 || millis > maxPause.Milliseconds() {
		return 0, fail(10004, "a pause is 0 to 3600000 milliseconds")
	}
	return time.Duration(millis) * time.Millisecond, nil
}

func webMisbehave(a *App, in webChaos) (any, error) {
	for _, p := range []float64{in.Duplicate, in.Reorder, in.Delay, in.Drop, in.SlowBefore, in.LoseAnswer, in.SlowAnswer, in.Refuse} {
		if p < 0 || p > 1 {
			return nil, fail(10004, "a share is 0 to 1")
		}
	}
	var err error
	if in.DelayBy, err = pause(in.DelayMillis); err != nil {
		return nil, err
	}
	a.Misbehave(in.Chaos)
	return webChaosOf(a), nil
}

type webFaults struct {
	Command string `json:"command"`
	Faults  []struct {
		Fault
		LateMillis int64 `json:"lateMillis"`
	} `json:"faults"`
}

func webFail(a *App, in webFaults) (any, error) {
	if _, known := commands[in.Command]; !known || len(in.Faults) == 0 || len(in.Faults) > 100 {
		return nil, fail(10004, "1 to 100 faults of a command, such as openim/sendmsg")
	}
	var faults []Fault
	for _, f := range in.Faults {
		var err error
		if f.Late, err = pause(f.LateMillis); err != nil {
			return nil, err
		}
		if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
			return nil, fail(10004, "status is 400 to 599")
		}
		faults = append(faults, f.Fault)
	}
	a.FailNext(in.Command, faults...)
	return object{}, nil
}

func webConsoleOf(a *App) any {
	c := a.Console()
	return object{
		"callbackUrl", c.CallbackURL, "signed", c.CallbackToken != "", "callbacks", c.Callbacks, "retryCallbacks", c.RetryCallbacks,
		"blockC2COnFailure", c.BlockC2COnFailure, "blockGroupOnFailure", c.BlockGroupOnFailure,
	}
}

// webConsole has a nil for what stays as it is.
type webConsole struct {
	CallbackURL         *string   `json:"callbackUrl"`
	CallbackToken       *string   `json:"callbackToken"`
	Callbacks           *[]string `json:"callbacks"`
	AllCallbacks        bool      `json:"allCallbacks"`
	RetryCallbacks      *bool     `json:"retryCallbacks"`
	BlockC2COnFailure   *bool     `json:"blockC2COnFailure"`
	BlockGroupOnFailure *bool     `json:"blockGroupOnFailure"`
}

func webConsoleChange(a *App, in webConsole) (any, error) {
	if in.CallbackURL != nil && *in.CallbackURL != "" {
		u, err := url.Parse(*in.CallbackURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fail(10004, "callbackUrl must be an http or https URL")
		}
	}
	c := a.Console()
	set(&c.CallbackURL, in.CallbackURL)
	set(&c.CallbackToken, in.CallbackToken)
	set(&c.Callbacks, in.Callbacks)
	set(&c.RetryCallbacks, in.RetryCallbacks)
	set(&c.BlockC2COnFailure, in.BlockC2COnFailure)
	set(&c.BlockGroupOnFailure, in.BlockGroupOnFailure)
	if in.AllCallbacks {
		c.Callbacks = nil
	}
	a.SetConsole(c)
	return webConsoleOf(a), nil
}

func set[T any](at, to *T) {
	if to != nil {
		*at = *to
	}
}

func (s *Server) webClock() any {
	return object{"now", s.clock.Now(), "manual", s.clock.manual, "skewMillis", s.clock.skewed().Milliseconds()}
}

// maxAdvance bounds one step of the clock.
const maxAdvance = 366 * 24 * time.Hour

func (s *Server) webClockChange(_ *http.Request, in struct {
	AdvanceMillis *int64 `json:"advanceMillis"`
	SkewMillis    *int64 `json:"skewMillis"`
},
) (any, error) {
	for _, millis := range []*int64{in.AdvanceMillis, in.SkewMillis} {
		if millis != nil && (*millis < -maxAdvance.Milliseconds() || *millis > maxAdvance.Milliseconds()) {
			return nil, fail(10004, "a step is at most a year")
		}
	}
	switch {
	case in.AdvanceMillis != nil && (!s.clock.manual || *in.AdvanceMillis < 0):
		return nil, fail(10004, "only a manual clock can be moved, and only forwards")
	case in.SkewMillis != nil && s.clock.manual:
		return nil, fail(10004, "a manual clock has no skew")
	}
	if in.SkewMillis != nil {
		s.clock.Skew(time.Duration(*in.SkewMillis) * time.Millisecond)
	}
	if in.AdvanceMillis != nil {
		s.clock.Advance(time.Duration(*in.AdvanceMillis) * time.Millisecond)
	}
	return s.webClock(), nil
}
