package sdkgate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// BenchmarkLiveRoom: 500 pages poll one live room that gets 40 messages a second. An
// operation is one message; p50 and p99 are from its send to its arrival at a page, over
// all pages. The SDK pauses 300 ms between two polls: "at once" is the gate alone. Both
// ends of all sockets are in this process, and so they are in KB/socket.
//
//	go test ./shared/im/imtest/sdkgate -run xxx -bench LiveRoom -benchtime 200x
func BenchmarkLiveRoom(b *testing.B) {
	for name, pause := range map[string]time.Duration{"at once": 0, "as the SDK polls": 300 * time.Millisecond} {
		b.Run(name, func(b *testing.B) { benchmarkLiveRoom(b, 500, 40, pause) })
	}
}

func benchmarkLiveRoom(b *testing.B, sockets, rate int, pause time.Duration) {
	w := newWorld(b, sdkgate.Options{})
	owner := w.login("owner")
	owner.must("group_open_http_svc.create_group", map[string]any{"Type": "AVChatRoom", "Name": "L", "GroupId": "live", "Owner_Account": "owner"})
	owner.must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})
	before := memory()
	pages := make([]*page, sockets)
	keys := make([]any, sockets)
	for i := range pages {
		pages[i] = w.login(fmt.Sprint("viewer", i))
		keys[i] = pages[i].must("group_open_http_svc.apply_join_group", map[string]any{"GroupId": "live"})["LongPollingKey"]
	}
	perSocket := float64(memory()-before) / float64(sockets) / 1024

	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var (
		mu      sync.Mutex
		waits   []float64 // ms
		viewers sync.WaitGroup
		all     = make(chan struct{})
		once    sync.Once
	)
	want := b.N * sockets
	for i, p := range pages {
		viewers.Go(func() {
			next := 1.0
			for ctx.Err() == nil {
				raw, err := p.poll(ctx, keys[i], next)
				if err != nil {
					return
				}
				now := time.Now()
				var mine []float64
				for rest := raw; ; { // the texts alone: decoding everything 500 times would measure this loop
					_, after, found := bytes.Cut(rest, []byte(`"Text":"at `))
					if !found {
						break
					}
					digits, tail, _ := bytes.Cut(after, []byte(`"`))
					nanos, _ := strconv.ParseInt(string(digits), 10, 64)
					mine = append(mine, float64(now.UnixNano()-nanos)/1e6)
					rest = tail
				}
				_, after, _ := bytes.Cut(raw, []byte(`"NextSeq":`))
				number, _, _ := bytes.Cut(after, []byte(`,`))
				next, _ = strconv.ParseFloat(string(bytes.TrimRight(number, "}")), 64)
				mu.Lock()
				if waits = append(waits, mine...); len(waits) >= want {
					once.Do(func() { close(all) })
				}
				mu.Unlock()
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		owner.must("group_open_http_svc.send_group_msg", map[string]any{"GroupId": "live", "Random": i + 1, "MsgBody": textBody(fmt.Sprint("at ", time.Now().UnixNano()))})
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		b.Errorf("%d of %d messages arrived", len(waits), want)
	}
	b.StopTimer()
	cancel()
	viewers.Wait()
	slices.Sort(waits)
	if len(waits) > 0 {
		b.ReportMetric(waits[len(waits)/2], "p50-ms")
		b.ReportMetric(waits[int(math.Ceil(float64(len(waits))*0.99))-1], "p99-ms")
	}
	b.ReportMetric(perSocket, "KB/socket")
}

// poll asks for what happened in a room, and returns the answer as it is.
func (p *page) poll(ctx context.Context, key any, next float64) ([]byte, error) {
	p.seq++
	raw, err := json.Marshal(map[string]any{
		"head": map[string]any{"servcmd": "group_open_long_polling_http_svc.get_msg", "seq": p.seq, "a2": p.a2, "tinyid": p.tinyID},
		"body": map[string]any{"Key": key, "StartSeq": int(next), "StartBroadcastSeq": 1},
	})
	if err != nil {
		return nil, err
	}
	if err := p.conn.Write(ctx, websocket.MessageBinary, raw); err != nil {
		return nil, err
	}
	for {
		_, answer, err := p.conn.Read(ctx)
		if err != nil || bytes.Contains(answer, []byte("get_msg")) {
			return answer, err
		}
	}
}

// memory is what lives, heap and stacks, in bytes.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
