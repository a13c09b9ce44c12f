// Package matchtest is a server that starts matches, as README of group-full-starter
// describes one, for tests and for scripts/dev. It shares no code with the rule: the
// two meet on the wire.
package matchtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Start is a match that was started.
type Start struct {
	ID      string   `json:"startId"`
	GroupID string   `json:"groupId"`
	Mode    string   `json:"mode"`
	Size    int      `json:"size"`
	Captain string   `json:"captain"`
	Members []string `json:"members"`
	At      string   `json:"at"`
	Release bool     `json:"release"` // nobody plays it: taken back
}

// Fault is what happens to one call.
type Fault struct {
	Lost   bool // done, then the connection is cut
	Status int  // answered with this status; not done unless Worked
	Worked bool

	RetryAfter string // header of the answer
}

// Hook starts matches, each once. It is safe for concurrent use.
type Hook struct {
	key string
	now func() time.Time

	mu       sync.Mutex
	starts   []Start
	released map[string]bool
	bodies   map[string]string // of all calls that were believed, by Idempotency-Key
	faults   []Fault
	loseEach bool
	calls    int
	problems []string
}

// NewHook returns a hook that accepts requests signed with the key.
func NewHook(key string, now func() time.Time) *Hook {
	return &Hook{key: key, now: now, bodies: make(map[string]string), released: make(map[string]bool)}
}

// Fail makes the next calls go wrong, one fault each.
func (h *Hook) Fail(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, faults...)
}

// Recover cancels the remaining faults.
func (h *Hook) Recover() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults, h.loseEach = nil, false
}

// LoseEachOnce loses the first answer about each start.
func (h *Hook) LoseEachOnce() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loseEach = true
}

// Starts returns the matches that were started, in order.
func (h *Hook) Starts() []Start {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.starts)
}

// Released reports whether a start was taken back.
func (h *Hook) Released(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.released[id]
}

// Calls returns the number of authenticated calls.
func (h *Hook) Calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

// Problems returns what was wrong with calls.
func (h *Hook) Problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.problems)
}

// ServeHTTP implements http.Handler.
func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if problem := h.check(r.Header, body); problem != "" {
		h.problems = append(h.problems, problem)
		http.Error(w, problem, http.StatusUnauthorized)
		return
	}
	var s Start
	key := r.Header.Get("Idempotency-Key")
	err = json.Unmarshal(body, &s)
	own := s.ID
	if s.Release {
		own += "/release"
	}
	if err != nil || r.Method != http.MethodPost || s.ID == "" || own != key {
		h.problems = append(h.problems, fmt.Sprintf("not a start under its own key: %s", body))
		http.Error(w, "not a start", http.StatusBadRequest)
		return
	}
	before, known := h.bodies[key]
	if known && before != string(body) {
		h.problems = append(h.problems, fmt.Sprintf("another start under the key %q: %s and %s", key, before, body))
		http.Error(w, "another start", http.StatusUnprocessableEntity)
		return
	}
	h.bodies[key] = string(body)
	h.calls++
	var f Fault
	switch {
	case len(h.faults) > 0:
		f, h.faults = h.faults[0], h.faults[1:]
	case h.loseEach && !known:
		f.Lost = true
	}
	if s.Release && (f.Status == 0 || f.Worked) {
		h.released[s.ID] = true
		h.starts = slices.DeleteFunc(h.starts, func(other Start) bool { return other.ID == s.ID })
	} else if (f.Status == 0 || f.Worked) && !h.released[s.ID] {
		if !slices.ContainsFunc(h.starts, func(other Start) bool { return other.ID == s.ID }) {
			h.starts = append(h.starts, s)
		}
	}
	switch {
	case f.Lost:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.WriteHeader(f.Status)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// check says what keeps a call from being believed, if anything does.
func (h *Hook) check(header http.Header, body []byte) string {
	timestamp := header.Get("X-Backchannel-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := h.now().Sub(time.Unix(seconds, 0)); err != nil || age.Abs() > 5*time.Minute {
		return "the timestamp is missing, or of another time"
	}
	mac := hmac.New(sha256.New, []byte(h.key))
	fmt.Fprintf(mac, "%s.%s", timestamp, body)
	given, err := hex.DecodeString(header.Get("X-Backchannel-Signature"))
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return "the signature does not fit"
	}
	return ""
}
