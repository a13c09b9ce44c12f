package faas

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// onLambda serves invocations. It returns only if the function cannot start,
// with the status to exit with.
func (f *function) onLambda() int {
	open := func(ctx context.Context) (*App, error) { return f.open(ctx, config.NewReader(os.LookupEnv)) }
	app, status := f.start(context.Background(), config.NewReader(os.LookupEnv))
	if app == nil {
		return status
	}
	lambda.StartWithOptions(lambdaHandler{f.name, keep(app, open)})
	return 1
}

// lambdaHandler gets the bytes of an event and gives those of an answer, since
// we know the shapes of both better than reflection does.
type lambdaHandler struct {
	name   string
	keeper *keeper
}

func (h lambdaHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = fault.WithRequestID(ctx, lc.AwsRequestID)
	}
	e, k, err := decodeEvent(payload)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	app, done := h.keeper.use(ctx)
	defer done()
	return invocation{h.name, app, e, k}.handle(ctx)
}
