package imtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Server is an emulator of IM with any number of apps. It is an http.Handler:
// /v4/... is the REST API, /dc/NAME/v4/... that of another data centre, and
// /client/... stands in for the client SDK.
type Server struct {
	clock   *Clock
	seed    uint64
	origins []string
	control bool
	mux     *http.ServeMux
	done    chan struct{} // closed by Close

	mu   sync.Mutex
	apps map[uint32]*App
}

// NewServer returns an emulator without apps.
func NewServer(o Options) *Server {
	if o.Clock == nil {
		o.Clock = NewClock()
	}
	s := &Server{
		clock: o.Clock, seed: o.Seed, origins: o.Origins, control: o.Control, mux: http.NewServeMux(), done: make(chan struct{}), apps: make(map[uint32]*App),
	}
	s.mux.HandleFunc("/v4/{service}/{command}", func(w http.ResponseWriter, r *http.Request) { s.serveREST(w, r, "") })
	s.mux.HandleFunc("/dc/{dc}/v4/{service}/{command}", func(w http.ResponseWriter, r *http.Request) { s.serveREST(w, r, r.PathValue("dc")) })
	s.mux.Handle("/client/", s.clientRoutes())
	if o.Control {
		s.mux.Handle("/emulator/", s.controlRoutes())
	}
	return s
}

// Close ends every event stream and sends no further callback. Calls in flight are
// answered.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Clock returns the emulator's clock.
func (s *Server) Clock() *Clock { return s.clock }

// AddApp creates an app, or returns the existing one of that SDKAppID. It panics if
// SDKAppID or Key is missing.
func (s *Server) AddApp(conf AppConfig) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[conf.SDKAppID]; a != nil {
		return a
	}
	if conf.Admins == nil {
		conf.Admins = []string{"administrator"}
	}
	a := newApp(s, conf)
	s.apps[conf.SDKAppID] = a
	return a
}

func (s *Server) app(id uint32) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apps[id]
}

// maxRESTBody bounds a request, in bytes; the largest documented request, a
// batch of 500 recipients with a 12 KB message, is far below.
const maxRESTBody = 1 << 20

// Error is an answer of IM other than success, to a REST call or to a client.
type Error struct {
	Code int
	Info string
}

func (e *Error) Error() string { return strconv.Itoa(e.Code) + " " + e.Info }

// Code returns IM's code of an error of this package: 0 for nil, 90994 (IM's
// internal error) for an error that is no [Error].
func Code(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Code
	}
	return 90994
}

func fail(code int, info string) error { return &Error{code, info} }

// ok is the success envelope; answers add their fields to it.
var ok = object{"ActionStatus", "OK", "ErrorInfo", "", "ErrorCode", 0}

// caller is who performs a command: an admin by REST, or a user's device, which
// the command names as the operator.
type caller struct {
	id   string
	from origin
	user bool // not an admin
}

// admin is the caller's UserID if it is an admin.
func (c caller) admin() string {
	if c.user {
		return ""
	}
	return c.id
}

// command is one call of the REST API.
type command struct {
	rate int // calls a second; 0: 200
	do   func(a *App, by caller, body []byte) (answer object, unknown []string, err error)
}

// misfits are a command's codes for fields of the wrong type, by the field's
// name; "" stands for all others.
type misfits map[string]int

func (m misfits) code(err error) int {
	var bad *misfit
	if errors.As(err, &bad) && m[bad.top()] != 0 {
		return m[bad.top()]
	}
	return m[""]
}

// decoded makes a command of a function with a typed request.
func decoded[T any](codes misfits, f func(a *App, in T) (object, error)) command {
	return decodedBy(codes, func(a *App, _ caller, in T) (object, error) { return f(a, in) })
}

// decodedBy is decoded for a command that depends on who calls it.
func decodedBy[T any](codes misfits, f func(a *App, by caller, in T) (object, error)) command {
	return command{do: func(a *App, by caller, body []byte) (object, []string, error) {
		var in T
		r := reader{whole: true}
		if err := r.read(body, &in); err != nil {
			return nil, nil, fail(codes.code(err), "the request does not fit: "+err.Error())
		}
		if a.conf.Strict && len(r.old) > 0 {
			return nil, nil, fail(codes[""], r.old[0].was+" is called "+r.old[0].is+" now")
		}
		out, err := f(a, by, in)
		return out, r.unknown, err
	}}
}

// limited gives a command a rate of its own.
func limited(rate int, c command) command {
	c.rate = rate
	return c
}

// serveREST checks a call the way IM does, in IM's order, and performs it.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request, dc string) {
	name := r.PathValue("service") + "/" + r.PathValue("command")
	app, body, err := s.admit(w, r, dc)
	if err != nil {
		answer(w, nil, err)
		return
	}
	c, known := commands[name]
	if !known {
		err := fail(60009, "no such service or command")
		if notModelled[name] != "" {
			err = fail(60009, "the emulator does not model this command")
		}
		app.noteREST(RESTCall{Command: name, Body: string(body), Code: Code(err)})
		answer(w, nil, err)
		return
	}
	if !app.allowed(name, c.rate) {
		answer(w, nil, fail(60007, "too many calls of this command"))
		return
	}
	fault := app.chaos.restFault(name)
	var out object
	if fault.Code == 0 && fault.Status == 0 || fault.Worked {
		var unknown []string
		out, unknown, err = c.do(app, caller{id: r.URL.Query().Get("identifier"), from: fromREST}, body)
		app.noteREST(RESTCall{Command: name, Body: string(body), Code: Code(err), Unknown: unknown})
	}
	if fault.Late > 0 {
		s.clock.sleep(r.Context(), fault.Late)
	}
	switch {
	case fault.LoseAnswer:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		w.WriteHeader(fault.Status)
	case fault.Code != 0:
		answer(w, nil, fail(fault.Code, "as the test asked"))
	default:
		answer(w, out, err)
	}
}

func answer(w http.ResponseWriter, out object, err error) {
	if err != nil {
		out = object{"ActionStatus", "FAIL", "ErrorInfo", err.Error(), "ErrorCode", Code(err)}
	}
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(out)
	if err != nil {
		panic("imtest: an answer does not marshal: " + err.Error())
	}
	_, _ = w.Write(b)
}

// admit authenticates a REST call (1047/34620): query, app, data centre, admin,
// UserSig, then the body.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, dc string) (*App, []byte, error) {
	q := r.URL.Query()
	appID, err := strconv.ParseUint(q.Get("sdkappid"), 10, 32)
	switch {
	case r.Method != http.MethodPost:
		return nil, nil, fail(60002, "only POST is served")
	case q.Get("sdkappid") == "":
		return nil, nil, fail(60012, "sdkappid is missing")
	case err != nil:
		return nil, nil, fail(60006, "sdkappid is not a number")
	case q.Get("contenttype") != "json":
		return nil, nil, fail(60025, "contenttype must be json")
	case !isUint32(q.Get("random")):
		return nil, nil, fail(60025, "random must be a number from 0 to 4294967295")
	case q.Get("identifier") == "" || q.Get("usersig") == "":
		return nil, nil, fail(60004, "identifier or usersig is missing")
	}
	app := s.app(uint32(appID))
	switch {
	case app == nil:
		return nil, nil, fail(70020, "no such app")
	case app.conf.DataCentre != dc:
		return nil, nil, fail(60026, "this app lives in another data centre")
	}
	if err := app.checkSig(q.Get("identifier"), q.Get("usersig")); err != nil {
		return nil, nil, err
	}
	if !slices.Contains(app.conf.Admins, q.Get("identifier")) {
		return nil, nil, fail(60010, "identifier is not an admin of this app")
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		if _, _, err := mime.ParseMediaType(t); err != nil {
			return nil, nil, fail(60002, "the Content-Type header cannot be read")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRESTBody))
	switch {
	case err != nil:
		return nil, nil, fail(60002, "the body cannot be read or is too large")
	case len(body) == 0:
		return nil, nil, fail(60003, "the body is empty; send {} at least")
	case !json.Valid(body) || bytes.TrimSpace(body)[0] != '{':
		return nil, nil, fail(60003, "the body is not a JSON object")
	}
	return app, body, nil
}

func isUint32(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// checkSig verifies a UserSig and answers with IM's codes (1047/34348).
func (a *App) checkSig(userID, sig string) error {
	claims, err := a.verifier.Verify(userID, sig)
	switch {
	case err == nil && claims.Buf != nil:
		return fail(70003, "this is a PrivateMapKey, which lets a user into a room of TRTC, not a UserSig")
	case err == nil && !a.conf.Unknowns.KickKeepsSigs && a.voided(userID, claims.IssuedAt):
		return fail(70052, "the UserSig was made void by a kick")
	case err == nil:
		return nil
	case errors.Is(err, usersig.ErrExpired):
		return fail(70001, "the UserSig has expired")
	case errors.Is(err, usersig.ErrOtherUser):
		return fail(70013, "the UserSig is of another UserID")
	case errors.Is(err, usersig.ErrOtherApp):
		return fail(70014, "the UserSig is of another SDKAppID")
	case errors.Is(err, usersig.ErrSignature):
		return fail(70009, "the UserSig was made with another key")
	case errors.Is(err, usersig.ErrMalformed):
		return fail(70003, "the UserSig cannot be read")
	}
	return fail(70005, "the UserSig does not pass")
}

// voided reports whether a kick came after the UserSig's making.
func (a *App) voided(userID string, made time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.user(userID)
	return u != nil && !made.After(u.kicked)
}

// allowed counts a call against the command's rate.
func (a *App) allowed(name string, rate int) bool {
	switch {
	case a.conf.RatePerAPI < 0:
		return true
	case a.conf.RatePerAPI > 0:
		rate = a.conf.RatePerAPI
	case rate == 0:
		rate = 200
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.rates[name]
	if w == nil {
		w = &slidingWindow{}
		a.rates[name] = w
	}
	return w.take(a.clock.Now(), time.Second, rate)
}

// slidingWindow counts what happened within a span that ends now.
type slidingWindow struct{ times []time.Time }

// take counts one more unless the span already holds limit.
func (w *slidingWindow) take(now time.Time, span time.Duration, limit int) bool {
	return w.takeMany(now, span, limit, 1)
}

// takeMany is take for n at once: all or none.
func (w *slidingWindow) takeMany(now time.Time, span time.Duration, limit, n int) bool {
	start := now.Add(-span)
	i := 0
	for i < len(w.times) && !w.times[i].After(start) {
		i++
	}
	w.times = w.times[i:]
	if len(w.times)+n > limit {
		return false
	}
	for range n {
		w.times = append(w.times, now)
	}
	return true
}
