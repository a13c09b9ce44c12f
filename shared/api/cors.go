package api

import (
	"net/http"
	"slices"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// CORS lets web pages of the origins named call a handler from a browser, and
// answers their preflight requests. Other origins get no permission, and with
// no origins named nobody does. Credentials travel in the Authorization
// header, never in cookies.
func CORS(origins []string, methods string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		w.Header().Add("Vary", "Origin")
		allowed := origin != "" && slices.Contains(origins, origin)
		if allowed {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", "Idempotent-Replayed, Retry-After")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if allowed {
				w.Header().Set("Access-Control-Allow-Methods", methods)
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key")
				w.Header().Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Routes wraps a ServeMux so that unknown routes and wrong methods are answered
// in the shape of all other errors.
func Routes(mux *http.ServeMux) http.Handler { return &routes{mux} }

type routes struct{ mux *http.ServeMux }

func (s *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &headerOnly{header: make(http.Header)}
	s.mux.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		WriteError(w, r, methodNotAllowed(allow))
		return
	}
	WriteError(w, r, errNoRoute)
}

// headerOnly sees what the mux would have answered.
type headerOnly struct {
	header http.Header
	status int
}

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h *headerOnly) WriteHeader(status int)      { h.status = status }

var errNoRoute = fault.New(fault.NotFound, "there is nothing at this path")

func methodNotAllowed(allow string) error {
	return fault.New(fault.MethodNotAllowed, "this path takes %s", allow)
}
