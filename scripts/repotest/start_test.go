package repotest

import (
	"testing"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
)

// BenchmarkStart measures how long each function takes from the start of its
// process to its first poll of the Lambda runtime, beside a program that holds
// aws-lambda-go and nothing else, in turn. The store is DynamoDB, as template.yaml
// has it; Redis takes a few round trips more.
//
//	go test -run '^$' -bench Start -benchtime 100x ./scripts/repotest
func BenchmarkStart(b *testing.B) {
	bare := faastest.Build(b, "github.com/backchannel-im/backchannel/shared/faas/internal/bare")
	values := deployment.Sample("dynamodb:state")
	for _, f := range deployed(b, "template.yaml") {
		b.Run(f.Name, func(b *testing.B) {
			env := environment(b, f, values)
			env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "test", "test" // which the platform sets
			bin := faastest.Build(b, "github.com/backchannel-im/backchannel/functions/"+f.Name)
			var ours, peer float64
			for b.Loop() {
				peer += start(b, bare, nil)
				ours += start(b, bin, env)
			}
			n := float64(b.N)
			rss, err := faastest.PeakRSS(bin, env)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ours/n, "ms/start")
			b.ReportMetric((ours-peer)/n, "ms-over-bare")
			b.ReportMetric(float64(rss)/(1<<20), "MiB-RSS")
		})
	}
}

func start(b *testing.B, bin string, env map[string]string) float64 {
	b.Helper()
	d, err := faastest.StartToPoll(bin, env)
	if err != nil {
		b.Fatal(err)
	}
	return float64(d.Microseconds()) / 1000
}
