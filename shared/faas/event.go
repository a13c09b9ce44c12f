package faas

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// kind is what an event asks for, and for requests also the shape of its answer.
type kind int

const (
	unknown     kind = iota
	httpV2           // Lambda HTTP API with payload 2.0, and function URL
	httpREST         // Lambda REST API, payload 1.0
	httpTencent      // SCF function URL, and gateway events of the same shape
	jobBatch         // SQS
	oneJob           // asynchronous invocation with our envelope
	schedule         // EventBridge rule or scheduler, SCF timer
)

func (k kind) isHTTP() bool { return k == httpV2 || k == httpREST || k == httpTencent }

// event is the union of the platforms' events: each field is named and shaped as
// its platforms have it, and which are filled in tells the event's kind. It is a
// type of ours because those of the libraries lose isBase64Encoded and fail on
// queries that hold a JSON number.
//
// Sources: AWS "Working with AWS Lambda proxy integrations", payloads 1.0 and
// 2.0; AWS "Using Lambda with Amazon SQS"; Tencent SCF 583/96099 (function URL).
type event struct {
	// Requests.
	HTTPMethod      string          `json:"httpMethod"`
	Path            string          `json:"path"`
	RawPath         string          `json:"rawPath"`
	RawQueryString  string          `json:"rawQueryString"`
	QueryString     *query          `json:"queryString"`
	QueryParameters query           `json:"queryStringParameters"`
	MultiQuery      query           `json:"multiValueQueryStringParameters"`
	Headers         map[string]list `json:"headers"`
	MultiHeaders    map[string]list `json:"multiValueHeaders"`
	Cookies         []string        `json:"cookies"`
	Body            string          `json:"body"`
	IsBase64Encoded bool            `json:"isBase64Encoded"`
	RequestContext  struct {
		HTTP *struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
		Stage      string `json:"stage"`
		DomainName string `json:"domainName"`
		SourceIP   string `json:"sourceIp"`
		Identity   struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"`
	} `json:"requestContext"`

	// Jobs.
	Records []record        `json:"Records"`
	Job     json.RawMessage `json:"backchannelJob"`

	// Ticks: EventBridge and SCF timer.
	DetailType string `json:"detail-type"`
	Type       string `json:"Type"`
}

// record is one message of an SQS batch.
type record struct {
	MessageID   string `json:"messageId"`
	EventSource string `json:"eventSource"`
	Body        string `json:"body"`
}

// list is one value or several. The gateways send strings; whatever else JSON
// has is taken by its text and null as "", for no caller may make an event
// unreadable.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		if quoted := b[1 : len(b)-1]; bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
			*l = list{string(quoted)} // most headers: nothing to decode
			return nil
		}
		var s string
		err := json.Unmarshal(b, &s)
		*l = list{s}
		return err
	case '[':
		var items []list
		err := json.Unmarshal(b, &items)
		*l = make(list, 0, len(items))
		for _, item := range items {
			*l = append(*l, item...)
		}
		return err
	case 'n':
		*l = list{""}
	default:
		*l = list{string(b)}
	}
	return nil
}

// query is a query decoded by the gateway, or one it left as it was.
type query struct {
	raw    string
	values url.Values
}

func (q *query) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &q.raw)
	}
	var lists map[string]list
	if err := json.Unmarshal(b, &lists); err != nil {
		return err
	}
	q.values = make(url.Values, len(lists))
	for name, l := range lists {
		q.values[name] = l
	}
	return nil
}

func (q query) encode() string {
	if q.raw != "" {
		return q.raw
	}
	return q.values.Encode()
}

// decodeEvent reads an event and tells its kind. An event of no known kind is
// an error; its text never repeats the event.
func decodeEvent(payload []byte) (*event, kind, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		if where, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, unknown, fmt.Errorf("event: field %s has an unexpected type", where.Field)
		}
		return nil, unknown, fmt.Errorf("event of %d bytes is no JSON object", len(payload))
	}
	k := e.kind()
	if k == unknown {
		return nil, unknown, errors.New("event: neither a request, nor an SQS batch, nor a job, nor a schedule")
	}
	return &e, k, nil
}

func (e *event) kind() kind {
	switch {
	case e.RequestContext.HTTP != nil:
		return httpV2
	// SCF's old gateway filled in both queries, so its own name decides. Where
	// neither is there, the lists tell the REST API, which always sends them.
	case e.HTTPMethod != "" && (e.QueryString != nil || e.MultiHeaders == nil && e.QueryParameters.values == nil):
		return httpTencent
	case e.HTTPMethod != "":
		return httpREST
	case len(e.Records) > 0 && e.Records[0].EventSource == "aws:sqs":
		return jobBatch
	case e.Job != nil:
		return oneJob
	case e.DetailType == "Scheduled Event" || e.Type == "Timer":
		return schedule
	}
	return unknown
}

// request makes the request that the gateway received.
func (e *event) request(ctx context.Context, k kind) (*http.Request, error) {
	method, path, rawQuery, client := e.HTTPMethod, e.Path, "", ""
	switch k {
	case httpV2:
		method, path, rawQuery = e.RequestContext.HTTP.Method, e.unstagedPath(), e.RawQueryString
		client = e.RequestContext.HTTP.SourceIP
	case httpREST:
		rawQuery = e.QueryParameters.encode()
		if e.MultiQuery.values != nil {
			rawQuery = e.MultiQuery.encode()
		}
		client = e.RequestContext.Identity.SourceIP
	case httpTencent:
		rawQuery = e.QueryParameters.encode()
		if e.QueryString != nil {
			rawQuery = e.QueryString.encode()
		}
		client = e.RequestContext.SourceIP
	}
	if !isMethod(method) {
		return nil, errors.New("event: the method is no HTTP method")
	}
	header := e.header()
	if k == httpTencent && client == "" {
		client = header.Get("X-Scf-Remote-Addr")
	}
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	u := requestURL(path, rawQuery)
	r := &http.Request{
		Method:        method,
		URL:           u,
		RequestURI:    u.RequestURI(),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Host:          header.Get("Host"),
		RemoteAddr:    remoteAddr(client),
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
	}
	if r.Host == "" {
		r.Host = e.RequestContext.DomainName
	}
	header.Del("Host") // as net/http does
	if len(body) > 0 {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	return r.WithContext(ctx), nil
}

// unstagedPath is the path without the stage that an HTTP API puts before it
// unless the stage is $default.
func (e *event) unstagedPath() string {
	stage := e.RequestContext.Stage
	if stage == "" || stage == "$default" {
		return e.RawPath
	}
	rest, ok := strings.CutPrefix(e.RawPath, "/"+stage)
	if !ok || rest != "" && rest[0] != '/' {
		return e.RawPath
	}
	return rest
}

// requestURL keeps the query byte by byte. Some gateways decode the path before
// they pass it on; one that cannot be decoded is one of those.
func requestURL(path, rawQuery string) *url.URL {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u := &url.URL{Path: path, RawQuery: rawQuery}
	if decoded, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = decoded, path
	}
	return u
}

func (e *event) header() http.Header {
	h := make(http.Header, max(len(e.Headers), len(e.MultiHeaders))+1)
	for name, values := range e.Headers {
		h[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range e.MultiHeaders {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if len(e.Cookies) > 0 {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return h
}

func (e *event) body() (string, error) {
	if !e.IsBase64Encoded {
		return e.Body, nil
	}
	b, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return "", errors.New("event: the body is marked as base64 and is none")
	}
	return string(b), nil
}

func isMethod(s string) bool {
	for _, c := range s {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 16
}

// remoteAddr writes an address as net/http does, with a port. What is no address
// becomes "", which nobody can mistake for a client.
func remoteAddr(client string) string {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(addr.Unmap().String(), "0")
}
