package dynamokv_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
)

// TestWritesOnceWhateverHappens: each write is done once, and said to be done,
// through every fault.
func TestWritesOnceWhateverHappens(t *testing.T) {
	proxy := dynamotest.Start(t)
	s := openAt(t, proxy.URL, table(t, proxy.URL), time.Now)
	faults := map[string][]dynamotest.Fault{
		"lost answer":        {dynamotest.LoseAnswer},
		"two lost answers":   {dynamotest.LoseAnswer, dynamotest.LoseAnswer},
		"reset":              {dynamotest.Reset},
		"throttled for long": {dynamotest.Throttle, dynamotest.Throttle, dynamotest.Throttle, dynamotest.Throttle, dynamotest.Throttle},
		"conflicts":          {dynamotest.Conflict, dynamotest.Conflict, dynamotest.Conflict},
		"away for long":      slices.Repeat([]dynamotest.Fault{dynamotest.Away}, 10),
		"a gateway's page":   slices.Repeat([]dynamotest.Fault{dynamotest.BadGateway}, 10),
		"key throttled":      slices.Repeat([]dynamotest.Fault{dynamotest.KeyThrottled}, 10),
		"another region":     {dynamotest.Replicated, dynamotest.Replicated, dynamotest.Replicated},
		"token under way":    {dynamotest.Mismatch, dynamotest.Mismatch, dynamotest.Mismatch},
		"all of it":          {dynamotest.Throttle, dynamotest.Reset, dynamotest.Conflict, dynamotest.LoseAnswer},
	}
	for name, list := range faults {
		t.Run(name, func(t *testing.T) {
			ctx, partition := t.Context(), t.Name()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			proxy.Inject(list...)
			must(s.Commit(ctx, partition, "one", kv.Put{Key: "a", Value: []byte("1"), If: kv.Absent()}))
			proxy.Inject(list...)
			must(s.Commit(ctx, partition, "two", kv.Put{Key: "b", If: kv.Absent()}, kv.Add{Key: "n", Deltas: []kv.Delta{{Counter: "c", By: 5}}}))
			proxy.Inject(list...)
			outcome, err := s.Tally(ctx, partition, "s", kv.Event{ID: "e", At: time.Now()}, kv.Delta{Counter: "c", By: 1})
			must(err)
			if outcome != kv.Counted && outcome != kv.Duplicate {
				t.Errorf("the tally was %v", outcome)
			}
			item, err := s.Get(ctx, partition, "n")
			must(err)
			open, err := s.Open(ctx, partition, "", 10)
			must(err)
			if item.Counters["c"] != 5 || len(open) != 1 || open[0].Counters["c"] != 1 {
				t.Errorf("added %d, tallied %+v", item.Counters["c"], open)
			}
		})
	}
}

// TestPartitionLimit: a partition that is throttled at its rate goes slower and
// loses nothing.
func TestPartitionLimit(t *testing.T) {
	proxy := dynamotest.Start(t)
	s := openAt(t, proxy.URL, table(t, proxy.URL), time.Now)
	proxy.Limit(20)
	const events = 40
	for n := range events {
		event := kv.Event{ID: string(rune('A' + n)), At: time.Now()}
		if _, err := s.Tally(t.Context(), "p", "s", event, kv.Delta{Counter: "c", By: 1}); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := kv.Totals(t.Context(), s, "p")
	if err != nil || sums["c"] != events {
		t.Errorf("%v, %v", sums, err)
	}
}

func TestWhatCannotWorkIsExplained(t *testing.T) {
	endpoint := dynamotest.StartEmulator(t).URL
	at := func(table, endpoint string, c aws.CredentialsProvider) error {
		s, err := dynamokv.Open(t.Context(), table, dynamokv.Options{Region: region, Endpoint: endpoint, Credentials: c})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return s.Commit(ctx, "p", "op", kv.Put{Key: "k", If: kv.Absent()})
	}
	good := aws.CredentialsProviderFunc(credentials)
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	})
	for name, tt := range map[string]struct {
		err  error
		says string
	}{
		"no such table":  {at("nowhere", endpoint, good), "no such table"},
		"no credentials": {at("nowhere", endpoint, none), "AWS_ACCESS_KEY_ID"},
		"nobody there":   {at("nowhere", "http://127.0.0.1:1", good), "could not be reached"},
	} {
		if !errors.Is(tt.err, kv.ErrUnavailable) || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: %v, want ErrUnavailable saying %q", name, tt.err, tt.says)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Setenv("AWS_REGION", region)
	for url, good := range map[string]bool{
		"dynamodb:backchannel":                                true,
		"dynamodb:backchannel?endpoint=http://127.0.0.1:8000": true,
		"dynamodb:":                       false,
		"dynamodb://backchannel":          false,
		"dynamodb:backchannel?region=eu":  false,
		"dynamodb:backchannel?endpoint=%": false,
	} {
		s, err := dynamokv.Engine.Open(t.Context(), url)
		if (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
	t.Setenv("AWS_REGION", "")
	if _, err := dynamokv.Engine.Open(t.Context(), "dynamodb:backchannel"); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
}
