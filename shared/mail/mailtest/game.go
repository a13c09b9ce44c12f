// Package mailtest is a game's server with the inventories of its players, as README
// of mail-carrier describes one, for tests and for scripts/dev. It shares no code with
// the rule: the two meet on the wire.
package mailtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Item is a number of things of a kind.
type Item struct {
	ItemID string `json:"itemId"`
	Count  int64  `json:"count"`
}

// Fault is what happens to one call.
type Fault struct {
	Lost   bool // done, then the connection is cut
	Status int  // answered with this status; not done unless Worked
	Worked bool
}

// Call is a call that the game got.
type Call struct {
	Op       string `json:"op"`
	ID       string `json:"id"`
	MailID   string `json:"mailId"`
	TradeID  string `json:"tradeId"`
	Side     string `json:"side"`
	UserID   string `json:"userId"`
	Items    []Item `json:"items"`
	Receives []Item `json:"receives"`
	Moves    []struct {
		Side  string `json:"side"`
		From  string `json:"from"`
		To    string `json:"to"`
		Items []Item `json:"items"`
	} `json:"moves"`
}

type side struct{ trade, side string }

type hold struct {
	user            string
	items, receives []Item
}

type answer struct {
	body   string
	status int
}

// Game is the server. It is safe for concurrent use.
type Game struct {
	key string
	now func() time.Time

	mu       sync.Mutex
	items    map[string]map[string]int64 // by player and item
	room     map[string]int64            // how many pieces a player has room for; absent: any number
	holds    map[side]hold
	released map[side]bool
	answers  map[string]answer // by Idempotency-Key
	calls    map[string]int    // by Idempotency-Key
	grants   map[string]int    // granted, by "mail user"
	ends     map[side]int      // how often a hold ended
	faults   func(c Call, n int) Fault
	problems []string
}

// NewGame returns a game that accepts requests signed with the key.
func NewGame(key string, now func() time.Time) *Game {
	return &Game{
		key: key, now: now, items: make(map[string]map[string]int64), room: make(map[string]int64), holds: make(map[side]hold),
		released: make(map[side]bool), answers: make(map[string]answer), calls: make(map[string]int), grants: make(map[string]int),
		ends: make(map[side]int),
	}
}

// Give puts items into a player's inventory.
func (g *Game) Give(user, item string, count int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(user, []Item{{item, count}}, 1)
}

// Room bounds the pieces that a player's inventory holds.
func (g *Game) Room(user string, pieces int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.room[user] = pieces
}

// Fail decides what happens to the n-th call under a key, counted from 1; nil: nothing.
func (g *Game) Fail(faults func(c Call, n int) Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = faults
}

// Inventory returns a player's items, without held items.
func (g *Game) Inventory(user string) map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.items[user])
}

// Total returns the number of pieces of an item, held pieces included.
func (g *Game) Total(item string) (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, has := range g.items {
		n += has[item]
	}
	for _, h := range g.holds {
		n += count(h.items, item)
	}
	return n
}

// Held returns how many holds there are.
func (g *Game) Held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.holds)
}

// Granted returns how often a mail's attachments were granted to a player.
func (g *Game) Granted(mail, user string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.grants[mail+" "+user]
}

// Calls returns how many calls there were under a key.
func (g *Game) Calls(key string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[key]
}

// Problems returns what was wrong with calls, and holds that ended more than once.
func (g *Game) Problems() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := slices.Clone(g.problems)
	for s, n := range g.ends {
		if n > 1 {
			list = append(list, fmt.Sprintf("hold %v ended %d times", s, n))
		}
	}
	return list
}

// ServeHTTP implements http.Handler.
func (g *Game) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if problem := g.check(r.Header, body); problem != "" {
		g.problems = append(g.problems, problem)
		http.Error(w, problem, http.StatusUnauthorized)
		return
	}
	var c Call
	key := r.Header.Get("Idempotency-Key")
	if err := json.Unmarshal(body, &c); err != nil || r.Method != http.MethodPost || c.ID == "" || c.ID != key {
		g.problems = append(g.problems, fmt.Sprintf("not a call under its own key: %s", body))
		http.Error(w, "not a call", http.StatusBadRequest)
		return
	}
	before, known := g.answers[key]
	if known && before.body != string(body) {
		g.problems = append(g.problems, fmt.Sprintf("another call under the key %q: %s and %s", key, before.body, body))
		http.Error(w, "another call", http.StatusUnprocessableEntity)
		return
	}
	g.calls[key]++
	var f Fault
	if g.faults != nil {
		f = g.faults(c, g.calls[key])
	}
	status := before.status
	if !known && (f.Status == 0 || f.Worked) {
		status = g.do(c)
		g.answers[key] = answer{string(body), status}
	}
	switch {
	case f.Lost:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		status = f.Status
	}
	w.WriteHeader(status)
}

// check says what keeps a call from being believed, if anything does.
func (g *Game) check(h http.Header, body []byte) string {
	timestamp := h.Get("X-Backchannel-Timestamp")
	mac := hmac.New(sha256.New, []byte(g.key))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case !hmac.Equal([]byte(h.Get("X-Backchannel-Signature")), []byte(hex.EncodeToString(mac.Sum(nil)))):
		return "the signature is wrong"
	case err != nil || g.now().Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute:
		return "the timestamp is not of now"
	}
	return ""
}

// do carries out a call and returns its status. 422 refuses.
func (g *Game) do(c Call) int {
	at := side{c.TradeID, c.Side}
	switch c.Op {
	case "grant":
		if !g.fits(c.UserID, c.Items) {
			return http.StatusUnprocessableEntity
		}
		g.add(c.UserID, c.Items, 1)
		g.grants[c.MailID+" "+c.UserID]++
	case "hold":
		if g.released[at] || !g.has(c.UserID, c.Items) || !g.fits(c.UserID, c.Receives) {
			return http.StatusUnprocessableEntity
		}
		g.add(c.UserID, c.Items, -1)
		g.holds[at] = hold{c.UserID, c.Items, c.Receives}
	case "release":
		if h, held := g.holds[at]; held {
			g.add(h.user, h.items, 1)
			delete(g.holds, at)
			g.ends[at]++
		}
		g.released[at] = true // a hold that comes later is refused
	case "move":
		for _, m := range c.Moves {
			if h, held := g.holds[side{c.TradeID, m.Side}]; len(m.Items) > 0 && (!held || h.user != m.From) {
				return http.StatusUnprocessableEntity
			}
		}
		for _, m := range c.Moves {
			s := side{c.TradeID, m.Side}
			h := g.holds[s]
			if _, held := g.holds[s]; held {
				g.ends[s]++
			}
			delete(g.holds, s)
			g.add(m.To, h.items, 1)
		}
	default:
		g.problems = append(g.problems, "unknown op "+c.Op)
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func (g *Game) add(user string, items []Item, sign int64) {
	has := g.items[user]
	if has == nil {
		has = make(map[string]int64)
		g.items[user] = has
	}
	for _, i := range items {
		if has[i.ItemID] += sign * i.Count; has[i.ItemID] == 0 {
			delete(has, i.ItemID)
		}
	}
}

func (g *Game) has(user string, items []Item) bool {
	return !slices.ContainsFunc(items, func(i Item) bool { return g.items[user][i.ItemID] < i.Count })
}

// fits reports whether a player has room for items, beside what is on its way.
func (g *Game) fits(user string, items []Item) bool {
	room, limited := g.room[user]
	if !limited {
		return true
	}
	var n int64
	for _, has := range g.items[user] {
		n += has
	}
	for _, h := range g.holds {
		if h.user == user {
			n += pieces(h.receives)
		}
	}
	return n+pieces(items) <= room
}

func pieces(items []Item) (n int64) {
	for _, i := range items {
		n += i.Count
	}
	return n
}

func count(items []Item, id string) (n int64) {
	for _, i := range items {
		if i.ItemID == id {
			n += i.Count
		}
	}
	return n
}
