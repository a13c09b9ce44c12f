package faas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/metric"
	"github.com/backchannel-im/backchannel/shared/version"
)

// server is the app's handler with what every deployable does around it: health,
// the log line, and a bland answer to a panic. It is the same on all platforms.
type server struct {
	name string
	app  http.Handler
}

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	sent := &statusWriter{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			logPanic(r.Context(), "request", p)
			if sent.status != 0 {
				// Too late for an answer: cut it off, so that nobody takes the
				// half for the whole.
				logRequest(r, http.StatusInternalServerError, start)
				panic(http.ErrAbortHandler)
			}
			sent.Header().Set("Content-Type", "application/json")
			sent.WriteHeader(http.StatusInternalServerError)
			_, _ = sent.Write(blandBody(r.Context()))
		}
		logRequest(r, sent.status, start)
	}()
	if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		s.health(sent, r)
	} else {
		s.app.ServeHTTP(sent, r)
	}
	if sent.status == 0 {
		sent.WriteHeader(http.StatusOK)
	}
}

func (s server) health(w http.ResponseWriter, r *http.Request) {
	r.Pattern = "GET /healthz"
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(struct {
		Status   string `json:"status"`
		Function string `json:"function"`
		Version  string `json:"version"`
	}{"ok", s.name, version.Version})
}

// logRequest logs the route's template; the path and the query may hold secrets
// and say nothing that the template does not.
func logRequest(r *http.Request, status int, start time.Time) {
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	method := r.Method
	if !isMethod(method) { // a client may send anything over a plain socket
		method = "other"
	}
	metric.Requests.Add(1, r.Pattern, strconv.Itoa(status/100)+"xx")
	metric.RequestTime.Add(milliseconds(start), r.Pattern)
	slog.LogAttrs(r.Context(), level, "request",
		slog.String("method", method),
		slog.String("route", r.Pattern),
		slog.Int("status", status),
		slog.Float64("ms", milliseconds(start)))
}

func milliseconds(since time.Time) float64 {
	return float64(time.Since(since).Microseconds()) / 1000
}

func logPanic(ctx context.Context, during string, p any) {
	slog.ErrorContext(ctx, "panic", "during", during, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

// blandBody is the answer to what only the log may explain.
func blandBody(ctx context.Context) []byte {
	face := fault.Of(errors.New("internal"))
	b, _ := json.Marshal(map[string]any{"error": map[string]string{
		"code": string(face.Code), "message": face.Message, "requestId": fault.RequestID(ctx),
	}})
	return b
}

// statusWriter remembers the status sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
