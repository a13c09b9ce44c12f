// Package callback answers the callbacks ("webhooks") of Tencent Cloud Chat.
//
// Register rules with a [Mux], give it to an [Endpoint], and mount that:
//
//	rules := callback.NewMux()
//	callback.Before(rules, "words", callback.FailOpen,
//		func(ctx context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
//			if refused(e.MsgBody) {
//				return v.Reject("please be kind"), nil
//			}
//			return v, nil // the zero verdict allows
//		})
//	callback.After(rules, "count", count) // func(context.Context, *callback.GroupAfterSendMsg) error
//	im, err := callback.NewEndpoint(callback.Config{SDKAppID: id, Token: token, Mux: rules})
//	routes.Handle("POST /im", im)
//
// The event's type decides which callback a rule gets and what it may answer;
// the wrong kind does not compile.
//
// What IM promises is little: it waits two seconds; before-callbacks come once, and
// the operation is allowed if no answer comes in time; after-callbacks may come twice,
// late, out of order or never, and are not retried by default. So a before-rule
// changes nothing, an after-rule deduplicates events by their own identity (named at
// each type), and a failed after-rule is retried through [Config].Defer.
//
// Events are lossless: fields and message elements that this package does not
// know survive [Decode] and [Encode]. To try an endpoint, make signed requests
// with a [Signer]; package samples has a body for each command.
package callback
