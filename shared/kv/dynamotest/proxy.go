// Package dynamotest runs emulators of DynamoDB for tests ([StartEmulator]), and has a
// proxy between a test and an emulator ([Start], [Before]): the proxy counts the units
// that each request would cost, which no emulator reports, and injects faults on
// request.
package dynamotest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is a way in which a request fails.
type Fault int

const (
	LoseAnswer   Fault = iota + 1 // takes effect, then the connection is cut
	Reset                         // the connection is cut, without effect
	Throttle                      // refused for its rate
	Conflict                      // refused because of a transaction in flight; only for writes
	Away                          // 503
	BadGateway                    // 502 with a page in HTML, by a proxy in between
	KeyThrottled                  // refused by KMS, which has the table's key
	Replicated                    // refused for a write of another region
	Mismatch                      // refused for the token of an earlier try
)

// Proxy is an http.Handler in front of an emulator.
type Proxy struct {
	URL string

	target string
	client *http.Client
	serial bool         // one request at a time
	turn   sync.RWMutex // held while the emulator works, by one if it is serial or units are counted

	mu     sync.Mutex
	faults []Fault // of the next requests that write
	units  Units
	limit  float64 // write units a second and partition key; 0: none
	priced bool    // units are counted, which costs the emulator a reading of every item
	spent  map[string]*second
	now    func() time.Time
	done   map[string][]byte // answers of transactions, by ClientRequestToken
}

type second struct {
	at    int64
	units float64
}

// Units are the units that requests cost.
type Units struct {
	Write, Read float64
	Requests    int
	ByKey       map[string]float64 // write units by partition key
}

// Start starts an [Emulator] and puts a proxy in front of it until the test ends.
func Start(t testing.TB) *Proxy {
	t.Helper()
	return start(t, StartEmulator(t).URL, false)
}

// Before puts a proxy in front of the emulator at target until the test ends. The
// target gets one request at a time: moto loses writes when requests overlap.
func Before(t testing.TB, target string) *Proxy {
	t.Helper()
	return start(t, target, true)
}

func start(t testing.TB, target string, serial bool) *Proxy {
	t.Helper()
	p := &Proxy{target: target, serial: serial, spent: make(map[string]*second), done: make(map[string][]byte), now: time.Now, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
	}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Inject makes the next write requests fail, one fault each.
func (p *Proxy) Inject(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, faults...)
}

// Limit sets how many write units a second one partition key accepts; more are
// throttled, as the service does at 1,000. 0 means no limit.
func (p *Proxy) Limit(units float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = units
}

// Units returns the units spent since the last call. Counting begins with the first
// call, since it doubles the emulator's work.
func (p *Proxy) Units() Units {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.units
	p.units, p.priced = Units{ByKey: make(map[string]float64)}, true
	return u
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if p.alone() {
		p.turn.Lock()
		defer p.turn.Unlock()
	} else {
		p.turn.RLock()
		defer p.turn.RUnlock()
	}
	if r.Context().Err() != nil {
		return // whoever asked has given up and asked again: a queue of such would only grow
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	fault := p.fault(operation)
	switch fault {
	case Reset:
		panic(http.ErrAbortHandler)
	case Throttle:
		refuse(w, "ThrottlingException")
		return
	case Conflict:
		conflict(w, operation)
		return
	case Away:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case BadGateway:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><h1>502 Bad Gateway</h1></html>")
		return
	case KeyThrottled:
		refuse(w, "KMSThrottlingException")
		return
	case Replicated:
		refuse(w, "ReplicatedWriteConflictException")
		return
	case Mismatch:
		refuse(w, "IdempotentParameterMismatchException")
		return
	}
	token, items := transaction(operation, body)
	if answer, is := p.known(token, items); is && fault == 0 {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write(answer)
		return
	}
	spent, over := p.charge(r, operation, body)
	if over {
		refuse(w, "ProvisionedThroughputExceededException")
		return
	}
	answer, status, header, err := p.forward(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	p.worked(spent, readUnits(operation, answer))
	if token != "" && status == http.StatusOK {
		p.mu.Lock()
		p.done[token] = answer
		p.mu.Unlock()
	}
	if fault == LoseAnswer {
		panic(http.ErrAbortHandler)
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// alone reports whether a request has the emulator to itself. What a request costs is
// computed from the items as it finds them.
func (p *Proxy) alone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serial || p.priced || p.limit > 0
}

// known returns the answer to a transaction that was done. The service knows one again
// for ten minutes, and charges a reading.
func (p *Proxy) known(token string, items int) (answer []byte, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer, is = p.done[token]; is {
		p.units.Read += 2 * float64(items)
		p.units.Requests++
	}
	return answer, is
}

// charge returns what a request will cost, if anybody asked, and whether its key has
// spent too much.
func (p *Proxy) charge(r *http.Request, operation string, body []byte) (spent cost, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.priced || p.limit > 0 {
		spent = p.price(r, operation, body)
	}
	return spent, p.over(spent)
}

// worked counts a request that the emulator answered.
func (p *Proxy) worked(spent cost, read float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units.Write += spent.write
	for key, units := range spent.byKey {
		if p.priced {
			p.units.ByKey[key] += units
		}
	}
	p.units.Read += read
	p.units.Requests++
}

func (p *Proxy) fault(operation string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !writes[operation] || len(p.faults) == 0 {
		return 0
	}
	f := p.faults[0]
	p.faults = p.faults[1:]
	return f
}

// transaction returns the token of a transaction and how many items it has; "" for
// other requests.
func transaction(operation string, body []byte) (token string, items int) {
	var in struct {
		ClientRequestToken string
		TransactItems      []any
	}
	if operation != "TransactWriteItems" || json.Unmarshal(body, &in) != nil {
		return "", 0
	}
	return in.ClientRequestToken, len(in.TransactItems)
}

var writes = map[string]bool{"PutItem": true, "UpdateItem": true, "DeleteItem": true, "TransactWriteItems": true}

func (p *Proxy) forward(r *http.Request, body []byte) ([]byte, int, http.Header, error) {
	out, err := http.NewRequest(r.Method, p.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, nil, err
	}
	out.Header = r.Header.Clone()
	res, err := p.client.Do(out)
	if err != nil {
		return nil, 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	header := res.Header.Clone()
	header.Del("Content-Length")
	return answer, res.StatusCode, header, err
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "as the test asked"})
}

func conflict(w http.ResponseWriter, operation string) {
	if operation != "TransactWriteItems" {
		refuse(w, "TransactionConflictException")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "as the test asked",
		"CancellationReasons": []map[string]string{{"Code": "TransactionConflict"}},
	})
}
