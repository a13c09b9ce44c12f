package sdkgate_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

const (
	appID = 1400000000
	key   = "a key for these tests alone"
)

// world is an emulator with a gate.
type world struct {
	testing.TB
	web *httptest.Server
	app *imtest.App
}

func newWorld(t testing.TB, o sdkgate.Options, change ...func(*imtest.AppConfig)) *world {
	t.Helper()
	return newWorldOf(t, imtest.Options{Seed: 1, Control: true}, o, change...)
}

// newWorldOf makes the emulator by other options than newWorld's.
func newWorldOf(t testing.TB, with imtest.Options, o sdkgate.Options, change ...func(*imtest.AppConfig)) *world {
	t.Helper()
	emulator := imtest.NewServer(with)
	sdkgate.Mount(emulator, o)
	conf := imtest.AppConfig{SDKAppID: appID, Key: key, RatePerAPI: -1}
	for _, f := range change {
		f(&conf)
	}
	w := &world{TB: t, app: emulator.AddApp(conf), web: httptest.NewServer(emulator)}
	t.Cleanup(func() {
		emulator.Close()
		w.web.CloseClientConnections()
		w.web.Close()
	})
	return w
}

func (w *world) sig(userID string) string {
	w.Helper()
	signer, err := usersig.NewSigner(appID, key)
	if err != nil {
		w.Fatal(err)
	}
	sig, err := signer.Sign(userID, time.Hour)
	if err != nil {
		w.Fatal(err)
	}
	return sig
}

// page is a page's socket, as the SDK uses it.
type page struct {
	*world
	conn       *websocket.Conn
	seq        int
	a2, tinyID string
	pushes     []map[string]any
	// sessionData is what the page is to repeat in its acknowledgements, of each push
	// that wants one.
	sessionData []string
}

// open opens a socket without a login.
func (w *world) open() *page {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(w.web.URL, "http", "ws", 1)+"/ws/binfo?sdkappid=1400000000&compress=gzip", nil)
	if err != nil {
		w.Fatal(err)
	}
	conn.SetReadLimit(4 << 20)
	w.Cleanup(func() { _ = conn.CloseNow() })
	return &page{world: w, conn: conn}
}

// login opens a socket and logs a user in.
func (w *world) login(userID string) *page {
	w.Helper()
	p := w.open()
	out := p.ask("im_open_status.wslogin", map[string]any{"identifier": userID, "usersig": w.sig(userID)}, map[string]any{"State": "Online"})
	if out["ErrorCode"] != 0.0 {
		w.Fatalf("%s does not log in: %v", userID, out)
	}
	p.a2, p.tinyID = out["A2Key"].(string), out["TinyId"].(string)
	return p
}

// ask sends a request and returns its answer's body; pushes on the way are kept.
func (p *page) ask(command string, head, body map[string]any) map[string]any {
	p.Helper()
	p.seq++
	if head == nil {
		head = map[string]any{}
	}
	head["servcmd"], head["seq"] = command, p.seq
	if p.a2 != "" {
		head["a2"], head["tinyid"] = p.a2, p.tinyID
	}
	raw, err := json.Marshal(map[string]any{"head": head, "body": body})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageBinary, raw); err != nil {
		p.Fatal(err)
	}
	for {
		f := p.next(ctx)
		if f.Head.Command == command && f.Head.Seq == float64(p.seq) {
			return f.Body
		}
	}
}

// must is ask for what must succeed.
func (p *page) must(command string, body map[string]any) map[string]any {
	p.Helper()
	out := p.ask(command, nil, body)
	if out["ErrorCode"] != 0.0 {
		p.Fatalf("%s: %v", command, out)
	}
	return out
}

type frame struct {
	Head struct {
		Command string  `json:"servcmd"`
		Seq     float64 `json:"seq"`
	} `json:"head"`
	Body map[string]any `json:"body"`
}

// next reads a frame, and keeps it if it is a push.
func (p *page) next(ctx context.Context) frame {
	p.Helper()
	kind, raw, err := p.conn.Read(ctx)
	if err != nil {
		p.Fatal(err)
	}
	if kind != websocket.MessageBinary {
		p.Fatal("the SDK does not read text frames")
	}
	var f frame
	if err := json.Unmarshal(raw, &f); err != nil {
		p.Fatal(err)
	}
	if f.Head.Command == "im_open_push.msg_push" {
		for _, e := range f.Body["EventArray"].([]any) {
			p.pushes = append(p.pushes, e.(map[string]any))
		}
		if f.Body["NeedAck"] == 1.0 {
			p.sessionData = append(p.sessionData, f.Body["SessionData"].(string))
		}
	}
	return f
}

// told waits for a push that has a text in it, and returns its entry.
func (p *page) told(text string) map[string]any {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	for {
		for _, e := range p.pushes {
			if b, _ := json.Marshal(e); strings.Contains(string(b), text) {
				return e
			}
		}
		p.next(ctx)
	}
}

// textOf is the text of a message on the wire.
func textOf(m map[string]any) string {
	return m["MsgBody"].([]any)[0].(map[string]any)["MsgContent"].(map[string]any)["Text"].(string)
}

// texts are the one-to-one messages that were pushed to the page.
func (p *page) texts() (list []string) {
	for _, e := range p.pushes {
		messages, _ := e["C2cMsgArray"].([]any)
		for _, m := range messages {
			list = append(list, textOf(m.(map[string]any)))
		}
	}
	return list
}

func textBody(text string) []any {
	return []any{map[string]any{"MsgType": "TIMTextElem", "MsgContent": map[string]any{"Text": text}}}
}

func (p *page) sendTo(userID, text string, random int) map[string]any {
	p.Helper()
	return p.ask("openim.sendmsg", nil, map[string]any{
		"From_Account": "x", "To_Account": userID, "MsgSeq": random, "MsgRandom": random, "MsgBody": textBody(text), "MsgClientTime": 1700000000,
	})
}

// seen are the texts that reached a user's devices.
func (w *world) seen(userID string) []string {
	list := w.app.Seen(userID)
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = m.Text()
	}
	return texts
}

func has(list []string, text string) bool { return slices.Contains(list, text) }

func newServer(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never:", what)
		}
	}
}

// resume opens another socket and goes on with the page's login there, by a2 and
// tinyid alone.
func (p *page) resume() *page {
	p.Helper()
	again := p.open()
	again.a2, again.tinyID = p.a2, p.tinyID
	again.must("im_open_status.wslogin", nil)
	return again
}

// breaks closes the page's socket without a word, and waits until the gate knows.
func (p *page) breaks(userID string) {
	p.Helper()
	_ = p.conn.CloseNow()
	waitFor(p, userID+"'s silence", func() bool { return len(p.app.State().User(userID).Silent) == 1 })
}

// acknowledge says that the page has a push, which has no answer.
func (p *page) acknowledge(sessionData string) {
	p.Helper()
	raw, _ := json.Marshal(map[string]any{
		"head": map[string]any{"servcmd": "openim.ws_msg_push_ack", "seq": 0, "a2": p.a2, "tinyid": p.tinyID}, "body": map[string]any{"SessionData": sessionData},
	})
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageBinary, raw); err != nil {
		p.Fatal(err)
	}
}
