package faas

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// What each event in testdata means. A request is written as it would be sent,
// after the address of its client.
var meanings = map[string]struct {
	kind kind
	want string
}{
	"http-api-v2.json": {httpV2, `203.0.113.7:0
POST /im/s3cret?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=198.51.100.4&OptPlatform=Web&RequestTime=1700000000&Sign=0a%2Bb aaaaaaaaaa.execute-api.eu-west-1.amazonaws.com
Content-Length: [15]
Content-Type: [application/json]
User-Agent: [IM]
X-Amzn-Trace-Id: [Root=1-5e9f0c65-1de4d666d4dd26aced652b6c]
X-Forwarded-For: [192.0.2.66, 203.0.113.7]
X-Forwarded-Port: [443]
X-Forwarded-Proto: [https]
"{\"MsgSeq\":\"1\"}"`},
	"http-api-v2-stage.json": {httpV2, `[2001:db8::7]:0
PUT /rooms/%40TGS%232ABC/stats?a=1&a=2&b aaaaaaaaaa.execute-api.eu-west-1.amazonaws.com
Accept: [application/json]
Cookie: [s=1; t=2]
"\xff\x00\x80"`},
	"function-url.json": {httpV2, `203.0.113.7:0
POST /my/path?parameter1=value1&parameter1=value2&parameter2=value urlid.lambda-url.us-west-2.on.aws
Cookie: [cookie1=1; cookie2=2]
Header1: [value1]
Header2: [value1,value2]
"Hello from client!"`},
	"rest-v1.json": {httpREST, `203.0.113.7:0
POST /teams/red%20team?Sign=0a%2Bb&name=me&name=you gy415nuibc.execute-api.us-east-1.amazonaws.com
Accept: [application/json text/html]
Content-Type: [application/json]
X-Forwarded-For: [192.0.2.66, 203.0.113.7]
"{\r\n\t\"a\": 1\r\n}"`},
	"rest-v1-bare.json": {httpREST, `203.0.113.7:0
GET /healthz gy415nuibc.execute-api.us-east-1.amazonaws.com
""`},
	"scf-gateway.json": {httpTencent, `203.0.113.7:0
POST /im/s3cret?RequestTime=1700000000&SdkAppid=1400000000&Sign=0a%2Bb%2F%3D&k=1&k=2 service-3ei3tii4-251000691.ap-guangzhou.apigateway.myqcloud.com
Content-Type: [application/json]
X-Scf-Remote-Addr: [192.0.2.66]
"{\"MsgSeq\":\"1\"}"`},
	"scf-function-url.json": {httpTencent, `203.0.113.7:0
POST /usersig 1300000000-abcdefghij.ap-guangzhou.tencentscf.com
Content-Type: [application/json]
X-Forwarded-For: [192.0.2.66]
X-Scf-Remote-Addr: [203.0.113.7]
"{\"userID\":\"小明\"}"`},
	// A load balancer hands the query on encoded.
	"alb.json": {httpALB, `203.0.113.7:0
POST /im/s3cret?SdkAppid=1400000000&Sign=0a%2Bb&x= lambda-alb-123578498.us-east-1.elb.amazonaws.com
Content-Type: [application/json]
X-Amzn-Trace-Id: [Root=1-5c536348-3d683b8b04734faae651f476]
X-Forwarded-For: [192.0.2.66, 203.0.113.7]
X-Forwarded-Port: [80]
X-Forwarded-Proto: [http]
"{\"MsgSeq\":1}"`},
	"alb-multi-value.json": {httpALBMulti, `203.0.113.7:0
GET /rooms/%40TGS%232/stats?a=1&a=2%26 alb.example.com
Accept: [text/html application/json]
X-Forwarded-For: [192.0.2.66 203.0.113.7]
"\x00\xff"`},
	// A custom domain maps the API under /chat/v1.
	"rest-v1-base-path.json": {httpREST, `203.0.113.7:0
GET /teams/red%20team api.example.com
""`},
	"http-api-v1-stage.json": {httpREST, `203.0.113.7:0
POST /im/s3cret?a=1&a=2 id.execute-api.us-east-1.amazonaws.com
Content-Type: [application/json]
"{}"`},
	"http-api-v2-mapping.json": {httpV2, `203.0.113.7:0
POST /usersig api.example.com
"{}"`},
	"warmup-plugin.json":         {warmUp, ""},
	"warmer.json":                {warmUp, ""},
	"sqs.json":                   {jobBatch, `[{059f36b4-87a3-44ab-83d2-661975830a7d aws:sqs {"kind":"gift"}}]`},
	"async-job.json":             {oneJob, `{"kind": "gift", "n": 12345678901234567890}`},
	"eventbridge-rule.json":      {schedule, ""},
	"eventbridge-scheduler.json": {schedule, ""},
	"scf-timer.json":             {schedule, ""},
}

func TestEventsFromLife(t *testing.T) {
	for name, payload := range eventFiles(t) {
		t.Run(name, func(t *testing.T) {
			meaning, ok := meanings[name]
			if !ok {
				t.Fatal("nobody says what this event means")
			}
			e, k, err := decodeEvent(payload)
			if err != nil || k != meaning.kind {
				t.Fatalf("kind %v, %v", k, err)
			}
			var got string
			switch k {
			case jobBatch:
				got = fmt.Sprint(e.Records)
			case oneJob:
				got = string(e.Job)
			case httpV2, httpREST, httpALB, httpALBMulti, httpTencent:
				r, err := e.request(context.Background(), k)
				if err != nil {
					t.Fatal(err)
				}
				got = describe(t, r)
			}
			if got != meaning.want {
				t.Errorf("got\n%s\nwant\n%s", got, meaning.want)
			}
		})
	}
}

func eventFiles(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) != len(meanings) {
		t.Fatalf("%d events, %d meanings, %v", len(paths), len(meanings), err)
	}
	out := make(map[string][]byte)
	for _, path := range paths {
		if out[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func describe(t *testing.T, r *http.Request) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s %s %s\n", r.RemoteAddr, r.Method, r.RequestURI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, r.Header[name])
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%q", body)
	return b.String()
}

func TestStageIsStrippedOnlyWhereTheGatewayPutIt(t *testing.T) {
	tests := []struct{ stage, rawPath, want string }{
		{"$default", "/$default/x", "/$default/x"},
		{"prod", "/prod/x", "/x"},
		{"prod", "/prod", "/"},
		{"prod", "/prod/", "/"},
		{"prod", "/production/x", "/production/x"},
		{"prod", "/x", "/x"}, // a custom domain
		{"", "/prod/x", "/prod/x"},
	}
	for _, tt := range tests {
		e, k, err := decodeEvent(fmt.Appendf(nil, `{"rawPath":%q,"requestContext":{"stage":%q,"http":{"method":"GET"}}}`, tt.rawPath, tt.stage))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.request(context.Background(), k)
		if err != nil || r.URL.Path != tt.want {
			t.Errorf("stage %q: %q becomes %q, want %q (%v)", tt.stage, tt.rawPath, r.URL.Path, tt.want, err)
		}
	}
}

// TestABasePathIsNotPartOfTheRoute: a custom domain may map an API under a path,
// which the gateway leaves in; its route tells where ours begins.
func TestABasePathIsNotPartOfTheRoute(t *testing.T) {
	for _, tt := range []struct{ path, resource, params, want string }{
		{"/chat/im", "/im", `{}`, "/im"},
		{"/im", "/im", `{}`, "/im"},
		{"/chat/im/s3cret", "/im/{secret}", `{"secret":"s3cret"}`, "/im/s3cret"},
		{"/a/b/rooms/x/stats", "/{proxy+}", `{"proxy":"rooms/x/stats"}`, "/rooms/x/stats"},
		{"/chat/rooms/x/stats", "/rooms/{rest+}", `{"rest":"x/stats"}`, "/rooms/x/stats"},
		{"/rooms/x/stats", "/{proxy+}", `{"proxy":"rooms/x/stats"}`, "/rooms/x/stats"},
		{"/chat/rooms/x/", "/{proxy+}", `{"proxy":"rooms/x/"}`, "/rooms/x/"},
		{"/chat", "/", `{}`, ""},
		{"/rooms/a%2Fb", "/{proxy+}", `{"proxy":"rooms/a/b"}`, "/rooms/a%2Fb"},
		{"/chat/im", "$default", `{}`, "/chat/im"},
		{"/chat/im", "", `null`, "/chat/im"},
		{"/chat/im", "/{proxy+}", `{}`, "/chat/im"},
	} {
		e, _, err := decodeEvent(fmt.Appendf(nil, `{"httpMethod":"GET","multiValueHeaders":{},"path":%q,"resource":%q,"pathParameters":%s}`, tt.path, tt.resource, tt.params))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.request(t.Context(), httpREST)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.URL.EscapedPath(); got != tt.want && got != "/"+tt.want {
			t.Errorf("%s by %s becomes %s, want %s", tt.path, tt.resource, got, tt.want)
		}
	}
}

// TestWarmUpsAreAnsweredQuietly: what keeps an instance warm is no error, also if
// it is a schedule, for which a function without a tick has no use.
func TestWarmUpsAreAnsweredQuietly(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	app := &App{HTTP: http.NotFoundHandler()}
	for _, name := range []string{"warmup-plugin.json", "warmer.json", "eventbridge-rule.json", "scf-timer.json"} {
		out, err := lambdaHandler{"warm", keep(app, nil)}.Invoke(t.Context(), eventFiles(t)[name])
		if err != nil || string(out) != "{}" || log.Len() > 0 {
			t.Errorf("%s: %s, %v, logged %s", name, out, err, log.String())
		}
	}
	if _, err := (lambdaHandler{"warm", keep(app, nil)}).Invoke(t.Context(), []byte(`{"source":"somebody"}`)); err == nil {
		t.Error("an event that asks for something unknown passed as a warm-up")
	}
}

// Whatever comes is refused or becomes a request that net/http could have made,
// and the answer is one that the gateway can read.
func FuzzEvent(f *testing.F) {
	for _, payload := range eventFiles(f) {
		f.Add(payload)
	}
	f.Add([]byte(`{"httpMethod":"GET","path":"%zz?#","queryString":"a=%zz&b","headers":{"":null,"x y":[[1],{}]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, k, err := decodeEvent(payload)
		if err != nil || !k.isHTTP() {
			return
		}
		r, err := e.request(context.Background(), k)
		if err != nil {
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/") || !strings.HasPrefix(r.RequestURI, "/") {
			t.Errorf("path %q, uri %q", r.URL.Path, r.RequestURI)
		}
		if k == httpV2 && r.URL.RawQuery != e.RawQueryString {
			t.Errorf("query %q became %q", e.RawQueryString, r.URL.RawQuery)
		}
		if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil && r.RemoteAddr != "" {
			t.Errorf("client %q: %v", r.RemoteAddr, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			t.Errorf("body of %d bytes, length %d, %v", len(body), r.ContentLength, err)
		}

		app := &App{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Path", r.URL.Path)
			_, _ = io.Copy(w, r.Body)
		})}
		out, err := invocation{"fuzz", app, e, k}.handle(context.Background())
		var answer reply
		if err != nil || json.Unmarshal(out, &answer) != nil || answer.StatusCode == 0 {
			t.Errorf("answer %q, %v", out, err)
		}
	})
}

// A request arrives as it was sent through every gateway that can carry it.
func FuzzRequestRoundTrip(f *testing.F) {
	f.Add("/im/s3cret", "CallbackCommand", "Group.CallbackBeforeSendMsg", []byte(`{"a":"<嗨>"}`))
	f.Add("/rooms/@TGS#2/x%20", "Sign", "0a+b/= &?", []byte{0xff, 0})
	f.Add("//a/../b;c", "", "\x00\n", []byte(nil))
	f.Fuzz(func(t *testing.T, path, name, value string, body []byte) {
		if !utf8.ValidString(path) || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return // no JSON holds it
		}
		path = "/" + path
		rawPath := (&url.URL{Path: path}).EscapedPath()
		values := url.Values{name: {value, "second"}}
		encoded := base64.StdEncoding.EncodeToString(body)
		gateways := map[kind]map[string]any{
			httpV2: {
				"rawPath": rawPath, "rawQueryString": values.Encode(),
				"requestContext": map[string]any{"http": map[string]any{"method": "POST"}},
			},
			httpREST: {
				"httpMethod": "POST", "path": rawPath, "multiValueHeaders": map[string][]string{},
				"multiValueQueryStringParameters": values,
			},
			httpTencent: {"httpMethod": "POST", "path": rawPath, "queryString": values},
		}
		for want, fields := range gateways {
			fields["body"], fields["isBase64Encoded"] = encoded, true
			payload, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			e, k, err := decodeEvent(payload)
			if err != nil || k != want {
				t.Fatalf("%s: kind %v, %v", payload, k, err)
			}
			r, err := e.request(context.Background(), k)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(r.Body)
			if r.URL.Path != path || !bytes.Equal(got, body) || fmt.Sprint(r.URL.Query()) != fmt.Sprint(values) {
				t.Errorf("kind %v: path %q, query %q, body %q", k, r.URL.Path, r.URL.Query(), got)
			}
		}
	})
}

// BenchmarkEvent is what an event costs from its bytes to the bytes of the
// answer, around a handler that does nothing. The peer decodes with AWS's own
// type and encodes with theirs, and makes no request of it.
func BenchmarkEvent(b *testing.B) {
	app := &App{HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	for _, size := range []int{400, 12 << 10} {
		var fields map[string]any
		if err := json.Unmarshal(eventFiles(b)["http-api-v2.json"], &fields); err != nil {
			b.Fatal(err)
		}
		fields["body"] = strings.Repeat(`{"MsgSeq":1,`, size/12)
		payload, err := json.Marshal(fields)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("faas/%d", size), func(b *testing.B) {
			slog.SetDefault(slog.New(slog.DiscardHandler))
			b.ReportAllocs()
			for b.Loop() {
				e, k, err := decodeEvent(payload)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := (invocation{"bench", app, e, k}).handle(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("aws-events/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var e events.APIGatewayV2HTTPRequest
				if err := json.Unmarshal(payload, &e); err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(events.APIGatewayV2HTTPResponse{StatusCode: 200}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
