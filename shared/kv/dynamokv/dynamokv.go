// Package dynamokv keeps state in one DynamoDB table.
//
//	store, err := dynamokv.Open(ctx, "backchannel", dynamokv.Options{})
//
// # The table
//
// On demand, with these keys ([TableInput] makes such a table for tests, the
// deployment template declares the same):
//
//	pk    S  partition key: the partition
//	sk    S  sort key: "i" and an item's key, or "s" and a segment's name
//	open  S  sort key of the local index "open", which projects keys only and
//	         may be read consistently; only segments with unsettled counts
//	         have it
//	ttl   N  time to live: when the engine may delete the record
//
// A record's other attributes: r its revision, p the ops before as digests,
// v the value, c a map of counters, d that it is deleted, x its expiry; of a
// segment e the set of seen events and t when it was touched. Names are short
// because every byte is paid for with every write.
//
// # What it costs
//
// A Tally is one conditional update: one write unit while the segment is below 1 KB. A
// Commit reads the items it writes (a read unit each), evaluates the conditions as
// every engine does, and writes the items if none has changed since: one item with a
// conditional put, several in a transaction, at twice the price.
//
// # Retries
//
// The SDK retries a request whose response was lost. A retried put finds its own op and
// is done; a retried tally finds its event among the seen ones. Throttling and
// conflicts are retried with backoff, within the caller's deadline.
package dynamokv

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

// Engine opens dynamodb:TABLE, with the region and credentials that the
// platform gives a function in AWS_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. dynamodb:TABLE?endpoint=URL
// talks to another implementation of the service.
var Engine = kv.Engine{Scheme: "dynamodb", Open: open}

func open(ctx context.Context, text string) (kv.Store, error) {
	table, query, _ := strings.Cut(strings.TrimPrefix(text, "dynamodb:"), "?")
	values, err := url.ParseQuery(query)
	if err != nil || table == "" || strings.ContainsAny(table, "/: ") {
		return nil, errors.New("dynamokv: the URL must be dynamodb:TABLE")
	}
	for name := range values {
		if name != "endpoint" {
			return nil, fmt.Errorf("dynamokv: the URL has an unknown parameter %q: use endpoint", name)
		}
	}
	return Open(ctx, table, Options{Endpoint: values.Get("endpoint")})
}

// Options change the connection to a table.
type Options struct {
	// Region and Credentials; by default those of the platform's environment.
	Region      string
	Credentials aws.CredentialsProvider
	// Endpoint replaces the service's own URL.
	Endpoint string
	Now      func() time.Time // nil: time.Now
}

// try bounds one HTTP request; DynamoDB answers in milliseconds or not at all.
const try = 3 * time.Second

// patience bounds a call whose context has no deadline.
const patience = 20 * time.Second

// Store is a [kv.Store] in a DynamoDB table.
type Store struct {
	client *dynamodb.Client
	table  string
	now    func() time.Time
	closed atomic.Bool
	turns  [64]chan struct{} // by partition: whose Commit is under way in this process
}

// Open returns a store in an existing table. Open sends no request: a cold start does
// not wait for a table that the call may not need. A missing table or wrong credentials
// fail the first call.
func Open(_ context.Context, table string, o Options) (*Store, error) {
	if o.Region == "" {
		o.Region = os.Getenv("AWS_REGION")
	}
	if o.Region == "" {
		return nil, errors.New("dynamokv: AWS_REGION is not set")
	}
	if o.Credentials == nil {
		o.Credentials = aws.CredentialsProviderFunc(fromEnvironment)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	options := dynamodb.Options{
		Region:      o.Region,
		Credentials: o.Credentials,
		HTTPClient: &http.Client{Timeout: try, Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 50 * time.Second, ForceAttemptHTTP2: true,
		}},
		Retryer: awsretry.NewStandard(func(r *awsretry.StandardOptions) {
			r.MaxAttempts = 3
			r.MaxBackoff = 200 * time.Millisecond
			r.RateLimiter = unlimited{} // our own pauses bound the repeats
		}),
	}
	if o.Endpoint != "" {
		options.BaseEndpoint = aws.String(o.Endpoint)
	}
	s := &Store{client: dynamodb.New(options), table: table, now: o.Now}
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s, nil
}

// turn waits until no other Commit of this process is under way in the
// partition. Commits of other processes are met by conditions alone, but those
// of one need not outdo each other.
func (s *Store) turn(ctx context.Context, partition string) (done func(), err error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(partition))
	turn := s.turns[h.Sum32()%uint32(len(s.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

func fromEnvironment(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	return c, nil
}

// Close implements [kv.Store].
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// begin refuses calls after Close and with an ended context, and gives the
// others a deadline.
func (s *Store) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if s.closed.Load() {
		return nil, nil, fmt.Errorf("dynamokv: closed: %w", kv.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	return ctx, cancel, nil
}

// errChanged: a record is not as it was read. Read again and decide again.
var errChanged = errors.New("dynamokv: changed meanwhile")

// again repeats attempt while records change under it or the service asks for
// patience, until the context ends.
func again(parent, ctx context.Context, attempt func() error) error {
	for n := 0; ; n++ {
		err := attempt()
		if !errors.Is(err, errChanged) && !passing(err) {
			return explain(parent, err)
		}
		most := min(time.Duration(5*(n+1)*(n+1))*time.Millisecond, 300*time.Millisecond)
		if ended := retry.Sleep(ctx, rand.N(most)+time.Millisecond); ended != nil {
			if errors.Is(err, errChanged) {
				err = errors.New("others kept changing the item")
			}
			return explain(parent, errors.Join(err, ended))
		}
	}
}

// passing reports what goes by if one waits.
func passing(err error) bool {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			switch aws.ToString(reason.Code) {
			case "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
				return true
			}
		}
		return false
	}
	// A gateway on the way answers 502 or 503, perhaps with a page in HTML that the
	// SDK cannot read.
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError {
		return true
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "LimitExceededException", "InternalServerError",
		"TransactionConflictException", "TransactionInProgressException",
		// Another region of a global table wrote the item.
		"ReplicatedWriteConflictException",
		// An earlier try with the SDK's token is still under way.
		"IdempotentParameterMismatchException":
		return true
	}
	// The service's own throttling, and that of the table's key in KMS.
	return strings.Contains(api.ErrorCode(), "Throttl")
}

// explain turns an error of the SDK into one of the port's.
func explain(parent context.Context, err error) error {
	if err == nil || errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrRange) || errors.Is(err, kv.ErrInvalid) || errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if parent.Err() != nil {
		return fmt.Errorf("dynamokv: %w", parent.Err())
	}
	hint := "the table could not be reached"
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ResourceNotFoundException":
			hint = "there is no such table in this region; deploy the template that makes it"
		case "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException", "ExpiredTokenException":
			hint = "the credentials are not accepted"
		case "AccessDeniedException":
			hint = "the function's role may not do this with the table"
		default:
			hint = "the table answered " + api.ErrorCode()
		}
	}
	return fmt.Errorf("dynamokv: %s: %w (%v)", hint, kv.ErrUnavailable, err)
}

// TableInput describes the table, for tests that create it.
func TableInput(name string) *dynamodb.CreateTableInput {
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(name), KeyType: kind}
	}
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
	}
	return &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{text("pk"), text("sk"), text("open")},
		KeySchema:            []types.KeySchemaElement{key("pk", types.KeyTypeHash), key("sk", types.KeyTypeRange)},
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{{
			IndexName:  aws.String(openIndex),
			KeySchema:  []types.KeySchemaElement{key("pk", types.KeyTypeHash), key("open", types.KeyTypeRange)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

const openIndex = "open"
