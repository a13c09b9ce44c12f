package fault

import "context"

type requestIDKey struct{}

// WithRequestID returns a context that carries the id under which the platform
// knows the present request or job. An answer and the log name it, so that one
// leads to the other.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id that the context carries, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
