package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestSameVerdicts: both filters refuse the same message and let the same pass.
func TestSameVerdicts(t *testing.T) {
	short(t)
	ours, express := filters(t)
	for text, code := range map[string]int{"join my casino now": 1, "good evening": 0} {
		for _, server := range []string{ours, express} {
			signed := kit.Callback(t, kit.BeforeSend(text))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+signed.URL.RequestURI(), signed.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = signed.Header
			kit.Read(t, do(t, r)).WantCode(t, code)
		}
	}
}

// TestSameTickets: a request makes a ticket with its group at both; made again
// with the same key it makes another at the peer, and none at ours.
func TestSameTickets(t *testing.T) {
	short(t)
	ours, express, zendesk, app := desks(t)
	// Ours imports the requester; the peer expects him to be there.
	for i, server := range []string{ours, express} {
		before, want := count(zendesk, app), i+1
		for range 2 {
			if a := kit.Read(t, do(t, ticket(t, server, "jane"))); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Text)
			}
		}
		after := count(zendesk, app)
		if tickets, groups := after[0]-before[0], after[1]-before[1]; tickets != want || groups != want {
			t.Errorf("%s made %d tickets and %d groups, want %d", server, tickets, groups, want)
		}
	}
}

func count(zendesk *desktest.Zendesk, app *imtest.App) [2]int {
	return [2]int{len(zendesk.Tickets()), len(app.State().Groups)}
}

func short(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
}

func do(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// BenchmarkBeforeSend keeps eight connections busy at each server in turn, with
// a message without a word of the list. null-share is the part of the rate of
// the handler that does nothing that ours reaches, x-express how many times
// Express's it is.
func BenchmarkBeforeSend(b *testing.B) {
	ours, express := filters(b)
	servers := []string{ours, startNull(b), express}
	for name, size := range map[string]int{"410B": 410, "12KB": 12 << 10} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat("a red packet for you ", size/21+1)
			body := []byte(kit.BeforeSend(text[:size-len(kit.BeforeSend(""))]))
			var all [3]*line
			for i, server := range servers {
				all[i] = dial(b, server)
			}
			for b.Loop() {
				// Signed anew each time: a signature is good for a minute.
				target := kit.Callback(b, string(body)).URL.RequestURI()
				for _, l := range all {
					l.round(b, target, body)
				}
			}
			report(b, all[0], "ours")
			report(b, all[1], "null")
			report(b, all[2], "express")
			b.ReportMetric(all[1].took.Seconds()/all[0].took.Seconds(), "null-share")
			b.ReportMetric(all[2].took.Seconds()/all[0].took.Seconds(), "x-express")
		})
	}
}

func report(b *testing.B, l *line, name string) {
	slices.Sort(l.each)
	b.ReportMetric(float64(len(l.each))/l.took.Seconds(), name+"/s")
	b.ReportMetric(float64(l.each[len(l.each)*99/100].Microseconds()), name+"-p99-µs")
}

const (
	callers  = 8
	perRound = 100 // requests of a caller
)

// line is a server's connections, which say the same again and again, so that
// the client takes next to nothing of the machine.
type line struct {
	conns  []net.Conn
	took   time.Duration
	mu     sync.Mutex
	each   []time.Duration
	answer int // bytes of an answer
}

func dial(b *testing.B, server string) *line {
	b.Helper()
	u, err := url.Parse(server)
	if err != nil {
		b.Fatal(err)
	}
	l := &line{}
	for range callers {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		l.conns = append(l.conns, c)
	}
	return l
}

// round sends perRound callbacks on each connection at once, all the same.
func (l *line) round(b *testing.B, target string, body []byte) {
	request := posted(target, body)
	l.rounds(b, func() []byte { return request })
}

func posted(target string, body []byte) []byte {
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: im\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", target, len(body)), body...)
}

// rounds sends perRound callbacks on each connection at once, which request makes.
func (l *line) rounds(b *testing.B, request func() []byte) {
	if l.answer == 0 {
		l.answer = first(b, l.conns[0], request())
	}
	start := time.Now()
	var all sync.WaitGroup
	for _, c := range l.conns {
		all.Go(func() {
			answer, each := make([]byte, l.answer), make([]time.Duration, 0, perRound)
			for range perRound {
				message := request()
				began := time.Now()
				if _, err := c.Write(message); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, answer); err != nil || !bytes.Contains(answer, []byte(`"ErrorCode":0`)) {
					b.Errorf("answered %q, %v", answer, err)
					return
				}
				each = append(each, time.Since(began))
			}
			l.mu.Lock()
			l.each = append(l.each, each...)
			l.mu.Unlock()
		})
	}
	all.Wait()
	l.took += time.Since(start)
}

// first returns how long an answer is: all of a server's are alike.
func first(b *testing.B, c net.Conn, request []byte) int {
	b.Helper()
	if _, err := c.Write(request); err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, 4<<10)
	n, err := c.Read(answer)
	_, text, _ := bytes.Cut(answer[:n], []byte("\r\n\r\n"))
	if err != nil || !json.Valid(text) {
		b.Fatalf("answered %q, %v", answer[:n], err)
	}
	return n
}

// delivered is a delivered message to a live room, by one of a hundred users.
func delivered(seq int64) []byte {
	return fmt.Appendf(nil, `{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"live","Type":"AVChatRoom","From_Account":"user%02d","Operator_Account":"user%02d","Random":%d,"MsgSeq":%d,"MsgTime":%d,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"a red packet for you"}}]}`,
		seq%100, seq%100, seq, seq, time.Now().Unix())
}

// TestSameCounts: ours and the peers count the same messages.
func TestSameCounts(t *testing.T) {
	short(t)
	ours, durable, volatile := counters(t)
	const messages = 40
	for _, server := range []string{ours, durable, volatile} {
		for seq := range int64(messages) {
			signed := kit.Callback(t, string(delivered(1+seq)))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+signed.URL.RequestURI(), signed.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = signed.Header
			kit.Read(t, do(t, r)).WantCode(t, 0)
		}
		r := kit.Get("/rooms/live/stats", kit.Key)
		out, err := http.NewRequestWithContext(t.Context(), r.Method, server+r.URL.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Header = r.Header
		if a := kit.Read(t, do(t, out)); a.JSON["messages"] != float64(messages) {
			t.Errorf("%s counted %v messages, want %d", server, a.JSON["messages"], messages)
		}
	}
}

// BenchmarkCount keeps eight connections busy at each server in turn with
// delivered messages of one room. Ours authenticates each callback, counts it once
// by its MsgSeq, for the room and its sender, and has it on disk before it
// answers; the peers update two counter rows, x-durable with the rows on disk and
// x-volatile without.
func BenchmarkCount(b *testing.B) {
	ours, durable, volatile := counters(b)
	var all [3]*line
	for i, server := range []string{ours, durable, volatile} {
		all[i] = dial(b, server)
	}
	var seq atomic.Int64
	seq.Store(1_000_000)
	for b.Loop() {
		target := kit.Callback(b, string(delivered(1))).URL.RequestURI()
		for _, l := range all {
			l.rounds(b, func() []byte { return posted(target, delivered(seq.Add(1))) })
		}
	}
	report(b, all[0], "ours")
	report(b, all[1], "durable")
	report(b, all[2], "volatile")
	b.ReportMetric(all[1].took.Seconds()/all[0].took.Seconds(), "x-durable")
	b.ReportMetric(all[2].took.Seconds()/all[0].took.Seconds(), "x-volatile")
}

// BenchmarkCreateTicket opens tickets, each with its group, at both servers in
// turn, from one caller and from four. Ours has the request on disk before it
// begins and its answer before it gives it, imports the requester, tells the ticket
// its group and makes nothing twice; the peer does none of that, and greets without
// waiting. Names of requesters repeat with -count, and then ours only repeats its
// answers.
func BenchmarkCreateTicket(b *testing.B) {
	ours, express, _, _ := desks(b)
	for _, callers := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d-callers", callers), func(b *testing.B) {
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				n++
				for i, server := range []string{ours, express} {
					start := time.Now()
					var all sync.WaitGroup
					for c := range callers {
						r := ticket(b, server, fmt.Sprintf("user-%d-%d-%d", callers, n, c))
						all.Go(func() {
							res, err := client.Do(r)
							if err != nil {
								b.Error(err)
								return
							}
							defer res.Body.Close()
							if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
								b.Errorf("%d %s %v", res.StatusCode, text, err)
							}
						})
					}
					all.Wait()
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(took[0].Microseconds())/float64(b.N), "ours-µs")
			b.ReportMetric(float64(took[1].Microseconds())/float64(b.N), "express-µs")
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "x-express")
		})
	}
}
