package faas_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

// BenchmarkStartToPoll is the cold start: from the start of the process to its
// first poll of the Runtime API. The peer is aws-lambda-go alone, measured in
// turn with ours since the machine drifts.
func BenchmarkStartToPoll(b *testing.B) {
	programs := []struct {
		name, bin string
		env       map[string]string
		total     time.Duration
	}{
		{name: "bare", bin: faastest.Build(b, "./internal/bare")},
		{name: "faas", bin: faastest.Build(b, testfunc), env: greeting},
	}
	for b.Loop() {
		for i := range programs {
			p := &programs[i]
			d, err := faastest.StartToPoll(p.bin, p.env)
			if err != nil {
				b.Fatal(err)
			}
			p.total += d
		}
	}
	b.ReportMetric(0, "ns/op") // of both together: says nothing
	for _, p := range programs {
		b.ReportMetric(float64(p.total.Microseconds())/1000/float64(b.N), p.name+"-ms")
		rss, err := faastest.PeakRSS(p.bin, p.env)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(rss)/(1<<20), p.name+"-MiB")
	}
}

// BenchmarkInvoke is one request through a running function, the driver's own
// cost included.
func BenchmarkInvoke(b *testing.B) {
	bin := faastest.Build(b, testfunc)
	env := map[string]string{"GREETING": "hello", "LOG_LEVEL": "error"}
	lambda, scf, local := faastest.StartLambda(b, bin, env), faastest.StartSCF(b, bin, env), faastest.StartLocal(b, bin, env)
	platforms := []struct {
		name   string
		invoke func(*http.Request) (*http.Response, error)
	}{
		{"Lambda", func(r *http.Request) (*http.Response, error) { return lambda.Do(faastest.HTTPAPIv2, r) }},
		{"SCF", func(r *http.Request) (*http.Response, error) { return scf.Do(faastest.SCFFunctionURL, r) }},
		{"Local", func(r *http.Request) (*http.Response, error) { return local.Do(faastest.Plain, r) }},
	}
	for _, p := range platforms {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				res, err := p.invoke(get("/greeting"))
				if err != nil || res.StatusCode != http.StatusOK {
					b.Fatal(res, err)
				}
				res.Body.Close()
			}
		})
	}
}
