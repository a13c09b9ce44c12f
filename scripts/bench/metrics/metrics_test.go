// Package metrics holds what GET /metrics answers against the parser of Prometheus itself.
package metrics

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/backchannel-im/backchannel/shared/metric"
)

// TestPrometheusReadsMetrics: what GET /metrics answers is read by Prometheus' own
// parser, with the names, types and values that were counted.
func TestPrometheusReadsMetrics(t *testing.T) {
	metric.Callbacks.Add(2, `Group."Callback"\`+"\n", "pass")
	metric.Callbacks.Add(1, "Group.CallbackAfterSendMsg", "none")
	metric.OldestJob.Add(12.5)
	for _, ms := range []float64{0.5, 7, 1400, 90_000} {
		metric.CallbackTime.Add(ms, "Group.CallbackBeforeSendMsg")
	}
	var text bytes.Buffer
	if err := metric.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families["backchannel_callbacks_answered_total"].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	if sum != 3 {
		t.Errorf("callbacks: %v", sum)
	}
	if g := families["backchannel_oldest_job_seconds"].GetMetric(); len(g) != 1 || g[0].GetGauge().GetValue() != 12.5 {
		t.Errorf("oldest job: %v", g)
	}
	h := families["backchannel_callback_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 4 || h.GetSampleSum() < 91.4 || h.GetSampleSum() > 91.5 {
		t.Errorf("histogram: %v", h)
	}
	last := uint64(0)
	for _, b := range h.GetBucket() {
		if b.GetCumulativeCount() < last {
			t.Errorf("a bucket has fewer than the one before: %v", h)
		}
		last = b.GetCumulativeCount()
	}
	if last != 4 {
		t.Errorf("the last bucket has %d of 4", last)
	}
	for name, family := range families {
		if family.GetHelp() == "" || !strings.HasPrefix(name, "backchannel_") && !strings.HasPrefix(name, "go_") {
			t.Errorf("%s: %q", name, family.GetHelp())
		}
	}
}
