package wiring_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/wiring"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// feature is one whose opening a test decides.
func feature(open wiring.Open) wiring.Feature {
	return wiring.Feature{
		Name: "test", Function: "tester", Callbacks: true, Store: wiring.Required, Queue: wiring.Optional,
		Read: func(*wiring.Settings) wiring.Open { return open },
	}
}

// TestAFailedOpeningLeavesNothingOpen: SCF builds a program anew with each
// request until that works, so whatever the failed one opened must be closed.
func TestAFailedOpeningLeavesNothingOpen(t *testing.T) {
	broken := true
	for name, open := range map[string]wiring.Open{
		"an error": func(context.Context, *wiring.House) error {
			if broken {
				return errors.New("the model is not there")
			}
			return nil
		},
		"a panic": func(context.Context, *wiring.House) error {
			if broken {
				panic("the model is not there")
			}
			return nil
		},
		"a handler": func(_ context.Context, h *wiring.House) error {
			h.Routes(func(mux *http.ServeMux, _ *api.Gate) {
				if broken {
					mux.HandleFunc("GET {", nil) // panics
				}
			})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, env := t.TempDir(), kit.Settings(map[string]string{"QUEUE_URL": "bolt:{dir}/jobs.db"})
			try := func() (err error) {
				defer func() {
					if p := recover(); p != nil { // as package faas does
						err = errors.New("panicked")
					}
				}()
				app, err := build(t, wiring.Alone(feature(open), engines), dir, env)
				if err == nil {
					err = app.Close()
				}
				return err
			}
			broken = true
			for range 3 {
				if err := try(); err == nil || strings.Contains(err.Error(), "STATE_URL") || strings.Contains(err.Error(), "QUEUE_URL") {
					t.Fatalf("%v: the failed one did not let go of its files", err)
				}
			}
			broken = false
			if err := try(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFailedRulesAreRetriedWithoutAsking: no feature has to say that a callback
// whose rule failed becomes a job. Without a queue it is answered with 500.
func TestFailedRulesAreRetriedWithoutAsking(t *testing.T) {
	f := feature(func(_ context.Context, h *wiring.House) error {
		h.Callbacks(func(m *callback.Mux) {
			callback.After(m, "test", func(context.Context, *callback.GroupAfterSendMsg) error { return errors.New("away") })
		})
		return nil
	})
	for url, status := range map[string]int{"bolt:{dir}/jobs.db": http.StatusOK, "": http.StatusInternalServerError} {
		app, err := build(t, wiring.Alone(f, engines), t.TempDir(), kit.Settings(map[string]string{"QUEUE_URL": url}))
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		w := httptest.NewRecorder()
		app.HTTP.ServeHTTP(w, kit.Callback(t, kit.AfterSend("alice", 1)))
		if w.Code != status {
			t.Errorf("with queue %q: status %d, want %d: %s", url, w.Code, status, w.Body)
		}
	}
}

func TestAQueueNeedsAStore(t *testing.T) {
	f := feature(func(context.Context, *wiring.House) error { return nil })
	f.Store = wiring.Optional
	_, err := build(t, wiring.Alone(f, engines), t.TempDir(), kit.Settings(map[string]string{"STATE_URL": "", "QUEUE_URL": "bolt:{dir}/jobs.db"}))
	if err == nil || !strings.Contains(err.Error(), "STATE_URL: required with QUEUE_URL") {
		t.Error(err)
	}
}

// TestJobsOfThisMachine are carried out in the process, and only by programs
// that are there for jobs.
func TestJobsOfThisMachine(t *testing.T) {
	f := feature(func(context.Context, *wiring.House) error { return nil })
	all, env := []wiring.Feature{f}, kit.Settings(map[string]string{"QUEUE_URL": "bolt:{dir}/jobs.db"})
	for name, tt := range map[string]struct {
		program wiring.Program
		works   bool
	}{
		"its own function": {wiring.Alone(f, engines), false},
		"router":           {wiring.Router(all, engines), false},
		"worker":           {wiring.Worker(all, nil, engines), true},
		"bundle":           {wiring.Bundle(all, nil, nil, engines, nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := build(t, tt.program, t.TempDir(), env)
			if err != nil {
				t.Fatal(err)
			}
			if (app.Job != nil) != tt.works || (app.Run != nil) != tt.works {
				t.Errorf("Job %v, Run %v", app.Job != nil, app.Run != nil)
			}
			if app.Run != nil {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := app.Run(ctx); err != nil {
					t.Errorf("running: %v", err)
				}
			}
			if err := app.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
