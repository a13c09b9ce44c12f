package fault

import "context"

type requestIDKey struct{}

// WithRequestID returns a context that carries the id under which the platform knows
// the present request or job. Answers and log lines carry that id, so that an answer
// leads to its log lines.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id that the context carries, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
