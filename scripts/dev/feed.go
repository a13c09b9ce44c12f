package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
)

// kept is how many exchanges a page that opens late still gets.
const kept = 200

// entry is one callback with its answer, as the page shows it.
type entry struct {
	ID       int             `json:"id"`
	At       time.Time       `json:"at"`
	Command  string          `json:"command"`
	Status   int             `json:"status"`
	Verdict  string          `json:"verdict"`
	Rule     string          `json:"rule,omitempty"` // that refused or rewrote
	Why      any             `json:"why,omitempty"`  // what the rule explained
	Millis   float64         `json:"millis"`
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

// feed remembers the latest callbacks and passes them to every open page.
type feed struct {
	mu      sync.Mutex
	last    int
	entries []entry
	pages   map[chan entry]struct{}
}

func newFeed() *feed { return &feed{pages: make(map[chan entry]struct{})} }

// add is the endpoint's observer. A page that does not keep up misses entries
// rather than slowing the callback.
func (f *feed) add(x callback.Exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e := entry{
		ID: f.last, At: x.At, Command: x.Command, Status: x.Status, Verdict: x.Verdict, Rule: x.Rule, Why: x.Why,
		Millis:  float64(x.Latency.Microseconds()) / 1000,
		Request: asJSON(x.Body), Response: asJSON(x.Answer),
	}
	f.entries = append(f.entries, e)
	if len(f.entries) > kept {
		f.entries = f.entries[len(f.entries)-kept:]
	}
	for page := range f.pages {
		select {
		case page <- e:
		default:
		}
	}
}

// find returns a remembered callback.
func (f *feed) find(id int) (entry, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if e.ID == id {
			return e, true
		}
	}
	return entry{}, false
}

// asJSON keeps JSON as it is and shows anything else as a string.
func asJSON(b []byte) json.RawMessage {
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	quoted, _ := json.Marshal(string(b)) // a string always marshals
	return quoted
}

func (f *feed) open() (past []entry, live chan entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	live = make(chan entry, 64)
	f.pages[live] = struct{}{}
	return append([]entry(nil), f.entries...), live
}

func (f *feed) close(live chan entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pages, live)
}

// ServeHTTP streams callbacks as server-sent events: first those remembered,
// then each as it happens.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	past, live := f.open()
	defer f.close(live)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	send := func(e entry) error {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte("data: " + string(b) + "\n\n")); err != nil {
			return err
		}
		return out.Flush()
	}
	for _, e := range past {
		if send(e) != nil {
			return
		}
	}
	if out.Flush() != nil {
		return
	}
	for {
		select {
		case e := <-live:
			if send(e) != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
