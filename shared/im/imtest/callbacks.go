package imtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Patience of IM and habits of its callbacks (1047/34354, 269/1522).
const (
	defaultCallbackTimeout = 2 * time.Second
	callbackRetries        = 3               // the number is not documented
	callbackRetryPause     = 5 * time.Second // nor is the pause
	maxCallbackAnswer      = 1 << 20
	callbackConnections    = 64
	callbacksKept          = 2000
)

// origin is who made something happen: the part of a callback that is only in
// its query.
type origin struct {
	platform string // RESTAPI, Web, iOS, ...
	ip       string
}

var fromREST = origin{platform: "RESTAPI", ip: "127.0.0.1"}

// notice is a callback on its way.
type notice struct {
	command string
	body    object
	from    origin
	bare    bool // its query has no ClientIP and OptPlatform
}

// Callback is a callback that was sent, with its answer.
type Callback struct {
	N       int             `json:"n"`
	At      time.Time       `json:"at"`
	Command string          `json:"command"`
	Try     int             `json:"try"`    // 1, or more for a retry
	Millis  float64         `json:"millis"` // of real time, until the answer
	Status  int             `json:"status"` // HTTP; 0: no answer in time
	Failed  bool            `json:"failed"` // no valid answer
	Query   string          `json:"query"`  // with the signature
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	// Verdict is what a before-callback's answer means: allow, reject, drop,
	// rewrite (also: some members refused) or failed.
	Verdict string `json:"verdict,omitempty"`
	// ReplayOf is the number of the callback whose request Replay repeated.
	ReplayOf int `json:"replayOf,omitempty"`

	from origin // with Command and Request, what a replay needs
	bare bool
}

// postman sends an app's callbacks: the after-callbacks in the order of what
// they tell of, over a few connections at once.
type postman struct {
	app    *App
	client *http.Client

	mu      sync.Mutex
	idle    sync.Cond
	queue   []posting
	working int     // senders
	held    *notice // waits for the next one to overtake it
	byName  map[string]int
	era     int // of resets: what was posted before the last one is not sent

	sent journal[Callback]
}

// posting is an after-callback in the queue.
type posting struct {
	notice
	signedAt time.Time
	try      int
	era      int
	replayOf *Callback // whose request it repeats, instead of the notice's body
}

func newPostman(a *App) *postman {
	p := &postman{
		app: a, byName: make(map[string]int), sent: journal[Callback]{keep: callbacksKept},
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: callbackConnections},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	p.idle.L = &p.mu
	return p
}

// wants reports whether the console has the command switched on.
func (a *App) wants(command string) bool {
	c := a.console.Load()
	return c.CallbackURL != "" && command != "" && (c.Callbacks == nil || slices.Contains(c.Callbacks, command))
}

// before asks the backend and waits for its verdict. It must be called without
// the app's lock. IM never repeats these.
func (a *App) before(n notice) verdict {
	if !a.wants(n.command) {
		return verdict{}
	}
	signedAt := a.clock.Now()
	if delay, ok := a.chaos.beforeDelay(); ok {
		a.clock.sleep(context.Background(), delay)
	}
	return readVerdict(a.post.send(posting{notice: n, signedAt: signedAt, try: 1}).Answer)
}

// after sends a callback whose answer IM ignores. It does not wait; see
// [App.Settle].
func (a *App) after(n notice) {
	if !a.wants(n.command) {
		return
	}
	p, plan := a.post, a.chaos.afterPlan()
	switch {
	case plan.drop:
	case plan.hold:
		p.mu.Lock()
		previous := p.held
		p.held = &n
		p.mu.Unlock()
		if previous != nil {
			p.launch(*previous, 0)
		}
		a.clock.after(plan.delay, func() { p.releaseHeld(&n) })
	default:
		for range 1 + plan.copies {
			p.launch(n, plan.delay)
		}
		p.releaseHeld(nil)
	}
}

// releaseHeld sends the callback that was held back: the one given, or
// whichever it is.
func (p *postman) releaseHeld(which *notice) {
	p.mu.Lock()
	n := p.held
	if n == nil || which != nil && n != which {
		p.mu.Unlock()
		return
	}
	p.held = nil
	p.mu.Unlock()
	p.launch(*n, 0)
}

func (p *postman) launch(n notice, delay time.Duration) {
	p.mu.Lock()
	post := posting{notice: n, signedAt: p.app.clock.Now(), try: 1, era: p.era}
	p.mu.Unlock()
	if delay > 0 {
		p.app.clock.after(delay, func() { p.enqueue(post) })
		return
	}
	p.enqueue(post)
}

// enqueue has a callback sent, by a sender of its own as long as there are few.
func (p *postman) enqueue(post posting) {
	most := p.app.conf.CallbackConnections
	if most == 0 {
		most = callbackConnections
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if post.era != p.era {
		return
	}
	p.queue = append(p.queue, post)
	if p.working < most {
		p.working++
		go p.work()
	}
}

// work sends what is queued until nothing is.
func (p *postman) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		post := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		p.sendAfter(post)
		p.mu.Lock()
	}
	p.working--
	if p.working == 0 {
		p.idle.Broadcast()
	}
}

// sendAfter sends an after-callback and has it repeated if it failed and the
// console says so.
func (p *postman) sendAfter(post posting) {
	select {
	case <-p.app.done:
		return
	default:
	}
	record := p.send(post)
	if !record.Failed || !p.app.console.Load().RetryCallbacks || post.try > callbackRetries {
		return
	}
	post.try++
	p.app.clock.after(callbackRetryPause, func() {
		if p.app.conf.Unknowns.RetryRenewsTime {
			post.signedAt = p.app.clock.Now()
		}
		p.enqueue(post)
	})
}

// reset forgets what was sent and what is to be.
func (p *postman) reset() {
	p.mu.Lock()
	p.era++
	p.queue, p.held, p.byName = nil, nil, make(map[string]int)
	p.mu.Unlock()
	p.sent.clear()
}

// send makes one HTTP request and remembers what came of it.
func (p *postman) send(post posting) Callback {
	record := Callback{At: p.app.clock.Now(), Command: post.command, Try: post.try, Failed: true, from: post.from, bare: post.bare}
	if post.replayOf != nil {
		record.Request, record.ReplayOf = post.replayOf.Request, post.replayOf.N
	} else {
		var err error
		if record.Request, err = json.Marshal(object{"CallbackCommand", post.command}.with(post.body...)); err != nil {
			panic("imtest: a callback does not marshal: " + err.Error())
		}
	}
	address := p.app.callbackURL(post.notice, post.signedAt)
	record.Query = address[strings.LastIndexByte(address, '?')+1:]
	timeout := p.app.conf.CallbackTimeout
	if timeout == 0 {
		timeout = defaultCallbackTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	start := time.Now()
	if req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(record.Request)); err == nil {
		req.Header.Set("Content-Type", "application/json")
		if resp, err := p.client.Do(req); err == nil {
			answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCallbackAnswer))
			_ = resp.Body.Close()
			record.Status = resp.StatusCode
			if err == nil && resp.StatusCode == http.StatusOK && json.Valid(answer) {
				record.Failed = false
				record.Answer = answer
			}
		}
	}
	record.Millis = float64(time.Since(start).Microseconds()) / 1000
	if f, before := families[post.command]; before {
		record.Verdict = p.app.word(f, readVerdict(record.Answer))
	}
	p.mu.Lock()
	p.byName[record.Command]++
	p.mu.Unlock()
	return p.sent.add(func(n int) Callback {
		record.N = n
		return record
	})
}

// callbackURL appends IM's query to the configured URL, in IM's order.
func (a *App) callbackURL(n notice, signedAt time.Time) string {
	c := a.console.Load()
	var q strings.Builder
	q.WriteString(c.CallbackURL)
	if strings.Contains(c.CallbackURL, "?") {
		q.WriteByte('&')
	} else {
		q.WriteByte('?')
	}
	q.WriteString("SdkAppid=" + strconv.FormatUint(uint64(a.conf.SDKAppID), 10))
	q.WriteString("&CallbackCommand=" + url.QueryEscape(n.command) + "&contenttype=json")
	if !n.bare {
		q.WriteString("&ClientIP=" + url.QueryEscape(n.from.ip) + "&OptPlatform=" + url.QueryEscape(n.from.platform))
	}
	if c.CallbackToken != "" {
		t := strconv.FormatInt(signedAt.Unix(), 10)
		sum := sha256.Sum256([]byte(c.CallbackToken + t))
		q.WriteString("&Sign=" + hex.EncodeToString(sum[:]) + "&RequestTime=" + t)
	}
	return q.String()
}

// eventTime is the EventTime field of a callback, in milliseconds.
func (a *App) eventTime() any {
	ms := a.clock.Now().UnixMilli()
	if a.conf.Unknowns.EventTimeAsText {
		return strconv.FormatInt(ms, 10)
	}
	return ms
}

// Settle waits until every callback has been answered, except those that a delay or a
// retry pause holds back. Settle fails if ctx ends first.
func (a *App) Settle(ctx context.Context) error {
	p := a.post
	p.releaseHeld(nil)
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.idle.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.working > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.idle.Wait()
	}
	return nil
}

// Callbacks returns the latest callbacks sent, oldest first, at least the last
// two thousand of them.
func (a *App) Callbacks() []Callback { return a.post.sent.all() }

// CallbacksSince returns the callbacks sent after the one with number n, as far
// as they are kept, and a channel that is closed when there are more.
func (a *App) CallbacksSince(n int) ([]Callback, <-chan struct{}) {
	list, _, more := a.post.sent.since(n)
	return list, more
}

// Replay sends a kept callback's request a second time, with a new signature, and
// returns the new callback. The answer changes nothing in the app.
func (a *App) Replay(n int) (Callback, error) {
	list, first, _ := a.post.sent.since(n - 1)
	if len(list) == 0 || first != n {
		return Callback{}, fail(10004, "no such callback is kept")
	}
	old := list[0]
	return a.post.send(posting{
		notice: notice{command: old.Command, from: old.from, bare: old.bare}, signedAt: a.clock.Now(), try: 1, replayOf: &old,
	}), nil
}

// CallbackCount returns how often a command was sent, retries included.
func (a *App) CallbackCount(command string) int {
	a.post.mu.Lock()
	defer a.post.mu.Unlock()
	return a.post.byName[command]
}
