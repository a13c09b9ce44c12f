package imtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the routes for pages and for control share: who may call them, bodies,
// errors and event streams.

// guarded lets only pages through that the emulator knows. On a loopback address
// a name that leads there from elsewhere (DNS rebinding) is refused; anywhere, a
// page of another origin, unless Options.Origins has it.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !properHost(r) {
			refuse(w, http.StatusForbidden, fail(http.StatusForbidden, "the Host is not of this machine"))
			return
		}
		origin := r.Header.Get("Origin")
		w.Header().Add("Vary", "Origin")
		switch {
		case origin == "", origin == "http://"+r.Host, origin == "https://"+r.Host:
		case slices.Contains(s.origins, origin):
			w.Header().Set("Access-Control-Allow-Origin", origin)
		default:
			refuse(w, http.StatusForbidden, fail(http.StatusForbidden, "pages of this origin are not allowed"))
			return
		}
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
			w.Header().Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// properHost reports whether the Host names this machine, where the connection
// came over loopback.
func properHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !isLoopback(local.String()) {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || isLoopback(r.Host) || isLoopback(host)
}

// isLoopback reports whether an address, with a port or without, is this machine's.
func isLoopback(addr string) bool {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	ip := net.ParseIP(strings.Trim(addr, "[]"))
	return ip != nil && ip.IsLoopback()
}

// maxWebBody bounds what a page sends, in bytes.
const maxWebBody = 64 << 10

// takes makes a handler of a function that answers a JSON object with another.
// Unknown fields are refused, so that a page's mistake shows.
func takes[T any](f func(r *http.Request, in T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := readJSON(w, r, &in); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answerWeb(w, r, func(r *http.Request) (any, error) { return f(r, in) })
	}
}

// gives makes a handler of a function that needs no body.
func gives(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answerWeb(w, r, f) }
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWebBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fail(60003, "the body does not fit: "+err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(60003, "something follows the body")
	}
	return nil
}

func answerWeb(w http.ResponseWriter, r *http.Request, f func(r *http.Request) (any, error)) {
	out, err := f(r)
	if err != nil {
		refuse(w, webStatus(Code(err)), err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// webStatus is the HTTP status for a code of IM: 401 for who has no login or no
// right one, 422 for everything else that IM refuses.
func webStatus(code int) int {
	switch {
	case code == Code(errLoggedOut), code >= 70000 && code < 71000:
		return http.StatusUnauthorized
	case code == Code(errNoSuch):
		return http.StatusNotFound
	}
	return http.StatusUnprocessableEntity
}

// errNoSuch is for control: the path names an app, callback or user that is not.
var errNoSuch = fail(http.StatusNotFound, "no such thing here")

func refuse(w http.ResponseWriter, status int, err error) {
	info := err.Error()
	var e *Error
	if errors.As(err, &e) {
		info = e.Info
	}
	writeJSON(w, status, object{"error", object{"code", Code(err), "message", info}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("imtest: an answer does not marshal: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// beat is how often a silent event stream shows that it lives, in real time.
const beat = 15 * time.Second

// lastEvent is the number of the event after which a stream goes on: the
// browser's Last-Event-ID, or at first the query's after.
func lastEvent(r *http.Request) (int, error) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("after")
	}
	if last == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		return 0, fail(10004, "Last-Event-ID is no number")
	}
	return n, nil
}

// stream writes a journal as server-sent events, from the one after number n on,
// until the journal ends or the reader goes. name is the type of each event.
func stream[T any](s *Server, w http.ResponseWriter, r *http.Request, j *journal[T], n int, name func(T) string) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	if _, err := io.WriteString(w, "retry: 1000\n\n"); err != nil || flush.Flush() != nil {
		return
	}
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for {
		entries, first, more := j.since(n)
		for i, entry := range entries {
			n = first + i
			data, err := json.Marshal(entry)
			if err != nil {
				panic("imtest: an event does not marshal: " + err.Error())
			}
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", n, name(entry), data); err != nil {
				return
			}
		}
		if flush.Flush() != nil || more == nil {
			return
		}
		select {
		case <-more:
		case <-beats.C:
			if _, err := io.WriteString(w, ": here\n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		}
	}
}
