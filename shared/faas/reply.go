package faas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxReply is what both platforms allow a synchronous answer to be, encoded.
const maxReply = 6 << 20

var errReplyTooLarge = fmt.Errorf("the answer is larger than the platform's %d bytes", maxReply)

// recorder is the ResponseWriter of a request that came as an event. It follows
// net/http: the first write sends the status and the headers of that moment,
// the content type is sniffed, 204, 304 and answers to HEAD have no body.
type recorder struct {
	header   http.Header
	sent     http.Header // as they were at WriteHeader
	status   int         // 0: nothing sent yet
	body     bytes.Buffer
	isHead   bool
	overflow bool
}

func newRecorder(r *http.Request) *recorder {
	return &recorder{header: make(http.Header), isHead: r.Method == http.MethodHead}
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if rec.status != 0 || status < 200 { // informational answers stop here
		return
	}
	rec.status = status
	rec.sent = rec.header.Clone()
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	switch {
	case rec.status == http.StatusNoContent || rec.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case rec.overflow || rec.body.Len()+len(p) > maxReply:
		rec.overflow = true
		return 0, errReplyTooLarge
	}
	if _, ok := rec.sent["Content-Type"]; !ok && len(p) > 0 && rec.sent.Get("Content-Encoding") == "" {
		rec.sent.Set("Content-Type", http.DetectContentType(p))
	}
	if rec.isHead {
		return len(p), nil
	}
	return rec.body.Write(p)
}

// reply is the union of the answers that the gateways understand.
type reply struct {
	StatusCode      int                 `json:"statusCode"`
	Headers         map[string]string   `json:"headers,omitempty"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies         []string            `json:"cookies,omitempty"`
	Body            string              `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded,omitempty"`
}

// encode makes the platform's answer. An error says why the platform could not
// deliver it.
func (rec *recorder) encode(k kind) ([]byte, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.overflow {
		return nil, errReplyTooLarge
	}
	out := reply{StatusCode: rec.status}
	switch body := rec.body.Bytes(); {
	case utf8.Valid(body):
		out.Body = string(body)
	case k == httpTencent:
		return nil, errors.New("a Tencent event function has no way to answer with binary data: deploy it as a web function")
	default:
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	if err := out.setHeaders(rec.sent, k); err != nil {
		return nil, err
	}
	return out.marshal()
}

func (out *reply) setHeaders(header http.Header, k kind) error {
	cookies := header["Set-Cookie"]
	switch {
	case k == httpREST, k == httpALBMulti:
		out.MultiHeaders = make(map[string][]string, len(header))
		for name, values := range header {
			for _, v := range values {
				out.MultiHeaders[name] = append(out.MultiHeaders[name], oneLine(v))
			}
		}
		return nil
	case k == httpV2:
		for _, c := range cookies {
			out.Cookies = append(out.Cookies, oneLine(c))
		}
	case len(cookies) > 1 && k == httpALB:
		return errors.New("a load balancer sets two cookies only with multi-value headers: switch them on in its target group")
	case len(cookies) > 1:
		return errors.New("a Tencent event function has no way to set two cookies: deploy it as a web function")
	}
	out.Headers = make(map[string]string, len(header))
	for name, values := range header {
		if len(values) == 0 || name == "Set-Cookie" && k == httpV2 {
			continue
		}
		out.Headers[name] = oneLine(strings.Join(values, ", "))
	}
	return nil
}

func (out *reply) marshal() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(out.Body) + 512)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it would make HTML longer than the limit allows
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	if b.Len() > maxReply {
		return nil, errReplyTooLarge
	}
	return b.Bytes(), nil
}

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ")

// oneLine keeps a header value from becoming two headers, as net/http does.
func oneLine(v string) string { return lineBreaks.Replace(v) }
