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
	app, status := f.start(context.Background(), config.NewReader(os.LookupEnv))
	if app == nil {
		return status
	}
	lambda.StartWithOptions(lambdaHandler{f.name, app})
	return 1
}

// lambdaHandler gets the bytes of an event and gives those of an answer, since
// we know the shapes of both better than reflection does.
type lambdaHandler struct {
	name string
	app  *App
}

func (h lambdaHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = fault.WithRequestID(ctx, lc.AwsRequestID)
	}
	e, k, err := decodeEvent(payload)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	return invocation{h.name, h.app, e, k}.handle(ctx)
}
