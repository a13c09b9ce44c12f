// Command testfunc is the function that the tests of faas drive: it tells what
// reached it, and misbehaves on demand.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// earlyGreeting is read before main, as a careless package might do.
var earlyGreeting = os.Getenv("GREETING")

func main() { faas.Main("testfunc", build) }

func build(_ context.Context, set *config.Reader) (*faas.App, error) {
	greeting := set.Text(config.Setting{
		Name: "GREETING", Meaning: "what GET /greeting answers", Format: "any text", Required: true,
	})
	set.Int(config.Setting{
		Name: "LIMIT", Meaning: "read and not used", Format: "1 to 9", Default: "1",
	}, 1, 9)
	set.Text(config.Setting{
		Name: "TOKEN", Meaning: "read and not used", Format: "any text", Secret: true,
	})
	does := set.List(config.Setting{
		Name: "DOES", Meaning: "what the function does", Format: "some of http,job,tick,run", Default: "http,job,tick,run",
	})
	start := set.Choice(config.Setting{
		Name: "START", Meaning: "how the start goes", Format: "well, error or panic", Default: "well",
	}, "well", "error", "panic")
	if err := set.Err(); err != nil {
		return nil, err
	}
	slog.Info("building")
	switch start {
	case "error":
		return nil, errors.New("the store is locked")
	case "panic":
		panic("broken wiring")
	}
	app := &faas.App{Close: func() error {
		slog.Info("closed")
		return nil
	}}
	for _, what := range does {
		switch what {
		case "http":
			app.HTTP = routes(greeting)
		case "job":
			app.Job = job
		case "tick":
			app.Tick = func(ctx context.Context) error {
				slog.InfoContext(ctx, "ticked")
				return nil
			}
		case "failing-tick":
			app.Tick = func(context.Context) error { return errors.New("the clock stands still") }
		case "run":
			app.Run = func(ctx context.Context) error {
				slog.Info("working")
				<-ctx.Done()
				slog.Info("worked")
				return nil
			}
		case "failing-run":
			app.Run = func(context.Context) error { return errors.New("the queue is gone") }
		}
	}
	return app, nil
}

// seen is what a handler could see of a request.
type seen struct {
	Method     string      `json:"method"`
	Path       string      `json:"path"`
	RawPath    string      `json:"rawPath"`
	ID         string      `json:"id"`
	RawQuery   string      `json:"rawQuery"`
	Query      query       `json:"query"`
	Header     http.Header `json:"header"`
	Host       string      `json:"host"`
	RemoteAddr string      `json:"remoteAddr"`
	Body       []byte      `json:"body"`
	Length     int64       `json:"length"`
	RequestID  string      `json:"requestID"`
	Deadline   bool        `json:"deadline"`
	Ended      bool        `json:"ended"`
}

type query = map[string][]string

func routes(greeting string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo/{id...}", echo)
	mux.HandleFunc("GET /greeting", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"early": earlyGreeting, "greeting": greeting})
	})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("kaput: secret detail") })
	mux.HandleFunc("GET /panic/late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("half an answer ", 1000))
		panic("kaput in the middle")
	})
	mux.HandleFunc("GET /binary", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write([]byte{0xff, 0x00, 0xfe, 'b', '"'})
	})
	mux.HandleFunc("GET /cookies", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	})
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, _ *http.Request) {
		for range 7 {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
		}
	})
	mux.HandleFunc("GET /plain", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("X-Many", "one")
		w.Header().Add("X-Many", "two")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "too late")
		_, _ = io.WriteString(w, "<html>short & stout</html>")
	})
	mux.HandleFunc("GET /nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /until-deadline", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusGatewayTimeout)
	})
	mux.HandleFunc("GET /until-sigterm", func(w http.ResponseWriter, _ *http.Request) {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		slog.Info("waiting for SIGTERM")
		<-signals
		_, _ = io.WriteString(w, "finished")
	})
	return mux
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, deadline := r.Context().Deadline()
	slog.InfoContext(r.Context(), "echoing")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(seen{
		Method: r.Method, Path: r.URL.Path, RawPath: r.URL.EscapedPath(), ID: r.PathValue("id"),
		RawQuery: r.URL.RawQuery, Query: r.URL.Query(), Header: r.Header, Host: r.Host, RemoteAddr: r.RemoteAddr,
		Body: body, Length: r.ContentLength,
		RequestID: fault.RequestID(r.Context()), Deadline: deadline, Ended: r.Context().Err() != nil,
	})
}

// job does what its body says.
func job(ctx context.Context, body []byte) error {
	slog.InfoContext(ctx, "working on job", "body", string(body))
	switch {
	case bytes.Contains(body, []byte("fail")):
		return errors.New("the desk is closed")
	case bytes.Contains(body, []byte("panic")):
		panic("kaput")
	case bytes.Contains(body, []byte("endless")):
		<-ctx.Done()
		return ctx.Err()
	case bytes.Contains(body, []byte("half")): // takes most of the time there is
		deadline, _ := ctx.Deadline()
		<-time.After(time.Until(deadline) * 6 / 10)
	}
	return nil
}
