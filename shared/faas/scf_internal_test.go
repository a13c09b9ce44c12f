package faas

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
)

// Invocations that come while the app is being opened share what comes of it,
// a failure too; the next invocation tries again.
func TestOpeningIsShared(t *testing.T) {
	locked := errors.New("the store is locked")
	attempts := 0 // only one attempt runs at a time
	h := &scfHandler{name: "test", open: func(context.Context) (*App, error) {
		attempts++
		if attempts == 1 {
			return nil, locked
		}
		return &App{HTTP: http.NotFoundHandler()}, nil
	}}
	if _, err := h.opened(t.Context()); !errors.Is(err, locked) {
		t.Fatalf("got %v", err)
	}

	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := h.opened(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if attempts != 2 {
		t.Errorf("%d attempts, want the failed one and one more", attempts)
	}
}
