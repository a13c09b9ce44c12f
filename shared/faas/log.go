package faas

import (
	"context"
	"log/slog"
	"os"

	"github.com/backchannel-im/backchannel/shared/fault"
)

var logLevel slog.LevelVar

// setUpLog makes JSON lines on stdout the default of log/slog and of log, whose
// lines the platform libraries write.
func setUpLog() {
	slog.SetDefault(slog.New(requestIDs{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: &logLevel})}))
}

// setLogLevel takes one of the words of the setting; they are slog's own.
func setLogLevel(word string) {
	var level slog.Level
	if level.UnmarshalText([]byte(word)) == nil {
		logLevel.Set(level)
	}
}

// requestIDs adds the request id of the context to every line, so that rules
// need not.
type requestIDs struct{ slog.Handler }

func (h requestIDs) Handle(ctx context.Context, r slog.Record) error {
	if id := fault.RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("requestId", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestIDs{h.Handler.WithAttrs(attrs)}
}

func (h requestIDs) WithGroup(name string) slog.Handler {
	return requestIDs{h.Handler.WithGroup(name)}
}
