package wiring_test

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

var engines = wiring.Engines{
	States: []kv.Engine{boltkv.Engine},
	Queues: []queue.Engine{boltqueue.Engine, sqsqueue.Engine, scfqueue.Engine},
}

// build builds a program whose state is in dir.
func build(t *testing.T, p wiring.Program, dir string, more map[string]string) (*faas.App, error) {
	t.Helper()
	values := map[string]string{"STATE_URL": "bolt:" + filepath.Join(dir, "state.db")}
	maps.Copy(values, more)
	return p.Build(t.Context(), config.NewReader(func(name string) (string, bool) {
		v, ok := values[name]
		return strings.ReplaceAll(v, "{dir}", dir), ok
	}))
}

// needing is a feature's own function that needs a queue so much.
func needing(q wiring.Need) wiring.Program {
	return wiring.Routes(wiring.Feature{
		Name: "test", Function: "tester", Store: wiring.Required, Queue: q,
		Read: func(*wiring.Settings) wiring.Open { return func(context.Context, *wiring.House) error { return nil } },
	}, engines)
}

// TestWhatCannotBeOpened: each fault names its setting and what to do, and
// leaves the store for the next to open.
func TestWhatCannotBeOpened(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "TENCENTCLOUD_REGION", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"} {
		t.Setenv(name, "")
	}
	for _, tt := range []struct {
		name string
		need wiring.Need
		url  string
		says string
	}{
		{"unknown scheme", wiring.Optional, "kafka:jobs", "must be bolt:FILE; or an SQS queue URL"},
		{"missing", wiring.Required, "", "required"},
		{"no file", wiring.Optional, "bolt:", "bolt:FILE"},
		{"a folder", wiring.Optional, "bolt:{dir}", "is a directory"},
		{"the state's own file", wiring.Optional, "bolt:{dir}/state.db", "name another file"},
		{"no queue's URL", wiring.Optional, "https://example.com/jobs", "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"},
		{"no region", wiring.Optional, "https://queues.example.com/123/jobs", "AWS_REGION"},
		{"no function", wiring.Optional, "scf:", "scf:FUNCTION"},
		{"not on the platform", wiring.Optional, "scf:job-worker", "TENCENTCLOUD_REGION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := build(t, needing(tt.need), dir, map[string]string{"QUEUE_URL": tt.url})
			if err == nil || !strings.Contains(err.Error(), "QUEUE_URL") || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want QUEUE_URL and %q", err, tt.says)
			}
			app, err := build(t, needing(wiring.Optional), dir, nil)
			if err != nil {
				t.Fatalf("the store is not free: %v", err)
			}
			if err := app.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
