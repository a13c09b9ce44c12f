package callback

import (
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

const (
	app   = 1400000001
	token = "token-of-the-tests"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// clock is a clock that stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1670574414, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

func (c *clock) seconds() string { return strconv.FormatInt(c.now().Unix(), 10) }
