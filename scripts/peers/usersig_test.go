package peers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

func asking(target, key, userID string) []byte {
	body := fmt.Sprintf(`{"userID":%q}`, userID)
	return fmt.Appendf(nil, "POST /usersig HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", target, key, len(body), body)
}

// TestSameUserSigs: both issue a UserSig for whom a server names. Without a key,
// the peer does so too.
func TestSameUserSigs(t *testing.T) {
	short(t)
	ours, express := issuers(t)
	signer, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	for key, statuses := range map[string][2]int{kit.Key: {200, 200}, "": {401, 200}} {
		for i, server := range []string{ours, express} {
			made := kit.Post("/usersig", key, `{"userID":"alice"}`)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/usersig", made.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = made.Header
			a := kit.Read(t, do(t, r))
			sig, _ := a.JSON["userSig"].(string)
			if _, err := signer.Verify("alice", sig); a.Status != statuses[i] || (err == nil) != (a.Status == 200) {
				t.Errorf("%s, key %q: %d %s, %v", server, key, a.Status, a.Text, err)
			}
		}
	}
}

// BenchmarkUserSig keeps eight connections busy at each server in turn. Ours
// checks the API key, that the id is nobody's who may not have one, and that the
// user is neither banned nor revoked, which takes two reads of the store; the peer
// asks nothing.
func BenchmarkUserSig(b *testing.B) {
	ours, express := issuers(b)
	all := [2]*line{dial(b, ours), dial(b, express)}
	n := 0
	for b.Loop() {
		for i, server := range []string{ours, express} {
			n++
			all[i].issued(b, server, n)
		}
	}
	report(b, all[0], "ours")
	report(b, all[1], "express")
	b.ReportMetric(all[1].took.Seconds()/all[0].took.Seconds(), "x-express")
}

// issued has perRound UserSigs issued on each connection at once. Their lengths
// differ.
func (l *line) issued(b *testing.B, server string, round int) {
	u, err := url.Parse(server)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	var all sync.WaitGroup
	for i, c := range l.conns {
		all.Go(func() {
			each, answers := make([]time.Duration, 0, perRound), bufio.NewReader(c)
			for n := range perRound {
				began := time.Now()
				if err := issue(c, answers, asking(u.Host, kit.Key, fmt.Sprintf("user-%d-%d-%d", round, i, n))); err != nil {
					b.Error(err)
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

func issue(c net.Conn, answers *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var a struct {
		UserSig string `json:"userSig"`
	}
	if err := json.Unmarshal(text, &a); err != nil || a.UserSig == "" {
		return fmt.Errorf("answered %d %s", res.StatusCode, text)
	}
	return nil
}
