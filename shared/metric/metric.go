// Package metric counts what an operator watches: latencies of callbacks and requests,
// verdicts, deduplicated events, jobs, write units, model tokens.
//
// The metrics are the variables of this package, so that their names and labels
// stand in one place. Counting costs a map look-up under a lock and calls nothing.
// A platform's front end writes what was counted: [Flush] as lines in embedded
// metric format, which CloudWatch makes metrics of, and [WriteText] in Prometheus'
// text format.
//
// Labels are names that the program knows: a command, a route's template, a kind of
// job. A label is never a user, a group, a request or anything else that callers
// choose: each value would be a metric of its own, which costs money, and would show
// who did what. A counting package must bound label values that a caller could choose;
// beyond that a metric takes at most [MaxSeries] combinations and counts the rest as
// "other".
package metric

import (
	"math"
	"slices"
	"strings"
	"sync"
)

// The metrics. Durations are in milliseconds.
var (
	Callbacks    = counter("CallbacksAnswered", "callbacks answered, by command and verdict", "command", "verdict")
	CallbackTime = histogram("CallbackMilliseconds", "time to answer a callback, by command", "command")
	Refused      = counter("CallbacksRefused", "requests to the callback URL that reached no rule, by reason", "reason")
	RuleFailures = counter("RuleFailures", "failures of rules, by rule", "rule")

	Requests    = counter("Requests", "requests answered, by route and class of status", "route", "status")
	RequestTime = histogram("RequestMilliseconds", "time to answer a request, by route", "route")
	Replayed    = counter("RequestsReplayed", "requests answered with the first answer of their Idempotency-Key")

	Tallied   = counter("EventsTallied", "events counted in the store, by outcome: counted, duplicate, too late", "outcome")
	Conflicts = counter("StoreConflicts", "commits whose condition did not hold")
	Units     = counter("StoreWriteUnits", "write units that DynamoDB charged")

	Jobs      = counter("JobsDone", "attempts of jobs, by kind and result", "kind", "result")
	JobTime   = histogram("JobMilliseconds", "time of an attempt of a job, by kind", "kind")
	OldestJob = gauge("OldestJobSeconds", "how long the oldest overdue job has been due, at the latest tick")
	DeadJobs  = counter("JobsDead", "jobs that failed at their last attempt")

	Tokens    = counter("ModelTokens", "tokens of language models, by direction", "direction")
	Answers   = counter("ModelAnswers", "answers of language models to users")
	Citations = counter("CitationsUnknown", "citations of passages that were not found, taken out of answers")
)

// MaxSeries is how many combinations of labels one metric has at most.
const MaxSeries = 200

// kind is what a metric does with values.
type kind int

const (
	isCounter kind = iota
	isGauge
	isHistogram
)

// Metric is one metric. It is safe for concurrent use.
type Metric struct {
	name, help string
	labels     []string
	kind       kind

	mu     sync.Mutex
	series map[string]*series
}

// series are the values for one combination of labels.
type series struct {
	values []string // of the labels
	total  float64  // since the start: sum of a counter or histogram, value of a gauge
	count  uint64   // observations since the start
	upTo   []uint64 // of those, how many fell into each bucket

	fresh      bool      // something was counted since the last flush
	delta      float64   // of a counter, since then
	exact      []float64 // observations since then, as long as they are few
	unflushed  []uint64  // observations since then, by bucket
	unflushedN uint64
}

// bounds are the upper bounds of a histogram's buckets, in milliseconds. IM waits
// 2 s and we answer within 1.5 s, so they are close together there.
var bounds = []float64{1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1250, 1500, 1750, 2000, 3000, 5000, 10000, 30000, 60000}

// maxExact is how many observations a flush writes one by one.
const maxExact = 50

var all []*Metric

func add(k kind, name, help string, labels []string) *Metric {
	m := &Metric{name: name, help: help, labels: labels, kind: k, series: map[string]*series{}}
	all = append(all, m)
	return m
}

func counter(name, help string, labels ...string) *Metric {
	return add(isCounter, name, help, labels)
}
func gauge(name, help string, labels ...string) *Metric { return add(isGauge, name, help, labels) }
func histogram(name, help string, labels ...string) *Metric {
	return add(isHistogram, name, help, labels)
}

// Add adds to a counter, sets a gauge, or observes a value of a histogram. The
// label values are in the metric's order. A value that is no finite number, and a
// negative one of a counter, is ignored.
func (m *Metric) Add(v float64, labels ...string) {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && m.kind != isGauge {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(labels)
	s.fresh = true
	switch m.kind {
	case isGauge:
		s.total = v
	case isCounter:
		s.total += v
		s.delta += v
	case isHistogram:
		s.total += v
		s.count++
		i, _ := slices.BinarySearch(bounds, v)
		s.upTo[i]++
		s.unflushed[i]++
		s.unflushedN++
		if len(s.exact) <= maxExact {
			s.exact = append(s.exact, v)
		}
	}
}

// of returns the series of these label values.
func (m *Metric) of(labels []string) *series {
	if len(labels) != len(m.labels) {
		panic("metric: " + m.name + " has other labels")
	}
	key := strings.Join(labels, "\x00")
	if s := m.series[key]; s != nil {
		return s
	}
	values := make([]string, len(labels))
	for i, v := range labels {
		values[i] = bounded(v)
	}
	if len(m.series) >= MaxSeries {
		for i := range values {
			values[i] = "other"
		}
	}
	key = strings.Join(values, "\x00")
	s := m.series[key]
	if s == nil {
		s = &series{values: values}
		if m.kind == isHistogram {
			s.upTo, s.unflushed = make([]uint64, len(bounds)+1), make([]uint64, len(bounds)+1)
		}
		m.series[key] = s
	}
	return s
}

// maxLabel is how long a label's value may be, in bytes.
const maxLabel = 128

// bounded is a label's value without what CloudWatch or Prometheus do not take:
// never empty, printable ASCII, of limited length.
func bounded(v string) string {
	if v == "" {
		return "none"
	}
	v = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, v)
	return v[:min(len(v), maxLabel)]
}

// sorted returns the series in order of their labels.
func (m *Metric) sorted() []*series {
	list := make([]*series, 0, len(m.series))
	for _, s := range m.series {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *series) int { return slices.Compare(a.values, b.values) })
	return list
}
