package jobs_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/queue/scfqueue"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
	"github.com/backchannel-im/backchannel/shared/wiring/state"
)

type reading func(set *config.Reader, openStore state.Opener) jobs.Opener

func optional(set *config.Reader, openStore state.Opener) jobs.Opener {
	return jobs.Read(set, openStore, boltqueue.Engine, sqsqueue.Engine, scfqueue.Engine)
}

func required(set *config.Reader, openStore state.Opener) jobs.Opener {
	return jobs.Require(set, openStore, boltqueue.Engine, sqsqueue.Engine, scfqueue.Engine)
}

// open reads the settings and opens what they name, in dir.
func open(t *testing.T, read reading, dir, url string) (*jobs.Jobs, error) {
	t.Helper()
	values := map[string]string{
		"STATE_URL": "bolt:" + filepath.Join(dir, "state.db"),
		"QUEUE_URL": strings.ReplaceAll(url, "{dir}", dir),
	}
	set := config.NewReader(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	opener := read(set, state.Read(set, boltkv.Engine))
	if err := set.Err(); err != nil {
		return nil, err
	}
	return opener(t.Context())
}

// TestWhatCannotBeOpened: each fault names its setting and what to do, and
// leaves the store for the next to open.
func TestWhatCannotBeOpened(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "TENCENTCLOUD_REGION", "TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY"} {
		t.Setenv(name, "")
	}
	for _, tt := range []struct {
		name string
		read reading
		url  string
		says string
	}{
		{"unknown scheme", optional, "kafka:jobs", "must be bolt:FILE; or an SQS queue URL"},
		{"missing", required, "", "required"},
		{"no file", optional, "bolt:", "bolt:FILE"},
		{"a folder", optional, "bolt:{dir}", "is a directory"},
		{"the state's own file", optional, "bolt:{dir}/state.db", "name another file"},
		{"no queue's URL", optional, "https://example.com/jobs", "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"},
		{"no region", optional, "https://queues.example.com/123/jobs", "AWS_REGION"},
		{"no function", optional, "scf:", "scf:FUNCTION"},
		{"not on the platform", optional, "scf:job-worker", "TENCENTCLOUD_REGION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := open(t, tt.read, dir, tt.url)
			if err == nil || !strings.Contains(err.Error(), "QUEUE_URL") || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want QUEUE_URL and %q", err, tt.says)
			}
			j, err := open(t, optional, dir, "")
			if err != nil {
				t.Fatalf("the store is not free: %v", err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWithoutAQueue(t *testing.T) {
	j, err := open(t, optional, t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if j.Ledger != nil || j.Local() || j.Store == nil {
		t.Errorf("%+v", j)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestAQueueOfThisMachine(t *testing.T) {
	j, err := open(t, required, t.TempDir(), "bolt:{dir}/jobs.db")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if !j.Local() {
		t.Fatal("nobody carries out its jobs")
	}
	if err := j.Run(ctx); err != nil {
		t.Errorf("running: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
