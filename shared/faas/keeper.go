package faas

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// renewEvery is how often a keeper asks whether settings have changed, at the most.
	renewEvery = 5 * time.Minute
	// renewWithin bounds how long an answer may wait for that, once in renewEvery.
	renewWithin = time.Second
)

// keeper keeps the app of a function on a platform, and builds it anew once
// [App.Stale] says so. Nothing runs between invocations there, so it asks beside an
// invocation, whose answer waits for it. Where it cannot ask, or the new settings
// are not usable, the app that works stays.
type keeper struct {
	open func(context.Context) (*App, error)
	now  func() time.Time // nil: time.Now

	mu     sync.Mutex
	app    *App
	asked  time.Time    // when it was asked last, or built
	asking bool         // somebody is asking
	uses   map[*App]int // invocations under way; an app that is not in use any more is closed
}

func keep(app *App, open func(context.Context) (*App, error)) *keeper {
	k := &keeper{open: open, app: app, uses: map[*App]int{}}
	k.asked = k.time()
	return k
}

func (k *keeper) time() time.Time {
	if k.now == nil {
		return time.Now()
	}
	return k.now()
}

// use returns the app for one invocation. The caller calls done before it answers.
func (k *keeper) use(ctx context.Context) (app *App, done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	app = k.app
	k.uses[app]++
	if app.Stale == nil || k.asking || k.time().Sub(k.asked) < renewEvery {
		return app, func() { k.release(app) }
	}
	k.asking, k.asked = true, k.time()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		k.renew(context.WithoutCancel(ctx), app)
	}()
	return app, func() {
		<-renewed
		k.release(app)
	}
}

// renew puts a new app in place where the settings have changed.
func (k *keeper) renew(ctx context.Context, app *App) {
	// The new app may keep the context, so it ends only where time runs out.
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(renewWithin, cancel)
	next, err := k.changed(ctx, app)
	inTime := timer.Stop()
	if next == nil || !inTime {
		cancel()
	}
	switch {
	case err != nil:
		slog.ErrorContext(ctx, "changed settings are not in use; those from before are", "error", err.Error())
	case next != nil && !inTime:
		slog.WarnContext(ctx, "changed settings took too long to be put in use; those from before are")
		shut(next)
		next = nil
	case next != nil:
		slog.InfoContext(ctx, "changed settings are in use")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asking = false
	if next != nil {
		k.app = next
	}
}

// changed returns an app of the settings as they are now, nil where nothing has
// changed.
func (k *keeper) changed(ctx context.Context, app *App) (*App, error) {
	if stale, err := app.Stale(ctx); err != nil || !stale {
		return nil, err
	}
	return k.open(ctx)
}

// release ends one use of an app, and closes one that nobody will use again.
func (k *keeper) release(app *App) {
	k.mu.Lock()
	k.uses[app]--
	over := k.uses[app] == 0
	if over {
		delete(k.uses, app)
	}
	over = over && app != k.app
	k.mu.Unlock()
	if over {
		shut(app)
	}
}

// shut closes an app that nobody will use.
func shut(app *App) {
	if app.Close == nil {
		return
	}
	if err := app.Close(); err != nil {
		slog.Warn("closing what settings opened that are not in use", "error", err.Error())
	}
}
