package faas

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSettingsAreRenewed: changed settings are in use with the first invocation five
// minutes later or the one after; what cannot be read or used leaves what works.
func TestSettingsAreRenewed(t *testing.T) {
	now := time.Unix(1796000000, 0)
	asked, closed := 0, 0
	changed, lost := false, error(nil)
	app := func() *App {
		return &App{
			Stale: func(context.Context) (bool, error) { asked++; return changed, lost },
			Close: func() error { closed++; return nil },
		}
	}
	first := app()
	var next *App
	var unusable error
	k := keep(first, func(context.Context) (*App, error) { return next, unusable })
	k.now, k.asked = func() time.Time { return now }, now
	// invoke returns the app that an invocation gets.
	invoke := func() *App {
		got, done := k.use(t.Context())
		done()
		return got
	}
	steps := []struct {
		what   string
		do     func()
		asked  int
		closed int
		gets   func() *App // what the invocation after gets
	}{
		{"it is too early to ask", func() {}, 0, 0, func() *App { return first }},
		{"nothing has changed", func() { now = now.Add(renewEvery) }, 1, 0, func() *App { return first }},
		{"it was asked just now", func() { now = now.Add(time.Minute) }, 1, 0, func() *App { return first }},
		{"the secrets service is away", func() { now, lost = now.Add(renewEvery), errors.New("away") }, 2, 0, func() *App { return first }},
		{"the new settings are not usable", func() { now, lost, changed, unusable = now.Add(renewEvery), nil, true, errors.New("SECRET: required") }, 3, 0, func() *App { return first }},
		{"the settings have changed", func() { now, unusable, next = now.Add(renewEvery), nil, app() }, 4, 1, func() *App { return next }},
	}
	for _, s := range steps {
		s.do()
		if got := invoke(); got != first {
			t.Errorf("%s: the invocation that asks gets another app", s.what)
		}
		if asked != s.asked || closed != s.closed {
			t.Errorf("%s: asked %d times, closed %d; want %d and %d", s.what, asked, closed, s.asked, s.closed)
		}
		if got := invoke(); got != s.gets() {
			t.Errorf("%s: the invocation after gets another app", s.what)
		}
	}
}

// TestAnAppInUseStaysOpen: what former settings opened is closed once the last
// invocation that uses it has answered.
func TestAnAppInUseStaysOpen(t *testing.T) {
	now := time.Unix(1796000000, 0)
	closed := false
	first := &App{Stale: func(context.Context) (bool, error) { return true, nil }, Close: func() error { closed = true; return nil }}
	k := keep(first, func(context.Context) (*App, error) { return &App{}, nil })
	k.now, k.asked = func() time.Time { return now }, now
	_, slow := k.use(t.Context())
	now = now.Add(time.Hour)
	_, done := k.use(t.Context())
	done()
	if k.app == first || closed {
		t.Errorf("renewed %v, closed %v", k.app != first, closed)
	}
	slow()
	if !closed || len(k.uses) != 0 {
		t.Errorf("closed %v, in use %d", closed, len(k.uses))
	}
}
