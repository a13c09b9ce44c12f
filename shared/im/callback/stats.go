package callback

import (
	"context"
	"errors"
	"maps"
	"sync"
)

// Stats are the counts of an [Endpoint] since it was made.
type Stats struct {
	Refused  map[string]int64     // requests that reached no rule, by [Reason].Code
	Unread   map[string]int64     // before-callbacks judged without a field that could not be read, by the field's name
	Unknown  int64                // authenticated callbacks of unknown commands
	Deferred int64                // failures of after-rules that were kept for later
	Lost     int64                // failures of after-rules that could not be kept
	Rules    map[string]RuleStats // by name, the rules that failed at some time
}

// RuleStats counts how often a rule failed, for any of its commands.
type RuleStats struct {
	Failed   int64
	Timeouts int64 // of these, for lack of time
}

// tally keeps Stats. Nothing is counted while all goes well.
type tally struct {
	mu sync.Mutex
	s  Stats
}

func (t *tally) refused(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Refused == nil {
		t.s.Refused = make(map[string]int64)
	}
	t.s.Refused[code]++
}

func (t *tally) unread(field string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Unread == nil {
		t.s.Unread = make(map[string]int64)
	}
	t.s.Unread[field]++
}

func (t *tally) failed(rule string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Rules == nil {
		t.s.Rules = make(map[string]RuleStats)
	}
	r := t.s.Rules[rule]
	r.Failed++
	if errors.Is(err, context.DeadlineExceeded) {
		r.Timeouts++
	}
	t.s.Rules[rule] = r
}

func (t *tally) add(count *int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*count++
}

func (t *tally) read() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Refused, s.Unread, s.Rules = maps.Clone(s.Refused), maps.Clone(s.Unread), maps.Clone(s.Rules)
	return s
}
