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
	"slices"
	"time"
)

// ForwardedHeader marks a callback that another Endpoint passed on, and says
// for which of its phases. An Endpoint that would have to pass it on again
// answers 508 instead ([ErrLoop]), so that a URL that points back cannot loop.
const ForwardedHeader = "X-Backchannel-Forwarded"

// phase is the kind of rules that a forwarded callback is meant for. It keeps
// the other side's Allowed rules from running before the last word is spoken
// here.
type phase string

const (
	phaseBefore  phase = "before"
	phaseAllowed phase = "allowed"
	phaseAfter   phase = "after"
)

// Forward passes callbacks to a function deployed on its own, at the URL of its own
// callback route. register adds the rules of that function: they say which callbacks
// it wants, of which kind, and about what ([AfterAbout]). Before-callbacks go out in
// their turn, with the time that remains, and the answer counts as the rule's verdict;
// after-callbacks are a rule called function.
//
// [Mux.Redo] also runs the function's own after-rules here, so that one worker retries
// both callbacks that could not be forwarded and rules that the function itself
// deferred.
//
// A before-callback that cannot be forwarded is answered by the strictest
// policy among the function's own rules for it. The URL is a trusted setting:
// it gets the query with IM's signature. The client should follow no redirects.
func (m *Mux) Forward(function, target string, client *http.Client, register func(*Mux)) error {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("callback: the URL of %s must be absolute and without a query", function)
	}
	if client == nil {
		return fmt.Errorf("callback: no client to forward to %s with", function)
	}
	f := &forwarder{target: target, client: client}
	wants := NewMux()
	register(wants)
	for _, command := range wants.Commands() {
		m.forwards[command] = true
		if rules := wants.before[command]; len(rules) > 0 {
			policy := FailOpen
			for _, r := range rules {
				policy = max(policy, r.policy)
			}
			m.before[command] = append(m.before[command], beforeRule{function, policy, f.ask})
		}
		if len(wants.allowed[command]) > 0 {
			m.allowed[command] = append(m.allowed[command], rule{name: function, run: f.tellAllowed})
		}
		if rules := wants.after[command]; len(rules) > 0 {
			about := func(e Event) bool { return slices.ContainsFunc(rules, func(r rule) bool { return r.concerns(e) }) }
			m.addAfter(command, rule{function, f.tell, about}, func(ctx context.Context, d Deferred) error {
				query := d.Query
				if m.signAgain != nil {
					query = m.signAgain(query)
				}
				_, err := f.send(ctx, phaseAfter, query, d.Body)
				return err
			})
		}
	}
	for key, redo := range wants.redo {
		if m.redo[key] == nil { // a rule named as its function is forwarded
			m.redo[key] = redo
		}
	}
	return nil
}

// SignForwarded makes [Mux.Redo] sign what it forwards with the console's token,
// since the signature that IM made expires while a job waits. Without a token
// queries stay as they are. now may be nil for the wall clock.
func (m *Mux) SignForwarded(token string, now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	m.signAgain = func(query string) string { return signAgain(query, token, now()) }
}

type forwarder struct {
	target string
	client *http.Client
}

func (f *forwarder) tell(ctx context.Context, e Event) error {
	b := e.base()
	_, err := f.send(ctx, phaseAfter, b.Query.raw, b.raw)
	return err
}

func (f *forwarder) tellAllowed(ctx context.Context, e Event) error {
	_, err := f.sendEvent(ctx, phaseAllowed, e)
	return err
}

func (f *forwarder) ask(ctx context.Context, e Event) (*outcome, error) {
	reply, err := f.sendEvent(ctx, phaseBefore, e)
	if err != nil {
		return nil, err
	}
	o := &outcome{
		code: reply.ErrorCode, info: reply.ErrorInfo, body: reply.MsgBody, custom: reply.CloudCustomData,
		refused: reply.RefusedMembers,
	}
	for _, r := range reply.ResultItem {
		if r.Code != 0 {
			o.denied = append(o.denied, friendDenial{r.To, r.Code, r.Info})
		}
	}
	return o, nil
}

// sendEvent passes on an event that an earlier rule may have rewritten.
func (f *forwarder) sendEvent(ctx context.Context, p phase, e Event) (*answer, error) {
	body, err := Encode(e)
	if err != nil {
		return nil, err
	}
	return f.send(ctx, p, e.base().Query.raw, body)
}

// send passes a callback on, with IM's own query.
func (f *forwarder) send(ctx context.Context, p phase, query string, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.target+"?"+query, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("callback: the forwarding URL does not do")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ForwardedHeader, string(p))
	resp, err := f.client.Do(req)
	if err != nil {
		if e, is := errors.AsType[*url.Error](err); is {
			err = e.Err // without the URL, which holds the query
		}
		return nil, fmt.Errorf("callback: forwarding: %w", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	switch {
	case err != nil:
		return nil, fmt.Errorf("callback: forwarding: %w", err)
	case resp.StatusCode == http.StatusLoopDetected:
		return nil, fmt.Errorf("callback: forwarding: %w", ErrLoop)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("callback: forwarding: the answer has status %d", resp.StatusCode)
	}
	var a answer
	if json.Unmarshal(reply, &a) != nil || a.ActionStatus != "OK" {
		return nil, errors.New("callback: forwarding: the answer is not IM's envelope")
	}
	return &a, nil
}
