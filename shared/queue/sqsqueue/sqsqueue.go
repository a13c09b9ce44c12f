// Package sqsqueue is the job engine on AWS: two standard SQS queues, one for
// each lane, whose messages the platform brings to the job-worker function in
// batches.
//
// A message is removed when the worker reports the job done; otherwise SQS delivers
// the message again after the queue's visibility timeout, and beyond the queue's
// redrive limit moves it to the dead-letter queue of the template: the backstop for
// jobs that never reached the ledger.
package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/backchannel-im/backchannel/shared/queue"
)

// Engine opens https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or two such URLs
// with a comma between them: the fast lane's and the slow lane's. Credentials
// are those that the platform gives a function.
var Engine = queue.Engine{
	Name:  "an SQS queue URL, or two with a comma between them: fast,slow",
	Takes: func(url string) bool { return strings.HasPrefix(url, "http") },
	Open: func(_ context.Context, urls string) (queue.Queue, error) {
		return Open(urls, Options{})
	},
}

// Options change how queues are reached.
type Options struct {
	// Region and Credentials; by default the URL's region, or AWS_REGION, and
	// what the platform's environment says.
	Region      string
	Credentials aws.CredentialsProvider
	Now         func() time.Time // nil: time.Now
}

const (
	maxDelay = 15 * time.Minute // of SQS
	batch    = 10               // messages a call
	maxBatch = 256 << 10        // bytes a call, of all messages together
	try      = 3 * time.Second  // one HTTP request
	tries    = 4
)

// Queue is a [queue.Queue] on SQS.
type Queue struct {
	client *sqs.Client
	urls   map[queue.Lane]string
	now    func() time.Time
	closed atomic.Bool
}

var regionInHost = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)
})

// Open returns a queue over one or two SQS queues. It sends nothing.
func Open(urls string, o Options) (*Queue, error) {
	fast, slow, both := strings.Cut(urls, ",")
	if !both {
		slow = fast
	}
	endpoint, err := endpointOf(fast)
	if err != nil {
		return nil, err
	}
	if other, err := endpointOf(slow); err != nil || other != endpoint {
		return nil, errors.New("sqsqueue: both queues must be in one region")
	}
	host := strings.TrimPrefix(endpoint, "https://")
	if m := regionInHost().FindStringSubmatch(host); o.Region == "" && m != nil {
		o.Region = m[1]
	}
	if o.Region == "" {
		o.Region = os.Getenv("AWS_REGION")
	}
	if o.Region == "" {
		return nil, errors.New("sqsqueue: the URL names no region and AWS_REGION is not set")
	}
	if o.Credentials == nil {
		o.Credentials = aws.CredentialsProviderFunc(fromEnvironment)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Queue{
		client: sqs.New(sqs.Options{
			Region: o.Region, Credentials: o.Credentials, BaseEndpoint: aws.String(endpoint),
			HTTPClient: &http.Client{Timeout: try, Transport: &http.Transport{
				MaxIdleConnsPerHost: 16, IdleConnTimeout: 50 * time.Second, ForceAttemptHTTP2: true,
			}},
		}),
		urls: map[queue.Lane]string{queue.Fast: fast, queue.Slow: slow},
		now:  o.Now,
	}, nil
}

func endpointOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Count(strings.Trim(u.Path, "/"), "/") != 1 {
		return "", errors.New("sqsqueue: a queue's URL is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
	}
	return u.Scheme + "://" + u.Host, nil
}

func fromEnvironment(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return c, nil
}

// MaxDelay implements [queue.Queue].
func (q *Queue) MaxDelay() time.Duration { return maxDelay }

// Close implements [queue.Queue].
func (q *Queue) Close() error {
	q.closed.Store(true)
	return nil
}

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, jobs ...queue.Job) error {
	if q.closed.Load() {
		return fmt.Errorf("%w: sqsqueue: closed", queue.ErrUnavailable)
	}
	entries := make(map[queue.Lane][]types.SendMessageBatchRequestEntry)
	for i, j := range jobs {
		b, err := queue.Encode(j)
		if err != nil {
			return err
		}
		entries[j.Lane] = append(entries[j.Lane], types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(b)), DelaySeconds: q.delay(j.NotBefore),
		})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for lane, list := range entries {
		for len(list) > 0 {
			n := fitting(list)
			if err := q.send(ctx, lane, list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return nil
}

// delay is how long SQS keeps a message back: whole seconds, never too few.
func (q *Queue) delay(notBefore time.Time) int32 {
	wait := notBefore.Sub(q.now())
	if notBefore.IsZero() || wait <= 0 {
		return 0
	}
	return int32(math.Ceil(min(wait, maxDelay).Seconds()))
}

// fitting is how many of the entries one call takes.
func fitting(list []types.SendMessageBatchRequestEntry) int {
	size := 0
	for n, e := range list {
		size += len(*e.MessageBody)
		if n == batch || n > 0 && size > maxBatch {
			return n
		}
	}
	return len(list)
}

// send sends a batch, and again what SQS did not take of it.
func (q *Queue) send(ctx context.Context, lane queue.Lane, list []types.SendMessageBatchRequestEntry) error {
	for n := 1; ; n++ {
		res, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(q.urls[lane]), Entries: list})
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("sqsqueue: %w", ctx.Err())
		case err != nil:
			return fmt.Errorf("%w: sqsqueue: %w", queue.ErrUnavailable, err)
		case len(res.Failed) == 0:
			return nil
		case n == tries:
			return fmt.Errorf("%w: sqsqueue: %d of %d jobs were not taken: %s", queue.ErrUnavailable, len(res.Failed), len(list), aws.ToString(res.Failed[0].Code))
		}
		refused := make(map[string]bool, len(res.Failed))
		for _, f := range res.Failed {
			refused[aws.ToString(f.Id)] = true
		}
		var again []types.SendMessageBatchRequestEntry
		for _, e := range list {
			if refused[*e.Id] {
				again = append(again, e)
			}
		}
		list = again
	}
}
