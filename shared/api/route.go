package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/idem"
)

// RequestTime bounds a request of a [Route]. What is not done by then goes on without
// the caller.
const RequestTime = 25 * time.Second

// RoutesConfig configures [Mount].
type RoutesConfig struct {
	Gate    *Gate
	Keeper  *idem.Keeper // of answers to requests with an Idempotency-Key
	Origins []string     // web pages that users may call from
}

// Route is one route of an API. The answer of Do is sent as JSON with Status, or is an
// [Answer] with a status of its own.
type Route struct {
	Method, Path string
	Status       int
	Is           RouteKind
	Do           func(ctx context.Context, c Caller, r *http.Request) (any, error)
}

// RouteKind marks a route that differs from the default: a route for users and servers
// that is [Idempotent] if its method is POST.
type RouteKind int

// The kinds, which may be combined.
const (
	ForServers RouteKind = 1 << iota // for servers alone
	ForUsers                         // for users alone, about their own data
	NeedsKey                         // requires an Idempotency-Key, since it creates a record
	Unkept                           // its answer is not kept: it is a credential, or Do itself makes repeats safe
)

// On returns a [Route], whose fields stand in their order, so that a table of routes
// has a line for each.
func On(method, path string, status int, is RouteKind, do func(context.Context, Caller, *http.Request) (any, error)) Route {
	return Route{method, path, status, is, do}
}

// Answer is an answer with another status than the route's.
type Answer struct {
	Status int
	Body   any
}

// Mount adds routes to a mux. Each request passes the gate and ends within
// [RequestTime].
func Mount(mux *http.ServeMux, conf RoutesConfig, routes ...Route) {
	methods := make(map[string][]string)
	for _, route := range routes {
		methods[route.Path] = append(methods[route.Path], route.Method)
		mux.Handle(route.Method+" "+route.Path, CORS(conf.Origins, "", conf.handler(route)))
	}
	for path, allowed := range methods {
		Preflight(mux, conf.Origins, path, allowed...)
	}
}

// Preflight adds the route by which browsers ask whether a page of these origins may
// call a path with these methods.
func Preflight(mux *http.ServeMux, origins []string, path string, methods ...string) {
	mux.Handle("OPTIONS "+path, CORS(origins, strings.Join(methods, ", "), HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.MethodNotAllowed, "OPTIONS is for browsers that ask before they call")
	})))
}

func (conf RoutesConfig) handler(route Route) http.Handler {
	h := HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		v, err := route.Do(r.Context(), CallerFrom(r.Context()), r)
		if err != nil {
			return err
		}
		answer, is := v.(Answer)
		if !is {
			answer = Answer{route.Status, v}
		}
		Reply(w, answer.Status, answer.Body)
		return nil
	})
	if route.Method == http.MethodPost && route.Is&Unkept == 0 {
		h = Idempotent(conf.Keeper, h)
	}
	h = Within(RequestTime, h)
	if route.Is&NeedsKey != 0 {
		h = Keyed(h)
	}
	switch {
	case route.Is&ForServers != 0:
		return conf.Gate.Server(h)
	case route.Is&ForUsers != 0:
		h = ofUser(h)
	}
	return conf.Gate.Any(h)
}

// ofUser refuses servers.
func ofUser(h HandlerFunc) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if CallerFrom(r.Context()).UserID == "" {
			return fault.New(fault.Forbidden, "this is for the user whose data it is: call with a UserSig")
		}
		return h(w, r)
	}
}
