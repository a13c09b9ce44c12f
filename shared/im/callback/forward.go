package callback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// ForwardedHeader marks a request that a router passed on. An Endpoint that
// gets it forwards nothing, so that a URL that points back cannot loop.
const ForwardedHeader = "X-Backchannel-Forwarded"

var errLoop = errors.New("callback: this callback was forwarded already; does a FORWARD_ URL point back?")

type requestKey struct{}

// request is what forwarding needs of the HTTP request.
type request struct {
	rawQuery  string
	forwarded bool
}

func withRequest(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, requestKey{}, request{r.URL.RawQuery, r.Header.Get(ForwardedHeader) != ""})
}

// Forward passes callbacks to a function deployed on its own, at the URL of its
// own callback route. register is what that function would have registered
// here: it tells which callbacks it wants, and of which kind. Before-callbacks
// go out in their turn, with the time that remains, and the answer counts as
// the rule's verdict; after-callbacks are a rule called function.
//
// A before-callback that cannot be forwarded is answered by the strictest
// policy among the function's own rules for it.
func (m *Mux) Forward(function, target string, client *http.Client, register func(*Mux)) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("callback: the URL of %s must be absolute and without a query", function)
	}
	f := &forwarder{target: target, client: client}
	wants := NewMux()
	register(wants)
	for command := range table {
		if rules := wants.before[command]; len(rules) > 0 || len(wants.allowed[command]) > 0 {
			policy := FailOpen
			for _, r := range rules {
				policy = max(policy, r.policy)
			}
			m.before[command] = append(m.before[command], beforeRule{function, policy, f.ask})
		}
		if len(wants.after[command]) > 0 {
			m.after[command] = append(m.after[command], rule{function, f.tell})
			m.redoable(function, command, func(ctx context.Context, q Query, rawQuery string, body []byte) error {
				_, err := f.send(ctx, rawQuery, body)
				return err
			})
		}
	}
	return nil
}

type forwarder struct {
	target string
	client *http.Client
}

func (f *forwarder) tell(ctx context.Context, e Event) error {
	req, _ := ctx.Value(requestKey{}).(request)
	if req.forwarded {
		return errLoop
	}
	_, err := f.send(ctx, req.rawQuery, e.base().raw)
	return err
}

func (f *forwarder) ask(ctx context.Context, e Event) (*outcome, error) {
	req, _ := ctx.Value(requestKey{}).(request)
	if req.forwarded {
		return nil, errLoop
	}
	// An earlier rule may have rewritten the message.
	body, err := Encode(e)
	if err != nil {
		return nil, err
	}
	reply, err := f.send(ctx, req.rawQuery, body)
	if err != nil {
		return nil, err
	}
	var a struct {
		ErrorCode       *int
		ErrorInfo       string
		MsgBody         im.MsgBody
		CloudCustomData *string
		Refused         []string       `json:"RefusedMembers_Account"`
		ResultItem      []friendResult `json:"ResultItem"`
	}
	if err := json.Unmarshal(reply, &a); err != nil || a.ErrorCode == nil {
		return nil, errors.New("callback: the forwarded callback's answer is not IM's")
	}
	o := &outcome{code: *a.ErrorCode, info: a.ErrorInfo, body: a.MsgBody, custom: a.CloudCustomData, refused: a.Refused}
	for _, r := range a.ResultItem {
		if r.Code != 0 {
			o.denied = append(o.denied, FriendDenial{r.To, r.Code, r.Info})
		}
	}
	return o, nil
}

// send passes a callback on with its original query, which carries IM's own
// signature.
func (f *forwarder) send(ctx context.Context, rawQuery string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.target+"?"+rawQuery, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("callback: the forwarding URL does not do")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ForwardedHeader, "1")
	resp, err := f.client.Do(req)
	if err != nil {
		if e, is := errors.AsType[*url.Error](err); is {
			err = e.Err // the URL holds the query
		}
		return nil, fmt.Errorf("callback: forwarding: %w", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, DefaultMaxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("callback: forwarding: %w", err)
	case resp.StatusCode != http.StatusOK || len(reply) > DefaultMaxBody:
		return nil, fmt.Errorf("callback: forwarding: answered with status %d", resp.StatusCode)
	case !strings.HasPrefix(strings.TrimSpace(string(reply)), "{"):
		return nil, errors.New("callback: forwarding: the answer is not JSON")
	}
	return reply, nil
}
