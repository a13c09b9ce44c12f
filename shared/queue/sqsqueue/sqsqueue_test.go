package sqsqueue_test

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/backchannel-im/backchannel/shared/mototest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/queue/sqsqueue"
)

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
})

func client(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{Region: "eu-central-1", Credentials: credentials, BaseEndpoint: aws.String(endpoint)})
}

// create makes a queue at an emulator and returns its URL there.
func create(t *testing.T, endpoint, lane string) string {
	t.Helper()
	name := strings.NewReplacer("/", "-").Replace(t.Name()) + "-" + lane
	res, err := client(endpoint).CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String(name), Attributes: map[string]string{"VisibilityTimeout": "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(*res.QueueUrl)
	if err != nil {
		t.Fatal(err)
	}
	return endpoint + u.Path
}

// poll does what the platform does: it receives batches and removes what was
// accepted.
func poll(ctx context.Context, t *testing.T, endpoint, queueURL string, perform func(context.Context, []byte) error) {
	c := client(endpoint)
	var inHand sync.WaitGroup
	defer inHand.Wait()
	for ctx.Err() == nil {
		res, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 1,
		})
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		for _, m := range res.Messages {
			inHand.Go(func() {
				if perform(ctx, []byte(*m.Body)) != nil {
					return
				}
				_, err := c.DeleteMessage(context.WithoutCancel(ctx), &sqs.DeleteMessageInput{QueueUrl: aws.String(queueURL), ReceiptHandle: m.ReceiptHandle})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestContract(t *testing.T) {
	endpoint := mototest.Start(t)
	queuetest.Run(t, queuetest.Harness{
		Open: func(t *testing.T) (queue.Queue, func(context.Context, func(context.Context, []byte) error)) {
			fast, slow := create(t, endpoint, "fast"), create(t, endpoint, "slow")
			q, err := sqsqueue.Open(fast+","+slow, sqsqueue.Options{Region: "eu-central-1", Credentials: credentials})
			if err != nil {
				t.Fatal(err)
			}
			return q, func(ctx context.Context, perform func(context.Context, []byte) error) {
				var lanes sync.WaitGroup
				for _, u := range []string{fast, slow} {
					lanes.Go(func() { poll(ctx, t, endpoint, u, perform) })
				}
				lanes.Wait()
			}
		},
	})
}

// TestPartlyTaken: what SQS did not take of a batch is sent again, and only
// that.
func TestPartlyTaken(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	refusals := 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var asked struct {
			Entries []struct{ Id, MessageBody string }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		type entry map[string]any
		taken, failed, ids := []entry{}, []entry{}, ""
		for _, e := range asked.Entries {
			ids += e.Id
			if e.Id == "1" && refusals > 0 {
				refusals--
				failed = append(failed, entry{"Id": e.Id, "SenderFault": false, "Code": "InternalError"})
				continue
			}
			taken = append(taken, entry{"Id": e.Id, "MessageId": "m" + e.Id, "MD5OfMessageBody": fmt.Sprintf("%x", md5.Sum([]byte(e.MessageBody)))})
		}
		calls = append(calls, ids)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(entry{"Successful": taken, "Failed": failed})
	}))
	defer server.Close()
	q, err := sqsqueue.Open(server.URL+"/123/jobs", sqsqueue.Options{Region: "eu-central-1", Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	jobs := []queue.Job{{ID: "a", Kind: "k", Lane: queue.Fast}, {ID: "b", Kind: "k", Lane: queue.Fast}, {ID: "c", Kind: "k", Lane: queue.Slow}}
	if err := q.Enqueue(t.Context(), jobs[:2]...); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, " "); got != "01 1" {
		t.Errorf("calls with the entries %s", got)
	}
	mu.Lock()
	refusals = 1000
	mu.Unlock()
	if err := q.Enqueue(t.Context(), jobs...); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("never taken: %v", err)
	}
}

func TestURLs(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	for text, good := range map[string]bool{
		"https://sqs.eu-central-1.amazonaws.com/123/jobs":                                                 true,
		"https://sqs.eu-central-1.amazonaws.com/123/fast,https://sqs.eu-central-1.amazonaws.com/123/slow": true,
		"https://sqs.eu-central-1.amazonaws.com/123/fast,https://sqs.eu-west-1.amazonaws.com/123/slow":    false,
		"https://sqs.eu-central-1.amazonaws.com/jobs":                                                     false,
		"https://example.com/123/jobs":                                                                    false, // and no region
		"https://sqs.eu-central-1.amazonaws.com/123/fast,":                                                false,
	} {
		if _, err := sqsqueue.Open(text, sqsqueue.Options{Credentials: credentials}); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
