package faastest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	scfevents "github.com/tencentyun/scf-go-lib/events"
)

// A gateway turns a request into its event and the function's answer into a
// response. The platforms' own types are used wherever they are complete, and
// answers are read strictly: a field the platform does not know would be lost
// there.
type gateway struct {
	event    func(r *http.Request, body []byte) (any, error)
	response func(payload []byte) (*http.Response, error)
}

var gateways = map[Shape]gateway{
	HTTPAPIv2:      {httpAPIEvent, httpAPIResponse},
	FunctionURL:    {functionURLEvent, functionURLResponse},
	RESTv1:         {restEvent, restResponse},
	SCFGateway:     {scfGatewayEvent, scfGatewayResponse},
	SCFFunctionURL: {scfFunctionURLEvent, scfFunctionURLResponse},
}

// through sends a request through a shape's gateway.
func through(shape Shape, r *http.Request, invoke func([]byte) ([]byte, error)) (*http.Response, error) {
	g, ok := gateways[shape]
	if !ok {
		return nil, fmt.Errorf("no event has the shape %s", shape)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	event, err := g.event(r, body)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	answer, err := invoke(payload)
	if err != nil {
		return nil, err
	}
	res, err := g.response(answer)
	if err != nil {
		return nil, fmt.Errorf("the gateway cannot read the answer %.200q: %w", answer, err)
	}
	res.Request = r
	return res, nil
}

const gatewayRequestID = "gateway-request-id"

func httpAPIEvent(r *http.Request, body []byte) (any, error) {
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default",
		RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery,
		Headers: joined(r, ","), Cookies: cookies(r),
		QueryStringParameters: joinedQuery(r),
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "$default", Stage: "$default", RequestID: gatewayRequestID, DomainName: r.Host,
			TimeEpoch: time.Now().UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: r.URL.Path, Protocol: "HTTP/1.1", SourceIP: ClientIP,
			},
		},
	}
	e.Body, e.IsBase64Encoded = text(body)
	return e, nil
}

func functionURLEvent(r *http.Request, body []byte) (any, error) {
	e := events.LambdaFunctionURLRequest{
		Version: "2.0",
		RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery,
		Headers: joined(r, ","), Cookies: cookies(r),
		QueryStringParameters: joinedQuery(r),
		RequestContext: events.LambdaFunctionURLRequestContext{
			RequestID: gatewayRequestID, DomainName: r.Host, TimeEpoch: time.Now().UnixMilli(),
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{
				Method: r.Method, Path: r.URL.Path, Protocol: "HTTP/1.1", SourceIP: ClientIP,
			},
		},
	}
	e.Body, e.IsBase64Encoded = text(body)
	return e, nil
}

func restEvent(r *http.Request, body []byte) (any, error) {
	e := events.APIGatewayProxyRequest{
		Resource: "/{proxy+}", Path: r.URL.EscapedPath(), HTTPMethod: r.Method,
		Headers: make(map[string]string), MultiValueHeaders: headers(r),
		PathParameters: map[string]string{"proxy": strings.TrimPrefix(r.URL.Path, "/")},
		RequestContext: events.APIGatewayProxyRequestContext{
			Stage: "prod", RequestID: gatewayRequestID, HTTPMethod: r.Method,
			Identity: events.APIGatewayRequestIdentity{SourceIP: ClientIP},
		},
	}
	for name, values := range e.MultiValueHeaders {
		e.Headers[name] = values[len(values)-1]
	}
	if q := r.URL.Query(); len(q) > 0 { // null without a query
		e.MultiValueQueryStringParameters = q
		e.QueryStringParameters = make(map[string]string)
		for name, values := range q {
			e.QueryStringParameters[name] = values[len(values)-1]
		}
	}
	e.Body, e.IsBase64Encoded = text(body)
	return e, nil
}

// scfRequest is ours because the library's type lacks isBase64Encoded and the
// second query.
type scfRequest struct {
	HTTPMethod            string                              `json:"httpMethod"`
	Path                  string                              `json:"path"`
	Headers               map[string]string                   `json:"headers"`
	QueryString           map[string]any                      `json:"queryString"`
	QueryStringParameters map[string]string                   `json:"queryStringParameters,omitempty"`
	RequestContext        *scfevents.APIGatewayRequestContext `json:"requestContext,omitempty"`
	Body                  string                              `json:"body"`
	IsBase64Encoded       bool                                `json:"isBase64Encoded,omitempty"`
}

func newSCFRequest(r *http.Request) scfRequest {
	e := scfRequest{
		HTTPMethod: r.Method, Path: r.URL.EscapedPath(),
		Headers: joined(r, ","), QueryString: make(map[string]any),
	}
	for name, values := range r.URL.Query() {
		if len(values) == 1 {
			e.QueryString[name] = values[0]
		} else {
			e.QueryString[name] = values
		}
	}
	return e
}

func scfGatewayEvent(r *http.Request, body []byte) (any, error) {
	e := newSCFRequest(r)
	e.QueryStringParameters = map[string]string{} // holds what the API declared, which is nothing
	e.RequestContext = &scfevents.APIGatewayRequestContext{
		ServiceID: "service-test", RequestID: gatewayRequestID, Method: "ANY", Path: "/", SourceIP: ClientIP, Stage: "release",
	}
	e.Body, e.IsBase64Encoded = text(body)
	return e, nil
}

func scfFunctionURLEvent(r *http.Request, body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%s has no way to pass on a binary body", SCFFunctionURL)
	}
	e := newSCFRequest(r)
	e.Headers["x-scf-remote-addr"] = ClientIP
	e.Body = string(body)
	return e, nil
}

func httpAPIResponse(payload []byte) (*http.Response, error) {
	var a events.APIGatewayV2HTTPResponse
	if err := strictly(payload, &a); err != nil {
		return nil, err
	}
	return response(a.StatusCode, a.Headers, map[string][]string{"Set-Cookie": a.Cookies}, a.Body, a.IsBase64Encoded)
}

func functionURLResponse(payload []byte) (*http.Response, error) {
	var a events.LambdaFunctionURLResponse
	if err := strictly(payload, &a); err != nil {
		return nil, err
	}
	return response(a.StatusCode, a.Headers, map[string][]string{"Set-Cookie": a.Cookies}, a.Body, a.IsBase64Encoded)
}

func restResponse(payload []byte) (*http.Response, error) {
	var a events.APIGatewayProxyResponse
	if err := strictly(payload, &a); err != nil {
		return nil, err
	}
	return response(a.StatusCode, a.Headers, a.MultiValueHeaders, a.Body, a.IsBase64Encoded)
}

func scfGatewayResponse(payload []byte) (*http.Response, error) {
	var a scfevents.APIGatewayResponse
	if err := strictly(payload, &a); err != nil {
		return nil, err
	}
	return response(a.StatusCode, a.Headers, nil, a.Body, a.IsBase64Encoded)
}

func scfFunctionURLResponse(payload []byte) (*http.Response, error) {
	var a struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
	}
	if err := strictly(payload, &a); err != nil {
		return nil, err
	}
	return response(a.StatusCode, a.Headers, nil, a.Body, false)
}

func strictly(payload []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func response(status int, single map[string]string, multi map[string][]string, body string, isBase64 bool) (*http.Response, error) {
	if status < 200 || status > 599 {
		return nil, fmt.Errorf("status %d", status)
	}
	b := []byte(body)
	if isBase64 {
		var err error
		if b, err = base64.StdEncoding.DecodeString(body); err != nil {
			return nil, err
		}
	}
	h := make(http.Header)
	for name, value := range single {
		h.Set(name, value)
	}
	for name, values := range multi {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)),
	}, nil
}

// text is a body as a gateway passes it on.
func text(body []byte) (string, bool) {
	if utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// headers are the request's headers with the Host that net/http keeps apart.
func headers(r *http.Request) map[string][]string {
	h := r.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Host", r.Host)
	return h
}

func joined(r *http.Request, separator string) map[string]string {
	out := make(map[string]string)
	for name, values := range headers(r) {
		out[strings.ToLower(name)] = strings.Join(values, separator)
	}
	return out
}

func joinedQuery(r *http.Request) map[string]string {
	out := make(map[string]string)
	for name, values := range r.URL.Query() {
		out[name] = strings.Join(values, ",")
	}
	return out
}

func cookies(r *http.Request) []string {
	var out []string
	for _, c := range r.Cookies() {
		out = append(out, c.Name+"="+c.Value)
	}
	return out
}
