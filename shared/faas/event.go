package faas

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// kind is what an event asks for, and for requests also the shape of its answer.
type kind int

const (
	unknown      kind = iota
	httpV2            // Lambda HTTP API with payload 2.0, and function URL
	httpREST          // Lambda REST API, and HTTP API with payload 1.0
	httpALB           // Lambda behind an Application Load Balancer
	httpALBMulti      // the same, with multi-value headers
	httpTencent       // SCF function URL, and gateway events of the same shape
	jobBatch          // SQS
	oneJob            // asynchronous invocation with our envelope
	schedule          // EventBridge rule or scheduler, SCF timer
	warmUp            // keeps an instance warm and asks for nothing
)

func (k kind) isHTTP() bool {
	return k >= httpV2 && k <= httpTencent
}

// event is the union of the platforms' events: each field is named and shaped as
// its platforms have it, and which are filled in tells the event's kind. It is a
// type of ours because those of the libraries lose isBase64Encoded and fail on
// queries that hold a JSON number.
//
// Sources: AWS "Working with AWS Lambda proxy integrations", payloads 1.0 and
// 2.0; AWS "Using AWS Lambda with an Application Load Balancer"; AWS "Using Lambda
// with Amazon SQS"; Tencent SCF 583/96099 (function URL). Warm-up events are those
// of serverless-plugin-warmup and of lambda-warmer.
type event struct {
	// Requests.
	Version         string          `json:"version"` // of an HTTP API's payload
	HTTPMethod      string          `json:"httpMethod"`
	Path            string          `json:"path"`
	Resource        string          `json:"resource"` // the gateway's route: /teams/{id}, /{proxy+}, $default
	RouteKey        string          `json:"routeKey"` // with the method before it: "ANY /{proxy+}"
	PathParameters  map[string]list `json:"pathParameters"`
	RawPath         string          `json:"rawPath"`
	RawQueryString  string          `json:"rawQueryString"`
	QueryString     *query          `json:"queryString"`
	QueryParameters query           `json:"queryStringParameters"`
	MultiQuery      query           `json:"multiValueQueryStringParameters"`
	Headers         map[string]list `json:"headers"`
	MultiHeaders    map[string]list `json:"multiValueHeaders"`
	Cookies         []string        `json:"cookies"`
	Body            string          `json:"body"`
	IsBase64Encoded flag            `json:"isBase64Encoded"`
	RequestContext  struct {
		ELB  *struct{} `json:"elb"`
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

	// Warm-ups.
	Source string `json:"source"`
	Warmer flag   `json:"warmer"`
	WarmUp flag   `json:"warmup"`
}

// flag is true or false; some gateways write it as text. Anything else is false.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = string(b) == "true" || string(b) == `"true"`
	return nil
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

// join writes a query whose names and values are encoded as they came.
func (q query) join() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		for _, value := range q.values[name] {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(name + "=" + value)
		}
	}
	return b.String()
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
	case e.RequestContext.ELB != nil && e.MultiHeaders != nil:
		return httpALBMulti
	case e.RequestContext.ELB != nil:
		return httpALB
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
	case e.Source == "serverless-plugin-warmup", bool(e.Warmer), bool(e.WarmUp):
		return warmUp
	}
	return unknown
}

// request makes the request that the gateway received.
func (e *event) request(ctx context.Context, k kind) (*http.Request, error) {
	method, path, rawQuery, client := e.HTTPMethod, e.Path, "", ""
	switch k {
	case httpV2:
		_, route, _ := strings.Cut(e.RouteKey, " ")
		method, path, rawQuery = e.RequestContext.HTTP.Method, e.unmapped(e.unstaged(e.RawPath), route), e.RawQueryString
		client = e.RequestContext.HTTP.SourceIP
	case httpREST:
		if e.Version == "1.0" { // an HTTP API keeps the stage in the path, a REST API does not
			path = e.unstaged(path)
		}
		path = e.unmapped(path, e.Resource)
		rawQuery = e.QueryParameters.encode()
		if e.MultiQuery.values != nil {
			rawQuery = e.MultiQuery.encode()
		}
		client = e.RequestContext.Identity.SourceIP
	case httpALB:
		rawQuery = e.QueryParameters.join()
	case httpALBMulti:
		rawQuery = e.MultiQuery.join()
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
	switch {
	case k == httpTencent && client == "":
		client = header.Get("X-Scf-Remote-Addr")
	case k == httpALB, k == httpALBMulti:
		// The load balancer adds the address it sees behind what the client says.
		hops := strings.Split(strings.Join(header.Values("X-Forwarded-For"), ","), ",")
		client = strings.TrimSpace(hops[len(hops)-1])
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

// unstaged is a path without the stage that an HTTP API puts before it unless the
// stage is $default.
func (e *event) unstaged(path string) string {
	stage := e.RequestContext.Stage
	if stage == "" || stage == "$default" {
		return path
	}
	rest, ok := strings.CutPrefix(path, "/"+stage)
	if !ok || rest != "" && rest[0] != '/' {
		return path
	}
	return rest
}

// unmapped is a path without the base path under which a custom domain maps the
// API. The gateway's route tells how many segments the path has behind it; a route
// without a path, such as $default, tells nothing.
func (e *event) unmapped(path, route string) string {
	if !strings.HasPrefix(route, "/") {
		return path
	}
	segments := strings.Count(route, "/")
	if route == "/" {
		segments = 0
	}
	if open := strings.LastIndexByte(route, '{'); open >= 0 && strings.HasSuffix(route, "+}") {
		rest, has := e.PathParameters[route[open+1:len(route)-2]]
		if !has || len(rest) != 1 {
			return path
		}
		segments += strings.Count(strings.Trim(rest[0], "/"), "/")
	}
	trimmed := strings.TrimRight(path, "/")
	at := len(trimmed)
	for range segments {
		if at = strings.LastIndexByte(trimmed[:at], '/'); at < 0 {
			return path
		}
	}
	return path[at:]
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
		return "", errors.New("event: the body is marked as base64 and does not decode")
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
