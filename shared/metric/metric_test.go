package metric

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fresh has the test's own metrics in place of the program's.
func fresh(t *testing.T) {
	t.Helper()
	before := all
	all = nil
	t.Cleanup(func() { all = before })
}

type line struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
}

// flushed is what a flush writes, held to what CloudWatch documents: each metric and
// each dimension that is named is a member of the line, at most 30 dimensions and
// 100 values, values finite and dimensions not empty.
func flushed(t *testing.T) (values []map[string]any) {
	t.Helper()
	var b bytes.Buffer
	now := time.UnixMilli(1_800_000_000_123)
	if err := Flush(&b, "bundle", now); err != nil {
		t.Fatal(err)
	}
	for text := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if text == "" {
			continue
		}
		var is line
		members := map[string]any{}
		if err := json.Unmarshal([]byte(text), &is); err != nil || json.Unmarshal([]byte(text), &members) != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if is.AWS.Timestamp != now.UnixMilli() || len(is.AWS.CloudWatchMetrics) != 1 {
			t.Fatalf("%s", text)
		}
		m := is.AWS.CloudWatchMetrics[0]
		for _, set := range m.Dimensions {
			for _, d := range set {
				if v, is := members[d].(string); !is || v == "" || len(v) > 1024 {
					t.Errorf("dimension %s: %v", d, members[d])
				}
			}
		}
		for _, metric := range m.Metrics {
			if members[metric.Name] == nil || metric.Unit == "" {
				t.Errorf("metric %s: %v", metric.Name, members[metric.Name])
			}
		}
		delete(members, "_aws")
		values = append(values, members)
	}
	return values
}

func TestFlush(t *testing.T) {
	fresh(t)
	c, g, h := counter("Things", "x", "kind"), gauge("LevelSeconds", "x"), histogram("WaitMilliseconds", "x", "kind")
	if got := flushed(t); len(got) != 0 {
		t.Errorf("nothing was counted, and written was %v", got)
	}
	c.Add(1, "a")
	c.Add(2, "a")
	c.Add(1, "")
	c.Add(-1, "a")
	g.Add(-3)
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		c.Add(v, "a")
		g.Add(v)
		h.Add(v, "a")
	}
	h.Add(7.5, "a")
	got := flushed(t)
	if len(got) != 4 || got[0]["Things"] != 3.0 && got[1]["Things"] != 3.0 || got[2]["LevelSeconds"] != -3.0 || got[3]["WaitMilliseconds"] != 7.5 {
		t.Errorf("%v", got)
	}
	if again := flushed(t); len(again) != 0 {
		t.Errorf("written twice: %v", again)
	}
	for range 5000 {
		h.Add(1400, "a")
	}
	got = flushed(t)
	d, _ := got[0]["WaitMilliseconds"].(map[string]any)
	if d == nil || len(d["Values"].([]any)) != 1 || d["Values"].([]any)[0] != 1500.0 || d["Counts"].([]any)[0] != 5000.0 {
		t.Errorf("%v", got)
	}
}

// TestSeriesAreBounded: whatever comes in as a label, the number of series is
// bounded, and what is written stays readable.
func TestSeriesAreBounded(t *testing.T) {
	fresh(t)
	c := counter("Things", "x", "kind")
	for i := range 10 * MaxSeries {
		c.Add(1, strings.Repeat("é\n\"", i%300)+strconv.Itoa(i))
	}
	if n := len(flushed(t)); n > MaxSeries+1 {
		t.Errorf("%d lines", n)
	}
	wellFormed(t)
}

var sample = regexp.MustCompile(`^[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? (-?[0-9.e+-]+|\+Inf)$`)

// wellFormed reads Prometheus' text format.
func wellFormed(t *testing.T) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteText(&b); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for text := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if strings.HasPrefix(text, "# HELP ") || strings.HasPrefix(text, "# TYPE ") {
			continue
		}
		if !sample.MatchString(text) {
			t.Errorf("not a sample: %q", text)
		}
		at := strings.LastIndexByte(text, ' ')
		values[text[:at]] = text[at+1:]
	}
	return values
}

func TestText(t *testing.T) {
	fresh(t)
	c, h := counter("ThingsDone", "x", "kind"), histogram("WaitMilliseconds", "x")
	c.Add(2, `a"\b`)
	for _, v := range []float64{1, 1.5, 70000} {
		h.Add(v)
	}
	flushed(t) // which takes nothing from what is told since the start
	got := wellFormed(t)
	for name, want := range map[string]string{
		`backchannel_things_done_total{kind="a\"\\b"}`: "2",
		`backchannel_wait_seconds_bucket{le="0.001"}`:  "1",
		`backchannel_wait_seconds_bucket{le="0.002"}`:  "2",
		`backchannel_wait_seconds_bucket{le="60"}`:     "2",
		`backchannel_wait_seconds_bucket{le="+Inf"}`:   "3",
		`backchannel_wait_seconds_count`:               "3",
		`backchannel_wait_seconds_sum`:                 "70.0025",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
}

// TestProductMetrics: the metrics of the product have names that are different and
// at most three labels.
func TestProductMetrics(t *testing.T) {
	names := map[string]bool{}
	for _, m := range all {
		if names[m.textName()] || m.help == "" || len(m.labels) > 3 {
			t.Errorf("%s", m.name)
		}
		names[m.textName()] = true
	}
	if len(names) < 10 {
		t.Errorf("only %d metrics", len(names))
	}
	wellFormed(t)
}
