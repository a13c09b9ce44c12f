package sdkgate_test

import (
	"context"
	"encoding/json"
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
			t.Skip()
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
