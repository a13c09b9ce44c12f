package imtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// BenchmarkMessages is a message in an AVChatRoom of 50 users, from its sender's
// Send to everybody's device: alone, with both callbacks to a backend that does
// nothing, and sent over REST.
func BenchmarkMessages(b *testing.B) {
	null := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, fine)
	}))
	defer null.Close()
	for _, bc := range []struct {
		name, url string
		rest      bool
	}{{"alone", "", false}, {"callbacks", null.URL, false}, {"rest", "", true}} {
		b.Run(bc.name, func(b *testing.B) {
			w := newWorld(b, func(c *imtest.AppConfig) { c.CallbackURL, c.CallbackConnections, c.RoomRate = bc.url, 0, -1 })
			alice := w.login("alice")
			if _, err := alice.CreateGroup("AVChatRoom", "live", "Live"); err != nil {
				b.Fatal(err)
			}
			for i := range 50 {
				if err := w.login(fmt.Sprint("user", i)).Join("live"); err != nil {
					b.Fatal(err)
				}
			}
			if err := alice.Join("live"); err != nil {
				b.Fatal(err)
			}
			w.settle()
			sig := w.sig(admin)
			var random atomic.Uint32
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := random.Add(1)
					if bc.rest {
						w.post("/v4/group_open_http_svc/send_group_msg?sdkappid=1400000000&identifier=administrator&random=1&contenttype=json&usersig="+sig,
							fmt.Sprintf(`{"GroupId":"live","From_Account":"alice","Random":%d,"MsgBody":%s}`, n, textBody))
						continue
					}
					if _, err := alice.Send("live", imtest.Draft{Text: "hi", Random: n}); err != nil {
						b.Error(err)
					}
				}
			})
			w.settle()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
