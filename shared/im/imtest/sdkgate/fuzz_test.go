package sdkgate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// FuzzFrames: whatever a page sends, each request has exactly one answer with its
// number, or the socket closes; the gate lives on.
func FuzzFrames(f *testing.F) {
	for _, command := range sdkgate.Commands() {
		f.Add(command, `{"GroupId":"team","To_Account":"bob","MsgRandom":1,"MsgBody":[]}`)
		f.Add(command, `{"GroupIdList":["team"],"Member_Account":"alice","From_Account":"alice","Limit":-1,"Offset":-5,"StartSeq":-9}`)
		f.Add(command, `[]`)
	}
	w := newWorld(f, sdkgate.Options{})
	alice := w.login("alice")
	f.Fuzz(func(t *testing.T, command, body string) {
		if !json.Valid([]byte(body)) || command == "" || command == "openim.ws_msg_push_ack" || command == "im_open_status.wslogout" ||
			command == "group_open_long_polling_http_svc.get_msg" {
			return // what no socket is asked to answer, or only after a while
		}
		raw, err := json.Marshal(map[string]any{
			"head": map[string]any{"servcmd": command, "seq": 9, "a2": alice.a2, "tinyid": alice.tinyID}, "body": json.RawMessage(body),
		})
		if err != nil {
			t.Skip()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		p := (&world{TB: t, web: w.web, app: w.app}).open()
		defer func() { _ = p.conn.CloseNow() }()
		if err := p.conn.Write(ctx, websocket.MessageBinary, raw); err != nil {
			t.Fatal(err)
		}
		_, answer, err := p.conn.Read(ctx)
		if err != nil {
			t.Fatalf("%s %s: no answer: %v", command, body, err)
		}
		var out frame
		if err := json.Unmarshal(answer, &out); err != nil || out.Head.Seq != 9 || out.Body["ErrorCode"] == nil {
			t.Fatalf("%s %s: %s", command, body, answer)
		}
	})
}

// FuzzRawFrames: whatever bytes a socket carries, before a login or after one, the gate
// answers or closes the socket, and takes the next page.
func FuzzRawFrames(f *testing.F) {
	for _, frame := range []string{
		"", "x", "{}", "[]", "null", "7", `{"head":{}}`, `{"head":{"servcmd":""},"body":{}}`, `{"head":{"servcmd":7}}`, "\xff\xfe", "\x1f\x8b\x08\x00",
		`{"head":{"servcmd":"im_open_status.wslogin","seq":1,"identifier":"alice","usersig":"x"},"body":{}}`,
		`{"head":{"servcmd":"im_open_status.wslogin","seq":{"a":[1]}},"body":null}`,
		`{"head":{"servcmd":"openim.sendmsg","seq":18446744073709551616},"body":"x"}`,
		`{"head":{"servcmd":"heartbeat.alive","seq":"a"},"body":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
	} {
		f.Add([]byte(frame), true, false)
		f.Add([]byte(frame), false, true)
	}
	w := newWorld(f, sdkgate.Options{})
	f.Fuzz(func(t *testing.T, frame []byte, binary, loggedIn bool) {
		if len(frame) > 64<<10 {
			t.Skip()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		here := &world{TB: t, web: w.web, app: w.app}
		p := here.open()
		if loggedIn {
			p = here.login("alice")
		}
		defer func() { _ = p.conn.CloseNow() }()
		kind := websocket.MessageText
		if binary {
			kind = websocket.MessageBinary
		}
		if p.conn.Write(ctx, kind, frame) == nil {
			beat := []byte(`{"head":{"servcmd":"heartbeat.alive","seq":"the last"},"body":{}}`)
			_ = p.conn.Write(ctx, websocket.MessageBinary, beat)
			for {
				_, answer, err := p.conn.Read(ctx)
				if err != nil {
					if ctx.Err() != nil {
						t.Fatalf("%q: neither an answer nor an end", frame)
					}
					break
				}
				if strings.Contains(string(answer), `"the last"`) {
					break
				}
			}
		}
		here.login("bob").must("heartbeat.alive", nil)
	})
}

// FuzzUploads: whatever a request for the upload store is, the store answers with a
// status of its own and keeps within its bounds, and only what was uploaded comes back.
func FuzzUploads(f *testing.F) {
	for _, name := range []string{"a.png", "../../x", "%2e%2e", "ü", "", "a\x00b", "con", strings.Repeat("n", 300), "?x=1#y", "<script>"} {
		f.Add(name, []byte("content"), "text/html", "thumb")
		f.Add(name, []byte("\x89PNG\r\n\x1a\n"), "image/png", "large")
	}
	w := newWorld(f, sdkgate.Options{MediaBytes: 64 << 10, MediaFileBytes: 8 << 10})
	alice := w.login("alice")
	f.Fuzz(func(t *testing.T, name string, content []byte, contentType, size string) {
		here := &world{TB: t, web: w.web, app: w.app}
		p := *alice
		p.world = here
		out := p.ask("im_cos_msg.pre_sig", nil, map[string]any{"file_name": name, "file_type": 1})
		alice.seq = p.seq
		if out["ErrorCode"] != 0.0 {
			t.Fatalf("%q: %v", name, out)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, out["uploadUrl"].(string), bytes.NewReader(content))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if !strings.ContainsFunc(contentType, func(c rune) bool { return c < ' ' || c > '~' }) {
			r.Header.Set("Content-Type", contentType)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		wanted := http.StatusOK
		if len(content) > 8<<10 {
			wanted = http.StatusRequestEntityTooLarge
		}
		if resp.StatusCode != wanted {
			t.Fatalf("%q, %d bytes: status %d", name, len(content), resp.StatusCode)
		}
		if wanted == http.StatusOK {
			if resp, got := here.http("GET", out["downloadUrl"].(string), "", nil); resp.StatusCode != http.StatusOK || !bytes.Equal(got, content) {
				t.Fatalf("%q: status %d, %d bytes of %d", name, resp.StatusCode, len(got), len(content))
			}
			here.http("GET", out["thumbUrl"].(string), "", nil)
		}
		if resp, _ := here.http("GET", w.web.URL+"/media/x/"+url.PathEscape(size)+"/y", "", nil); resp.StatusCode == http.StatusOK {
			t.Errorf("a file that nobody uploaded, at %q", size)
		}
	})
}
