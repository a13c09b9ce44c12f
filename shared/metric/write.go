package metric

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Namespace is that of the metrics at CloudWatch.
const Namespace = "Backchannel"

// directive is the part of a line that tells CloudWatch what to read of it.
type directive struct {
	Timestamp         int64           `json:"Timestamp"` // milliseconds
	CloudWatchMetrics []metricsOfLine `json:"CloudWatchMetrics"`
}

type metricsOfLine struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// distribution is how embedded metric format writes many values at once.
type distribution struct {
	Values []float64 `json:"Values"`
	Counts []uint64  `json:"Counts"`
}

// Flush writes what was counted since the last flush, a line for each combination
// of labels, in embedded metric format: JSON on a line of its own, which CloudWatch
// makes metrics of and every other log takes for a log line. function is a
// dimension of all. It writes nothing where nothing was counted, and returns the
// error of w.
func Flush(w io.Writer, function string, now time.Time) error {
	for _, m := range all {
		for _, line := range m.lines(bounded(function), now) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines takes what was counted out of a metric and returns it as lines.
func (m *Metric) lines(function string, now time.Time) (lines [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sorted() {
		if !s.fresh {
			continue
		}
		unit, value := "Count", any(s.delta)
		switch m.kind {
		case isGauge:
			unit, value = "Seconds", s.total
		case isHistogram:
			unit, value = "Milliseconds", s.distribution()
		}
		dimensions := append([]string{"function"}, m.labels...)
		line := map[string]any{
			"_aws": directive{now.UnixMilli(), []metricsOfLine{{Namespace, [][]string{dimensions}, []definition{{m.name, unit}}}}},
			m.name: value, "function": function,
		}
		for i, label := range m.labels {
			line[label] = s.values[i]
		}
		b, err := json.Marshal(line)
		if err != nil {
			panic("metric: " + err.Error()) // finite numbers and text always marshal
		}
		lines = append(lines, append(b, '\n'))
		s.fresh, s.delta, s.exact, s.unflushedN = false, 0, nil, 0
		clear(s.unflushed)
	}
	return lines
}

// distribution is what was observed since the last flush: value by value while they
// are few, otherwise by bucket, at its upper bound.
func (s *series) distribution() any {
	if s.unflushedN <= maxExact {
		if len(s.exact) == 1 {
			return s.exact[0]
		}
		return s.exact
	}
	var d distribution
	for i, n := range s.unflushed {
		if n == 0 {
			continue
		}
		d.Values = append(d.Values, bounds[min(i, len(bounds)-1)])
		d.Counts = append(d.Counts, n)
	}
	return d
}

// ContentType is that of [WriteText].
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// WriteText writes all metrics since the program's start in Prometheus' text
// format.
func WriteText(w io.Writer) error {
	var b strings.Builder
	for _, m := range all {
		m.text(&b)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	for _, p := range []struct {
		name, help string
		value      float64
	}{
		{"go_goroutines", "goroutines that exist", float64(runtime.NumGoroutine())},
		{"go_memstats_heap_inuse_bytes", "bytes of the heap in use", float64(memory.HeapInuse)},
		{"go_memstats_sys_bytes", "bytes that the program got from the system", float64(memory.Sys)},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %s\n", p.name, p.help, p.name, p.name, number(p.value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (m *Metric) text(b *strings.Builder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := m.textName()
	kinds := map[kind]string{isCounter: "counter", isGauge: "gauge", isHistogram: "histogram"}
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, m.help, name, kinds[m.kind])
	for _, s := range m.sorted() {
		if m.kind != isHistogram {
			fmt.Fprintf(b, "%s%s %s\n", name, m.labelText(s, ""), number(s.total))
			continue
		}
		sum := uint64(0)
		for i, n := range s.upTo {
			sum += n
			bound := "+Inf"
			if i < len(bounds) {
				bound = number(bounds[i] / 1000)
			}
			fmt.Fprintf(b, "%s_bucket%s %d\n", name, m.labelText(s, bound), sum)
		}
		fmt.Fprintf(b, "%s_sum%s %s\n%s_count%s %d\n", name, m.labelText(s, ""), number(s.total/1000), name, m.labelText(s, ""), s.count)
	}
}

// textName is the metric's name in Prometheus' style: CallbackMilliseconds is
// backchannel_callback_seconds, since base units are the custom there.
func (m *Metric) textName() string {
	var b strings.Builder
	b.WriteString("backchannel")
	for _, c := range strings.Replace(m.name, "Milliseconds", "Seconds", 1) {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	if m.kind == isCounter {
		b.WriteString("_total")
	}
	return b.String()
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m *Metric) labelText(s *series, bound string) string {
	parts := make([]string, 0, len(m.labels)+1)
	for i, label := range m.labels {
		parts = append(parts, label+`="`+escapes.Replace(s.values[i])+`"`)
	}
	if bound != "" {
		parts = append(parts, `le="`+bound+`"`)
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
